"""The machine itself: temperature and clock, percentiles of times, helper processes."""
