"""MODEL folder + calibration images -> bundle of TFLite and ONNX artifacts, each one checked."""

from edgecnn.callable import make_callable

make_callable(__name__, "export", "export")
