"""The static Edge TPU checker against the documented rules, on models of one operation each."""

from __future__ import annotations

import json

import numpy as np
import pytest
from one_op import T, bias, const, one_op, weights

from edgecnn.bundle.edgetpu.mapping import predict_edgetpu
from edgecnn.bundle.edgetpu.rules import SUPPORTED
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ArtifactError
from edgecnn.model.read import load_lab_model
from edgecnn.model.tflite_network import freeze

IMAGE, VECTOR = T((1, 8, 8, 4)), T((1, 16))
SCALAR_IMAGE = T((1, 1, 1, 4))
CONV = [IMAGE, weights(4, 3, 3, 4), bias(4)]
POOL = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
SMALL = T((1, 4, 4, 4))
DILATED = {"strideW": 1, "strideH": 1, "dilationWFactor": 2, "dilationHFactor": 2}
PLAIN = {"strideW": 1, "strideH": 1}
RELU6 = {"fusedActivationFunction": 3}
ZEROS = T((1, 8, 8, 4), "int8", np.zeros((1, 8, 8, 4)))
ONES = T((1, 8, 8, 4), "int8", np.ones((1, 8, 8, 4)))
PER_CHANNEL = T((10, 16), "int8", np.ones((10, 16)), scale=(0.1,) * 10)
DEEP, PAIR = T((1, 8, 8, 8)), {"axis": 1, "valuesCount": 2}
PROBABILITIES = T((1, 16), scale=1 / 256, zero=-128)
MANY = T((1, 16000), scale=1 / 256, zero=-128)
SLICE = [IMAGE, const([0, 0, 0, 0]), const([1, 4, 4, 4])]
VIDEO = T((2, 8, 8, 4))


def pad(*rows: tuple[int, int]) -> list[T]:
    return [IMAGE, const(rows)]


def strided(*strides: int) -> list[T]:
    return [*SLICE, const(strides)]


