"""Training: the network, its augmentation, the training run and the MODEL folder."""
