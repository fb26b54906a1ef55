"""Folders of images, and output that is never half-written."""
