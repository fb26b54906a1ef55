"""The device side: sources, the capture loop, logs and checks. No TensorFlow here."""
