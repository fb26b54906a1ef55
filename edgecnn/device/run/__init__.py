"""`edgecnn run`: the capture loop."""
