"""`edgecnn benchmark`: accuracy, time and memory of each artifact on this machine."""
