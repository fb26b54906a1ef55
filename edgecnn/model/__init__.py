"""The Keras network and the MODEL folder: `train` writes it, `calibrate` and `export` read it."""
