"""Labelled images: loading them whole, and splits that do not leak."""
