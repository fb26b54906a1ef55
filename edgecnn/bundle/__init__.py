"""What travels to the device: the bundle, and everything that turns a frame into an answer."""
