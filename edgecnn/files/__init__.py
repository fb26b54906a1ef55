"""Find the images of a folder, and write output that is never half-written.

Every step of the path reads and writes through here; no image is decoded.
"""
