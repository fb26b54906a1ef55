"""A .h5 model that was trained quantization-aware, read as the float network that it holds.

TensorFlow's optimization toolkit wraps each layer in one that rounds as integers would. Keras 3
knows no such wrapper, and `export` rounds by itself: the trained weights are all that it needs.
"""

from __future__ import annotations

from typing import Any

__all__ = ["holds_wrappers", "keep_own_weights", "unwrap"]

_WRAPPERS = frozenset({"QuantizeWrapper", "QuantizeWrapperV2"})
_ENTRY = "QuantizeLayer"
_ACTIVATION = "QuantizeAwareActivation"
# The weights of a layer in the order in which Keras 3 expects them; the wrapper's own, such as
# kernel_min and optimizer_step, are not among them.
_OWN = (
    *("kernel", "depthwise_kernel", "pointwise_kernel", "embeddings", "alpha", "bias"),
    *("gamma", "beta", "moving_mean", "moving_variance"),
)


def holds_wrappers(text: str) -> bool:
    """Whether a model's configuration, as JSON, has layers of such a training."""
    return any(f'"{name}"' in text for name in (*_WRAPPERS, _ENTRY))


def unwrap(node: Any) -> Any:
    """The same configuration with each wrapper replaced by the layer in it, under its name."""
    if isinstance(node, list):
        return [unwrap(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    kind = node.get("class_name")
    if kind == _ACTIVATION:
        inside = node["config"]["activation"]
        return inside if isinstance(inside, str) else "linear"
    if kind in _WRAPPERS:
        inner = unwrap(node["config"]["layer"])
        own = {**inner["config"], "name": node["config"]["name"]}
        return {**node, "class_name": inner["class_name"], "config": own}
    if kind == _ENTRY:
        kept = {k: v for k, v in node["config"].items() if k != "quantizer"}
        return {**node, "class_name": "Activation", "config": {**kept, "activation": "linear"}}
    return {key: unwrap(value) for key, value in node.items()}


def keep_own_weights(weights: Any) -> None:
    """Leave the wrappers' own weights out of the lists that Keras reads.

    Args:
        weights: The h5py group `model_weights` of a file that may be changed.
    """
    import numpy as np

    for layer in weights.values():
        names = [_text(name) for name in layer.attrs.get("weight_names", ())]
        own = sorted((n for n in names if _base(n) in _OWN), key=lambda n: _OWN.index(_base(n)))
        layer.attrs["weight_names"] = np.array([name.encode() for name in own], dtype="S")


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _base(name: str) -> str:
    """The weight's own name: "kernel" of "quant_conv2d/conv2d/kernel:0"."""
    return name.rpartition("/")[2].partition(":")[0]
