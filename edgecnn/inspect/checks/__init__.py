"""The checks of `edgecnn inspect`, one module for each question."""
