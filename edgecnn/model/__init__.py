"""The Keras network: building, augmenting, training and predicting."""
