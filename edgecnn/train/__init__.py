"""`edgecnn train`: from a lab folder to a MODEL folder. The package can be called: see callable.py.

The step between `calibrate` and `export`.
"""

from edgecnn.callable import make_callable

make_callable(__name__, "train", "train")
