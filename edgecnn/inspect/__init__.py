"""`edgecnn inspect`: what is wrong with a data set, before a network is blamed for it."""
