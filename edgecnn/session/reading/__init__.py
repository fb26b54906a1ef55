"""What reading a session and its labels has to take care of."""
