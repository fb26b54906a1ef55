"""Say what a figure is worth: tallies, intervals, the paired test, groups, confidence."""
