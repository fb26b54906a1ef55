"""The network: a small regularized CNN that quantizes well, or the user's own."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.errors import ModelError, one_line
from edgecnn.model.networks.adopt import check_ends, end_in_softmax, probes, rewire

if TYPE_CHECKING:
    import keras

__all__ = ["build_network", "importable_here", "load_network", "num_stages"]

# Keras's default of 0.99 needs thousands of steps: small sets stay at chance on validation.
_BN_MOMENTUM = 0.9
_FILTERS = (16, 40, 80, 160, 192)


def num_stages(height: int, width: int) -> int:
    """How many stages suit an input: each but the last halves it, the last still sees 4 pixels.

    Example:
        >>> [num_stages(side, side) for side in (16, 32, 64, 112)]
        [3, 4, 5, 5]
    """
    return int(np.clip(np.log2(max(1, min(height, width)) / 4) + 1, 1, 5))


def build_network(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    dropout: float = 0.1,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """Stages of 3x3 conv-BN-ReLU6 (one, then two), max pool, dropout; then GAP and softmax.

    ReLU6 and batch norm that folds into the convolution keep full integer quantization within a
    point (Sheng et al. 2018, arXiv:1803.08607); max pooling and average pooling run on every
    TFLite delegate. Inputs of more than 128 pixels start with a stride of 2.

    Args:
        input_shape: (height, width, 3).
        width: Multiplies the filters of every stage.
        dropout: Before the classifier; a third of it after each stage.
        l1, l2: Kernel penalties added to the loss (weight decay is the optimizer's).

    Returns:
        A model from raw RGB values 0..255, shape (n, height, width, 3), to softmax scores.
    """
    import keras
    from keras import layers

    sides = input_shape[:2]
    penalty = keras.regularizers.L1L2(l1, l2) if l1 + l2 else None
    large = min(sides) > 128
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 255)(inputs)
    stages = num_stages(*(side // 2 if large else side for side in sides))
    for stage in range(stages):
        filters = max(8, round(_FILTERS[stage] * width / 8) * 8)
        for k in range(2 if stage else 1):
            stride = 2 if large and stage == k == 0 else 1
            x = _conv(x, filters, stride, penalty)
        if stage < stages - 1:
            x = layers.MaxPooling2D(2)(x)
            x = layers.Dropout(dropout / 3)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    scores = layers.Dense(num_classes, activation="softmax", name="scores")(x)
    return keras.Model(inputs, scores, name="edgecnn")


def _conv(x: Any, filters: int, stride: int, penalty: Any) -> Any:
    """3x3 convolution, batch norm, ReLU6."""
    from keras import layers

    x = layers.Conv2D(
        filters,
        3,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=penalty,
    )(x)
    x = layers.BatchNormalization(momentum=_BN_MOMENTUM)(x)
    return layers.ReLU(6.0)(x)


def load_network(
    reference: str, input_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """Build the user's own network: `module:function`, called with (input_shape, num_classes).

    The current folder is importable. The model takes raw RGB values 0..255 (it normalizes in
    its graph) and gives one score a class. Open sizes (None) are fixed to `input_shape`, and a
    softmax is added when the outputs are logits, judged by its scores for test pictures.

    Raises:
        ModelError: The reference can't be imported, or what it returns is no such model.
    """
    import keras

    function = _import(reference)
    try:
        model = function(input_shape, num_classes)
    except Exception as error:  # the user's own code may raise anything
        raise ModelError(
            f"{reference}({input_shape}, {num_classes}) failed: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"{reference} returned {type(model).__name__}, expected a keras.Model (Keras 3)"
        )
    model = _fit_to_shape(reference, model, input_shape, num_classes)
    model, _ = end_in_softmax(reference, model, probes(input_shape))
    _check_saves(reference, model)
    return model


@contextmanager
def importable_here() -> Iterator[None]:
    """Modules of the current folder can be imported, as `python script.py` would have it."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def _import(reference: str) -> Any:
    module_name, _, function_name = reference.partition(":")
    if not module_name or not function_name:
        raise ModelError(f"network {reference!r} is not of the form module:function")
    try:
        with importable_here():
            module = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's own code
        raise ModelError(
            f"can't import {module_name!r} for network {reference}: "
            f"{type(error).__name__}: {one_line(error)}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModelError(
            f"module {module_name!r} ({getattr(module, '__file__', None)}) has no function "
            f"{function_name!r}"
        )
    return function


def _fit_to_shape(
    reference: str, model: keras.Model, input_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    """The model, with its input fixed to `input_shape` where it leaves sizes open."""
    import keras

    if not model.built:
        model.build((None, *input_shape))
    found_in, found_out = check_ends(f"the model of {reference}", model)
    matches = len(found_in) == 3 and all(
        found in (None, side) for found, side in zip(found_in, input_shape, strict=True)
    )
    if not matches or found_out != (num_classes,):
        raise ModelError(
            f"{reference} made a model from {found_in} to {found_out}, expected one input "
            f"{input_shape} and one output ({num_classes},); use the arguments it is called with"
        )
    # One tensor in, one out: a functional model may have them in a list or dict.
    if found_in == input_shape and (
        isinstance(model, keras.Sequential)
        or (model.input is model.inputs[0] and model.output is model.outputs[0])
    ):
        return model
    return rewire(model, input_shape)


def _check_saves(reference: str, model: keras.Model) -> None:
    """Find out before the training, not at the export, that a model can't be read back."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        try:
            model.save(file)
            keras.saving.load_model(file, compile=False)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ModelError(
                f"{reference} made a model that Keras can't save and load: {one_line(error)}; "
                "use built-in layers or registered classes with get_config, no Lambda"
            ) from error
