"""What is read back from a file: types, float remains, granularity, traces of calibration."""

from __future__ import annotations

import json

import numpy as np
import pytest
from one_op import T, bias, one_op, weights

from edgecnn.errors import ArtifactError
from edgecnn.export.convert.onnx_convert import convert_onnx, quantize_onnx
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.readback.anatomy import read_anatomy
from edgecnn.export.readback.kinds import read_kind
from edgecnn.model.tflite_network import freeze

QUANTIZED = (
    "model_full_integer_quant.tflite",
    "model_integer_quant_with_int16_act.tflite",
    "model_full_integer_quant.onnx",
)
FLOAT = (
    "model_float32.tflite",
    "model_float16.tflite",
    "model_dynamic_range_quant.tflite",
    "model_float32.onnx",
)


@pytest.fixture(scope="module")
def anatomy(small_result):
    def read(file: str):
        return read_anatomy((small_result.bundle / file).read_bytes())

    return read


@pytest.mark.parametrize("file", QUANTIZED)
def test_calibration_left_a_range_for_each_layer_that_computes(file, anatomy):
    found = anatomy(file)
    assert found.calibrated
    assert found.measured_ranges >= 3  # two convolutions and a dense layer
    assert not found.float_operations
    assert "measured ranges" in found.to_text()


@pytest.mark.parametrize("file", FLOAT)
def test_no_calibration_image_touched_a_file_with_float_activations(file, anatomy):
    found = anatomy(file)
    assert not found.calibrated
    assert not found.integer_tensors
    assert found.float_tensors
    assert any("Conv" in name or "CONV" in name for name in found.float_operations)
    assert "not calibrated" in found.to_text()


def test_weights_are_counted_by_channel_with_their_axis(anatomy):
    tflite = anatomy("model_full_integer_quant.tflite").weights
    assert [(w.dtype, w.scales, w.axis) for w in tflite] == [
        ("int8", 12, 0),
        ("int8", 24, 0),
        ("int8", 1, None),  # the dense layer: per tensor, for old runtimes
    ]
    onnx = anatomy("model_full_integer_quant.onnx")
    assert [(w.scales, w.axis) for w in onnx.weights] == [(12, 0), (24, 0), (10, 1)]
    assert onnx.granularity == "per channel"


def test_dynamic_range_has_integer_weights_alone(anatomy):
    found = anatomy("model_dynamic_range_quant.tflite")
    assert {"int8"} <= {w.dtype for w in found.weights}
    assert found.inputs == found.outputs == ("float32",)
    assert len(found.float_operations) == sum(count for _, _, count in found.operations)


def test_float16_weights_are_seen_behind_their_dequantize(anatomy):
    assert {w.dtype for w in anatomy("model_float16.tflite").weights} == {"float16"}


@pytest.mark.parametrize("file", [*QUANTIZED, *FLOAT])
def test_an_anatomy_can_be_kept_as_json(file, anatomy):
    data = json.loads(json.dumps(anatomy(file).to_json()))
    assert data["kind"]
    assert sum(op["count"] for op in data["operations"]) > 5
    assert "TFLite" in data["requirement"] or "opset" in data["requirement"]
    assert "\n" not in data["text"]


@pytest.fixture(scope="module")
def island(small_spec):
    """A network with a sine in its middle, which no integer kernel computes."""
    import keras

    image = keras.Input(small_spec.shape)
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.ops.sin(x)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Softmax()(x))
    images = np.random.default_rng(0).integers(0, 256, (12, *small_spec.shape), dtype=np.uint8)
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    return network, images


def test_a_float_island_is_named_in_tflite(island, small_spec):
    network, images = island
    data = convert_tflite(freeze(network, small_spec.shape), "tflite-full-integer", images)
    found = read_anatomy(data)
    assert [name.split()[1] for name in found.float_operations] == ["SIN"]
    assert len(found.float_tensors) == 2
    assert "1 operation stays float" in found.to_text()


def test_a_float_island_is_named_in_onnx(island, small_spec):
    network, images = island
    data, *_ = quantize_onnx(convert_onnx(network, small_spec), images)
    names = [name.split()[1] for name in read_anatomy(data).float_operations]
    assert "Sin" in names
    assert "Conv" not in names


def test_scales_that_the_format_fixes_are_no_calibration():
    """A softmax's scale is 1/256 by the specification, whatever the data."""
    data = one_op("SOFTMAX", [T((1, 16), dtype="float32")], [T((1, 16))])
    assert not read_anatomy(data).calibrated
    image = T((1, 8, 8, 4))
    data = one_op("CONV_2D", [image, weights(4, 3, 3, 4), bias(4)], [T((1, 8, 8, 4))])
    assert read_anatomy(data).measured_ranges == 2  # the input's and the output's


def test_what_the_edge_tpu_compiler_leaves_has_a_kind_of_its_own():
    image = T((1, 8, 8, 4))
    compiled = one_op("edgetpu-custom-op", [image], [T((1, 4))], custom=True)
    assert read_kind(compiled) == "edgetpu"
    assert read_kind(one_op("Other", [image], [T((1, 4))], custom=True)) == "full_integer"


@pytest.mark.parametrize("data", [b"", b"no model", b"\x18\0\0\0TFL3" + b"\xff" * 64])
def test_garbage_has_no_anatomy(data):
    with pytest.raises(ArtifactError):
        read_anatomy(data)
