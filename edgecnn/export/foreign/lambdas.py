"""Lambda(preprocess_input) of keras.applications, which a file names without its code.

The file says the function's name and not the family that it is of, so that no program can load it
safely. The family is known from `--custom keras.applications.FAMILY`, from what Keras 2 wrote, or
from the name of the network behind it; else `--normalize` says what the function does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.export.foreign.normalization import AFFINE

__all__ = ["FAMILIES", "without_preprocessing"]

# What preprocess_input of each module does, as --normalize names it; "none": nothing.
FAMILIES = {
    **dict.fromkeys(
        ("mobilenet", "mobilenet_v2", "inception_v3", "inception_resnet_v2", "xception"),
        "minus_one_one",
    ),
    **dict.fromkeys(("nasnet", "resnet_v2"), "minus_one_one"),
    **dict.fromkeys(("densenet",), "imagenet"),
    **dict.fromkeys(("resnet", "resnet50", "vgg16", "vgg19"), "caffe"),
    **dict.fromkeys(("efficientnet", "efficientnet_v2", "convnext", "mobilenet_v3"), "none"),
}
# Names of their networks, as keras.applications gives them: mobilenetv2_1.00_224, resnet50, ...
_NETWORKS = (
    *(("mobilenetv2", "mobilenet_v2"), ("mobilenetv3", "mobilenet_v3"), ("mobilenet", "mobilenet")),
    *(("inception_resnet", "inception_resnet_v2"), ("inception", "inception_v3")),
    *(("xception", "xception"), ("nasnet", "nasnet"), ("densenet", "densenet")),
    *(("resnet50v2", "resnet_v2"), ("resnet101v2", "resnet_v2"), ("resnet152v2", "resnet_v2")),
    *(("resnet", "resnet"), ("vgg16", "vgg16"), ("vgg19", "vgg19")),
    *(("efficientnetv2", "efficientnet_v2"), ("efficientnet", "efficientnet")),
    ("convnext", "convnext"),
)
_FUNCTION = "preprocess_input"
_ADVICE = (
    "its Lambda layer calls preprocess_input of keras.applications, and the file does not say "
    "which; export again with --normalize minus_one_one (MobileNet, MobileNetV2, Inception, "
    "Xception, ResNetV2, NASNet), --normalize caffe --color bgr (ResNet50, VGG) or --normalize "
    "imagenet (DenseNet), which then takes its place; that of EfficientNet, ConvNeXt and "
    "MobileNetV3 changes nothing: --custom keras.applications.efficientnet"
)


def without_preprocessing(
    config: dict[str, Any], normalize: str, custom: str | None, notes: list[str]
) -> bool:
    """Replace each such layer in a model's configuration by what it computes.

    With a --normalize of the user's own it computes nothing: the normalization in front does.

    Args:
        config: Of a whole model; changed in place.
        custom: The module of --custom.
        notes: Takes a line on what was done.

    Returns:
        Whether there was one.

    Raises:
        ModelError: The family is not known, or takes the colours in another order.
    """
    found = [layer for layer in _layers(config) if _is_preprocessing(layer)]
    for layer in found:
        family = _family(layer, config, custom)
        does = FAMILIES[family] if family else None
        if normalize != "none":
            does = "none"
        elif does is None:
            raise ModelError(_ADVICE)
        elif does == "caffe":
            raise ModelError(
                f"its Lambda layer calls preprocess_input of {family}; export again with "
                "--normalize caffe --color bgr, which then takes its place"
            )
        else:
            notes.append(f"Lambda(preprocess_input) was read as that of {family}: {does}")
        _replace(layer, does)
    return bool(found)


def _layers(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("config"), dict) and "class_name" in node:
            yield node
        for value in node.values():
            yield from _layers(value)
    elif isinstance(node, list):
        for value in node:
            yield from _layers(value)


def _is_preprocessing(layer: dict[str, Any]) -> bool:
    if layer["class_name"] != "Lambda":
        return False
    function, module = layer["config"].get("function"), str(layer["config"].get("module"))
    if "applications." in module and module.split(".")[-1] in FAMILIES:
        return True  # Keras 2 writes any function as code, which is not run here, and its module
    name = function.get("config") if isinstance(function, dict) else function
    return isinstance(name, str) and name == _FUNCTION


def _family(layer: dict[str, Any], config: dict[str, Any], custom: str | None) -> str | None:
    for module in (custom, layer["config"].get("module")):
        last = str(module or "").split(".")[-1]
        if "applications" in str(module) and last in FAMILIES:
            return last
    names = [str(one["config"].get("name", "")).lower() for one in _layers(config)]
    hits = [family for mark, family in _NETWORKS if any(name.startswith(mark) for name in names)]
    return hits[0] if hits else None


def _replace(layer: dict[str, Any], does: str) -> None:
    """Put a Rescaling in the place of a layer; of one that does nothing it has a scale of 1."""
    name = layer["config"]["name"]
    scale, offset = (np.asarray(value).tolist() for value in AFFINE[does])
    own = {"name": name, "trainable": False, "dtype": "float32", "scale": scale, "offset": offset}
    batch = {k: v for k, v in layer["config"].items() if re.fullmatch(r"batch_(input_)?shape", k)}
    layer.pop("build_config", None)
    for node in layer.get("inbound_nodes", ()):  # a Lambda is called with a mask, which it ignores
        if isinstance(node, dict):
            node.get("kwargs", {}).pop("mask", None)
    layer.update({"class_name": "Rescaling", "config": own | batch})
