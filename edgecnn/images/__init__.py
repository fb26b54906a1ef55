"""Labelled image folders as arrays, near-duplicates, groups, and splits without leaks.

The first step on the path: `inspect`, `calibrate` and `train` all read images here.
"""
