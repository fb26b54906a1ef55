"""The checks of `edgecnn inspect`: one module a question."""
