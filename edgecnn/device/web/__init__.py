"""The phone page: what a person on site sees of a run, and the labels that come back."""
