"""`edgecnn label`: the labelling page over what was recorded, or over a folder of images."""
