"""`edgecnn adapt`: from field images to a better MODEL. The package can be called: see callable.py.

`harvest` picks the field images that are most worth a label.
"""

from edgecnn.callable import make_callable

make_callable(__name__, "adapt", "adapt")
