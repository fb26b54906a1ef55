"""Batch norm in an ONNX graph: folded wherever a convolution alone is before it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgecnn.bundle.artifacts import ONNX_FLOAT32
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.convert.onnx_convert import convert_onnx, quantize_onnx

SPEC = InputSpec(width=24, height=32)


def network(twice: bool = False, beside: bool = False):
    """Depthwise convolutions with batch norm of uneven channels.

    twice: one of them is called a second time. beside: the value before batch norm goes elsewhere
    too, so that nothing may be folded there.
    """
    import keras

    rng = np.random.default_rng(0)
    inputs = keras.Input((32, 24, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(16, 3, padding="same")(x)
    depthwise = keras.layers.DepthwiseConv2D(3, padding="same")
    y = depthwise(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(y))
    if beside:
        x = keras.layers.Concatenate()([x, y])
    if twice:
        x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(depthwise(x)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (np.asarray(w) for w in layer.get_weights())
            scale = np.exp(rng.normal(0, 1.5, gamma.shape))
            shift = rng.normal(0, 1, beta.shape)
            layer.set_weights([gamma * scale, beta + shift, mean + shift / 4, variance * scale])
    return model


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (24, *SPEC.shape), np.uint8)


def operations(data: bytes) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


@pytest.mark.parametrize(
    ("options", "left"), [({}, 0), ({"twice": True}, 0), ({"beside": True}, 1)], ids=str
)
def test_the_folded_graph_computes_the_same(pictures, options, left):
    model = network(**options)
    data = convert_onnx(model, SPEC)
    found = operations(data)
    assert found["Conv"] == 2 + bool(options.get("twice"))
    # One of each brings pixels to 0..1.
    assert (found["Mul"] - 1, found["Add"] - 1) == (left, left)
    runtime = load_runtime(data, ONNX_FLOAT32.file)
    scores = np.stack([runtime.invoke(picture) for picture in pictures])
    wanted = model.predict(pictures.astype(np.float32), verbose=0)
    assert np.abs(scores - wanted).max() < 1e-5


def test_an_integer_model_rounds_once_a_convolution(pictures):
    rounded = [
        operations(quantize_onnx(convert_onnx(network(beside=beside), SPEC), pictures)[0])
        for beside in (False, True)
    ]
    # The concatenation is one more, and the two that are left of batch norm.
    assert rounded[0]["QuantizeLinear"] + 3 == rounded[1]["QuantizeLinear"]
