"""What travels back from the device: the answers, the truth, a sample of the frames."""
