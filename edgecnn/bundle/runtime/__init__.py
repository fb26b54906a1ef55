"""Artifact -> scores: the only room where a TFLite runtime or onnxruntime is imported."""
