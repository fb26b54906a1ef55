"""`edgecnn doctor`: check the runtimes, cameras and delegates of this machine, and a bundle."""
