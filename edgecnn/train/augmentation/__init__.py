"""Augmentation: what is done to training pictures, and whether it keeps their labels."""
