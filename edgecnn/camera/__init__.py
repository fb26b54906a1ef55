"""Degrade pictures as cameras do, and fit the field's camera from unlabelled images.

`calibrate` fits it; `train` and `audit` use what it found; `demo` films cards through it.
"""
