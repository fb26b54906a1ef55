"""Models that were trained without edgecnn."""
