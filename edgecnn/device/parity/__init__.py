"""Runtimes and artifacts against each other on the same images."""
