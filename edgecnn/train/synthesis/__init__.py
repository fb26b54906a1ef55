"""Synthetic images of rare classes: a generator makes them, a gate keeps or rejects them."""
