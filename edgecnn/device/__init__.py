"""What runs on the device, without TensorFlow: `run`, `evaluate`, `benchmark` and `doctor`.

The step between `export` and `label`: it reads a bundle and writes a session.
"""
