"""ONNX files of networks that begin or bend in an unusual way."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pytest

from edgecnn.bundle.artifacts import ONNX_FLOAT32, ONNX_FULL_INTEGER, ArtifactFormat
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.convert.onnx_maker import OnnxMaker
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.foreign.keras_file import load_keras_file

SPEC = InputSpec(width=32, height=24)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, *SPEC.shape), np.uint8)
layers = keras.layers


def adapted():
    layer = layers.Normalization()
    layer.adapt(PIXELS.astype(np.float32))
    return layer


def nested():
    image = keras.Input(SPEC.shape)
    return keras.Model(image, layers.Conv2D(4, 3)(adapted()(image)))


def saved():
    """A SavedModel, which holds the mean of its Normalization as a tensor of its own."""
    image = keras.Input(SPEC.shape)
    with TemporaryDirectory() as folder:
        keras.Model(image, layers.Conv2D(4, 3)(adapted()(image))).export(folder, verbose=False)
        return load_keras_file(Path(folder))


STARTS = {
    "Normalization": adapted,
    "Normalization of one mean": lambda: layers.Normalization(None, mean=127.0, variance=3000.0),
    "Normalization in a network": nested,
    "Normalization in a SavedModel": saved,
    "Resizing": lambda: layers.Resizing(16, 16),
    "Resizing to the nearest pixel": lambda: layers.Resizing(16, 16, "nearest"),
    "a convolution on raw pixels": lambda: layers.Conv2D(4, 3, activation="relu"),
    "a depthwise one on raw pixels": lambda: layers.DepthwiseConv2D(3),
    "padding": lambda: layers.ZeroPadding2D(),
    "exact GELU": lambda: layers.Conv2D(4, 3, activation=keras.activations.gelu),
}


@pytest.mark.parametrize("start", STARTS)
def test_both_onnx_files_are_made_and_answer_as_the_network(start):
    keras.utils.set_random_seed(1)
    image = keras.Input(SPEC.shape)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(STARTS[start]()(image))
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, layers.Dense(4)(x))
    expected = network.predict_on_batch(PIXELS.astype(np.float32))
    maker = OnnxMaker(("a", "b", "c", "d"), SPEC)

    def error(made: ArtifactFormat) -> float:
        runtime = load_runtime(maker.make(Recipe(made, network, PIXELS)), made.file)
        found = np.stack([runtime.invoke(pixels) for pixels in PIXELS])
        return float(np.abs(found - expected).max() / np.ptp(expected))

    assert error(ONNX_FLOAT32) <= 1e-4
    assert error(ONNX_FULL_INTEGER) <= 0.1, error(ONNX_FULL_INTEGER)
