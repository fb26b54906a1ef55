"""Train a pretrained network: its frozen features, a linear probe on them, then fine-tuning."""
