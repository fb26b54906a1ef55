"""Model files of Keras 2 (.h5), in words that Keras 3 reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

__all__ = ["is_keras2_h5", "rewrite_for_keras3"]

# Keras 2 writes these for layers that never use them; Keras 3 refuses them there.
_UNUSED = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": (
        *("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    ),
}
# Where Keras 3 would look for a class by a path that its layers no longer have.
_ADDRESS = ("module", "registered_name", "build_config")


def is_keras2_h5(path: Path) -> bool:
    """Whether Keras 2 wrote this .h5 model.

    Raises:
        OSError: A damaged file.
    """
    import h5py

    with h5py.File(path) as file:
        version = file.attrs.get("keras_version", b"")
    return (version.decode() if isinstance(version, bytes) else str(version)).startswith("2")


def rewrite_for_keras3(path: Path, target: Path) -> None:
    """Copy a .h5 model of Keras 2 with a configuration that Keras 3 reads; the weights stay."""
    import h5py

    shutil.copyfile(path, target)
    with h5py.File(target, "r+") as file:
        config = file.attrs.get("model_config")
        if config is not None:  # else it holds weights only, and Keras says so
            file.attrs["model_config"] = json.dumps(_translate(json.loads(config)))


def _translate(node: Any) -> Any:
    if isinstance(node, list):
        return [_translate(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    node = {key: _translate(value) for key, value in node.items()}
    name, config = node.get("class_name"), node.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        return node
    if "keras" in str(node.get("module")):
        node = {key: value for key, value in node.items() if key not in _ADDRESS}
    config = {key: value for key, value in config.items() if key not in _UNUSED.get(name, ())}
    if name == "BatchNormalization" and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0]  # [3] for 3
    return {**node, "config": config}
