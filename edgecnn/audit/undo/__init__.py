"""Undo what the field does to a picture, and measure on other groups what that returns."""
