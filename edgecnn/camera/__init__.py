"""How cameras degrade a picture, and the fit of the field's camera from unlabelled images.

`calibrate` fits it; `train` and `audit` use what it found; `demo` films cards through it.
"""
