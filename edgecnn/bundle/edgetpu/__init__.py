"""What an Edge TPU can run of a model, and the file compiled for it."""
