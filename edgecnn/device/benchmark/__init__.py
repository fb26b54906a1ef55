"""`edgecnn benchmark`: measure accuracy, time and memory of each artifact on this machine."""
