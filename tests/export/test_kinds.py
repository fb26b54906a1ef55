"""Kinds are what the file holds, whatever it is called."""

import pytest

from edgecnn.errors import ArtifactError
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.foreign.normalization import Front
from edgecnn.export.readback.kinds import read_kind
from edgecnn.model.networks.adopt import rewire
from edgecnn.model.read import load_lab_model
from edgecnn.model.tflite_network import freeze

KINDS = {
    "model_float32.tflite": "float32",
    "model_float16.tflite": "float16",
    "model_dynamic_range_quant.tflite": "dynamic_range",
    "model_full_integer_quant.tflite": "full_integer",
    "model_integer_quant_with_int16_act.tflite": "int16_activations",
    "model_float32.onnx": "float32",
    "model_full_integer_quant.onnx": "full_integer",
}


@pytest.mark.parametrize("file", KINDS)
def test_a_file_tells_its_kind_without_its_name(file, small_result):
    assert read_kind((small_result.bundle / file).read_bytes()) == KINDS[file]


def test_integers_inside_with_float_ends_are_not_called_full_integer(small_model):
    """Other tools call such a file integer or int8 and mean this."""
    import tensorflow as tf

    lab = load_lab_model(small_model)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [freeze(lab.network, lab.card.input.shape)]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [t[None].astype("float32")] for t in lab.test.tensors[:20]
    )
    assert read_kind(converter.convert()) == "integer_float_io"


def test_a_network_with_a_float_operation_in_the_middle_is_a_hybrid(small_spec):
    import keras
    import numpy as np

    image = keras.Input(small_spec.shape)
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.ops.sin(x)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Softmax()(x))
    images = np.random.default_rng(0).integers(0, 256, (20, *small_spec.shape), dtype=np.uint8)
    data = convert_tflite(freeze(network, small_spec.shape), "tflite-full-integer", images)
    assert read_kind(data) == "hybrid/float32+int8"


@pytest.mark.parametrize("front", ["none", "unit"])
def test_an_input_of_whole_numbers_leaves_no_float_operation_behind(small_spec, front):
    """A Keras Input(dtype="uint8") casts its pixels to bytes and back; cut values stay cut."""
    import keras
    import numpy as np

    layers = keras.layers
    image = keras.Input(small_spec.shape, dtype="uint8")
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))
    inner = keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))
    network = rewire(inner, small_spec.shape, Front(front).layers())
    images = np.random.default_rng(0).integers(0, 256, (20, *small_spec.shape), dtype=np.uint8)
    frozen = freeze(network, small_spec.shape)
    expected = network(images[:1].astype(np.float32))
    (answer,) = frozen(image=keras.ops.convert_to_tensor(images[:1], "float32"))
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6)
    if front == "none":
        assert read_kind(convert_tflite(frozen, "tflite-full-integer", images)) == "full_integer"


@pytest.mark.parametrize("data", [b"", b"no model", b"\x18\0\0\0TFL3" + b"\xff" * 64])
def test_garbage_has_no_kind(data):
    with pytest.raises(ArtifactError):
        read_kind(data)
