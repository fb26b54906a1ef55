"""What an Edge TPU takes of a model, and the file that was compiled for it."""