# name, model, expected verdict, a word of the reason
TABLE = [
    # Supported, as the table of operations says
    ("add", one_op("ADD", [IMAGE, IMAGE], [IMAGE]), "maps", ""),
    ("add with relu6", one_op("ADD", [IMAGE, IMAGE], [IMAGE], RELU6), "maps", ""),
    ("subtract", one_op("SUB", [IMAGE, IMAGE], [IMAGE]), "maps", ""),
    ("multiply by a constant", one_op("MUL", [IMAGE, ONES], [IMAGE]), "maps", ""),
    ("maximum", one_op("MAXIMUM", [IMAGE, IMAGE], [IMAGE]), "maps", ""),
    ("relu", one_op("RELU", [IMAGE], [IMAGE]), "maps", ""),
    ("relu6", one_op("RELU6", [IMAGE], [IMAGE]), "maps", ""),
    ("logistic", one_op("LOGISTIC", [IMAGE], [T(scale=1 / 256, zero=-128)]), "maps", ""),
    ("tanh", one_op("TANH", [IMAGE], [IMAGE]), "maps", ""),
    ("convolution", one_op("CONV_2D", CONV, [IMAGE], {**PLAIN, **RELU6}), "maps", ""),
    ("dilated convolution", one_op("CONV_2D", CONV, [IMAGE], DILATED), "maps", ""),
    (
        "depthwise convolution",
        one_op("DEPTHWISE_CONV_2D", [IMAGE, weights(1, 3, 3, 4), bias(4)], [IMAGE], PLAIN),
        "maps",
        "",
    ),
    ("max pooling", one_op("MAX_POOL_2D", [IMAGE], [SMALL], POOL), "maps", ""),
    ("average pooling", one_op("AVERAGE_POOL_2D", [IMAGE], [SMALL], POOL), "maps", ""),
    (
        "dense",
        one_op("FULLY_CONNECTED", [VECTOR, weights(10, 16), bias(10)], [T((1, 10))], {}),
        "maps",
        "",
    ),
    ("softmax", one_op("SOFTMAX", [VECTOR], [PROBABILITIES], {"beta": 1.0}), "maps", ""),
    ("softmax of 16000", one_op("SOFTMAX", [T((1, 16000))], [MANY], {"beta": 1.0}), "maps", ""),
    ("global mean", one_op("MEAN", [IMAGE, const([1, 2])], [T((1, 4))], {}), "maps", ""),
    ("mean over 4 channels", one_op("MEAN", [IMAGE, const([3])], [T((1, 8, 8))]), "maps", ""),
    ("pad x and y", one_op("PAD", pad((0, 0), (1, 1), (1, 1), (0, 0)), [IMAGE]), "maps", ""),
    ("concatenation", one_op("CONCATENATION", [IMAGE, T()], [DEEP], {"axis": 3}), "maps", ""),
    ("zero padding", one_op("CONCATENATION", [IMAGE, ZEROS], [DEEP], {"axis": 3}), "maps", ""),
    ("requantize", one_op("QUANTIZE", [T(dtype="uint8")], [IMAGE]), "maps", ""),
    ("slice", one_op("SLICE", SLICE, [SMALL]), "maps", ""),
    ("stride of 1", one_op("STRIDED_SLICE", strided(1, 1, 1, 1), [SMALL], {}), "maps", ""),
    ("split x", one_op("SPLIT", [const(1), IMAGE], [SMALL, SMALL], {"numSplits": 2}), "maps", ""),
    ("pack", one_op("PACK", [VECTOR, VECTOR], [T((1, 2, 16))], PAIR), "maps", ""),
    ("reduce max", one_op("REDUCE_MAX", [IMAGE, const([1, 2])], [T((1, 4))]), "maps", ""),
    ("prelu", one_op("PRELU", [IMAGE, weights(1, 1, 4)], [IMAGE]), "maps", ""),
    ("transpose", one_op("TRANSPOSE", [IMAGE, const([0, 2, 1, 3])], [IMAGE]), "maps", ""),
    (
        "transposed convolution",
        one_op("TRANSPOSE_CONV", [const([1, 8, 8, 4]), weights(4, 3, 3, 4), IMAGE], [IMAGE], PLAIN),
        "maps",
        "",
    ),
    # Not in the table of operations
    ("hard swish", one_op("HARD_SWISH", [IMAGE], [IMAGE]), "cpu", "not in the table"),
    ("leaky relu", one_op("LEAKY_RELU", [IMAGE], [IMAGE]), "cpu", "not in the table"),
    ("elu", one_op("ELU", [IMAGE], [IMAGE]), "cpu", "not in the table"),
    ("division", one_op("DIV", [IMAGE, IMAGE], [IMAGE]), "cpu", "not in the table"),
    ("arg max", one_op("ARG_MAX", [VECTOR, const(1)], [T((1,), "int32")]), "cpu", "not in"),
    ("mirror pad", one_op("MIRROR_PAD", pad((0, 0), (1, 1)), [IMAGE]), "cpu", "not in"),
    ("depth to space", one_op("DEPTH_TO_SPACE", [IMAGE], [IMAGE]), "cpu", "not in the table"),
    ("batch matmul", one_op("BATCH_MATMUL", [VECTOR, VECTOR], [VECTOR]), "cpu", "not in"),
    ("custom operation", one_op("Mine", [IMAGE], [IMAGE], custom=True), "cpu", "not in"),
    # A condition of the operation broken
    ("pooling with relu", one_op("MAX_POOL_2D", [IMAGE], [SMALL], RELU6), "cpu", "fused"),
    ("average with relu", one_op("AVERAGE_POOL_2D", [IMAGE], [SMALL], RELU6), "cpu", "fused"),
    ("joined with relu", one_op("CONCATENATION", [IMAGE, SMALL], [IMAGE], RELU6), "cpu", "fused"),
    ("joined ones", one_op("CONCATENATION", [IMAGE, ONES], [IMAGE], {}), "cpu", "all zeros"),
    (
        "three joined, one constant",
        one_op("CONCATENATION", [IMAGE, SMALL, ZEROS], [IMAGE], {}),
        "cpu",
        "expected 2",
    ),
    (
        "uneven dilation",
        one_op("CONV_2D", CONV, [IMAGE], {**DILATED, "dilationWFactor": 1}),
        "cpu",
        "dilation",
    ),
    (
        "dense of many rows",
        one_op("FULLY_CONNECTED", [T((4, 16)), weights(10, 16), bias(10)], [T((4, 10))]),
        "cpu",
        "not one-dimensional",
    ),
    (
        "shuffled dense",
        one_op(
            "FULLY_CONNECTED",
            [VECTOR, weights(10, 16), bias(10)],
            [T((1, 10))],
            {"weightsFormat": 1},
        ),
        "cpu",
        "format",
    ),
    ("softmax of pixels", one_op("SOFTMAX", [IMAGE], [IMAGE]), "cpu", "not one-dimensional"),
    ("softmax of 16001", one_op("SOFTMAX", [T((1, 16001))], [T((1, 16001))]), "cpu", "16000"),
    ("mean of the batch", one_op("MEAN", [IMAGE, const([0])], [IMAGE]), "cpu", "batch"),
    (
        "mean over 6 channels",
        one_op("MEAN", [T((1, 8, 8, 6)), const([-1])], [T((1, 8, 8))]),
        "cpu",
        "multiple of 4",
    ),
    ("sum of the batch", one_op("SUM", [IMAGE, const([0, 1])], [IMAGE]), "cpu", "batch"),
    ("max of the batch", one_op("REDUCE_MAX", [IMAGE, const([-4])], [IMAGE]), "cpu", "batch"),
    ("padded batch", one_op("PAD", pad((1, 0), (0, 0), (0, 0), (0, 0)), [IMAGE]), "cpu", "batch"),
    ("split batch", one_op("SPLIT", [const(0), IMAGE], [IMAGE], {}), "cpu", "batch"),
    ("packed batch", one_op("PACK", [T((8, 8, 4))], [IMAGE], {"axis": 0}), "cpu", "batch"),
    ("stride of 2", one_op("STRIDED_SLICE", strided(1, 2, 2, 1), [SMALL], {}), "cpu", "stride"),
    (
        "ellipsis",
        one_op("STRIDED_SLICE", strided(1, 1, 1, 1), [SMALL], {"ellipsisMask": 1}),
        "cpu",
        "ellipsis",
    ),
    (
        "new axis",
        one_op("STRIDED_SLICE", strided(1, 1, 1, 1), [SMALL], {"newAxisMask": 2}),
        "cpu",
        "new axis",
    ),
    ("prelu of pixels", one_op("PRELU", [IMAGE, weights(8, 8, 4)], [IMAGE]), "cpu", "shared_axes"),
    # The model's requirements broken
    ("float", one_op("RELU", [T(dtype="float32")], [T(dtype="float32")]), "cpu", "float32"),
    ("16 bits", one_op("RELU", [T(dtype="int16")], [T(dtype="int16")]), "cpu", "int16"),
    ("no scale", one_op("RELU", [T(scale=0)], [IMAGE]), "cpu", "unquantized"),
    (
        "dynamic batch",
        one_op("RELU", [T(signature=(-1, 8, 8, 4))], [IMAGE]),
        "cpu",
        "no constant size",
    ),
    ("batch of 2", one_op("RELU", [VIDEO], [VIDEO]), "cpu", "3 innermost"),
    ("weights from outside", one_op("CONV_2D", [IMAGE, T((4, 3, 3, 4))], [IMAGE]), "cpu", "no con"),
    ("two subgraphs", one_op("RELU", [IMAGE], [IMAGE], subgraphs=2), "cpu", "one subgraph"),
    # Left to the compiler
    ("reshape", one_op("RESHAPE", [IMAGE, const([1, 256])], [T((1, 256))]), "conditional", "large"),
    (
        "resize bilinear",
        one_op("RESIZE_BILINEAR", [SMALL, const([8, 8])], [IMAGE]),
        "conditional",
        "precision",
    ),
    (
        "resize nearest",
        one_op("RESIZE_NEAREST_NEIGHBOR", [SMALL, const([8, 8])], [IMAGE]),
        "conditional",
        "precision",
    ),
    (
        "dense of a newer version",
        one_op("FULLY_CONNECTED", [VECTOR, weights(10, 16)], [T((1, 10))], {}, version=12),
        "conditional",
        "newer than the last compiler",
    ),
    (
        "dense per channel",
        one_op("FULLY_CONNECTED", [VECTOR, PER_CHANNEL, bias(10)], [T((1, 10))], {}),
        "conditional",
        "10 weight scales",
    ),
    ("mean of axis 0 of two", one_op("MEAN", [VECTOR, const([0])], [T((16,))]), "conditional", "0"),
    (
        "lstm",
        one_op("UNIDIRECTIONAL_SEQUENCE_LSTM", [T((1, 4, 8))], [T((1, 4, 8))]),
        "conditional",
        "LSTM",
    ),
]


