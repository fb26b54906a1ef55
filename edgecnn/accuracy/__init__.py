"""What a figure is worth: tallies, intervals, groups, near-duplicates, confidence."""
