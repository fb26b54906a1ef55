"""Targets that need more than an artifact: the Edge TPU compiler, TFLite Micro."""
