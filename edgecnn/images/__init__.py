"""Labelled image folders: loading, near-duplicates, groups and leak-safe splits."""
