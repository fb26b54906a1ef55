"""`edgecnn inspect`: find what is wrong with a data set before training on it.

The step between images and `calibrate`.
"""
