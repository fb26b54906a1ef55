"""Live accuracy beside lab accuracy, and where the gap comes from; no TensorFlow needed."""

from edgecnn.callable import make_callable

make_callable(__name__, "audit", "audit")
