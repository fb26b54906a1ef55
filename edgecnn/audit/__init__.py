"""Live accuracy beside lab accuracy, and where the gap comes from; no TensorFlow needed."""
