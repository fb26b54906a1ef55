"""How good the trained network is, and where it is not."""
