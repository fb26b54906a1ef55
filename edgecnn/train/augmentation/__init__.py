"""Augmentation: change training pictures at random, and check that they keep their labels."""
