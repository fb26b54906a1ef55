"""Keras network -> bytes of one format."""
