"""Ranges of activations, from representative images."""
