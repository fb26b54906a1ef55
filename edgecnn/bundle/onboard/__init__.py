"""What a board needs to adapt the bundle that it runs: numpy only, without TensorFlow."""
