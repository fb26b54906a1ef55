"""Field images + lab images -> a representative set, and the camera that lies between them."""

from edgecnn.callable import make_callable

make_callable(__name__, "calibrate", "calibrate")
