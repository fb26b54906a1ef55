"""`export --repair`: an integer file that lost answers, improved step by step."""
