"""MODEL folder + calibration images -> bundle of TFLite and ONNX artifacts, each one checked."""