@pytest.mark.parametrize(("name", "data", "verdict", "word"), TABLE, ids=[row[0] for row in TABLE])
def test_the_checker_says_what_the_documented_rules_say(name, data, verdict, word):
    (found,) = predict_edgetpu(data).operations
    assert (found.verdict, word in found.reason) == (verdict, True), found
    assert bool(found.reason) == (verdict != "maps")


@pytest.mark.parametrize(
    "file", ["model_float32.tflite", "model_dynamic_range_quant.tflite", "model_float16.tflite"]
)
def test_a_file_that_is_not_integer_throughout_breaks_at_once(file, digits_bundle):
    prediction = predict_edgetpu((digits_bundle / file).read_bytes())
    assert prediction.mapped == 0
    assert prediction.first_break.index == 0
    assert "float" in prediction.first_break.reason


def test_a_small_network_maps_whole(digits_bundle):
    data = (digits_bundle / "model_full_integer_quant.tflite").read_bytes()
    prediction = predict_edgetpu(data)
    assert prediction.first_break is None
    assert prediction.mapped == len(prediction.operations) >= 8
    assert f"{prediction.mapped} of {prediction.mapped} operations map" in prediction.to_text()
    assert 1000 < prediction.parameter_bytes < len(data)
    stored = json.loads(json.dumps(prediction.to_json()))
    assert stored["predicted"] is True
    assert stored["mapped"] == stored["total"]


