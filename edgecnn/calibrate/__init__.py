"""`edgecnn calibrate`: pick representative field images and fit the field's camera.

The step between `inspect` and `train`; `export` reads the representative images.
"""

from edgecnn.callable import make_callable

make_callable(__name__, "calibrate", "calibrate")