def converted(network, spec, images: np.ndarray, io: str | None) -> bytes:
    """Keras -> integers through the converter, with float ends unless `io` is a type."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([freeze(network, spec.shape)])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([t[None].astype("float32")] for t in images)
    if io:
        converter.inference_input_type = converter.inference_output_type = getattr(tf, io)
    return converter.convert()


def test_float_ends_stay_on_the_cpu_and_cut_nothing(digits_model):
    lab = load_lab_model(digits_model)
    data = converted(lab.network, lab.card.input, lab.test.tensors[:20], None)
    prediction = predict_edgetpu(data)
    verdicts = [op.verdict for op in prediction.operations]
    assert verdicts[0] == verdicts[-1] == "end"
    assert prediction.first_break is None
    assert prediction.mapped == len(verdicts) - 2


def test_the_first_break_is_named_and_what_follows_stays_on_the_cpu():
    import keras

    spec = InputSpec(width=20, height=24)
    image = keras.Input(spec.shape)
    x = keras.layers.Conv2D(4, 3)(image)
    x = keras.layers.Conv2D(4, 3)(keras.layers.Activation("hard_silu")(x))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    images = np.random.default_rng(0).integers(0, 256, (8, *spec.shape), dtype=np.uint8)
    prediction = predict_edgetpu(converted(network, spec, images, "uint8"))
    names = [op.name for op in prediction.operations]
    assert prediction.first_break.name == "HARD_SWISH"
    assert prediction.mapped == names.index("HARD_SWISH") == 2
    assert prediction.operations[-1].verdict == "maps"  # on its own it would
    assert "first break: op 2 HARD_SWISH (not in the table" in prediction.to_text()


def test_garbage_is_refused_in_a_line():
    for data in (b"", b"\x18\0\0\0TFL3" + b"\xff" * 64, b"\x1c\0\0\0TFL3 edgetpu-custom-op"):
        with pytest.raises(ArtifactError, match="export it again"):
            predict_edgetpu(data)
    for name in ("SOFTMAX", "QUANTIZE", "PAD"):
        with pytest.raises(ArtifactError, match="damaged"):
            predict_edgetpu(one_op(name, [], []))


@pytest.mark.parametrize(("name", "data"), [row[:2] for row in TABLE if row[2] == "maps"])
def test_the_supported_models_are_real_ones_that_a_cpu_runs(name, data):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_the_table_holds_all_three_answers_and_most_supported_operations():
    assert len(TABLE) >= 25
    assert {row[2] for row in TABLE} == {"maps", "conditional", "cpu"}
    seen = {op.name for row in TABLE for op in predict_edgetpu(row[1]).operations}
    assert len(SUPPORTED.keys() & seen) >= 25
