"""`edgecnn import` and `export`: sigmoids, integer scores and classes as answers; what an integer
input says of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.errors import ModelError
from edgecnn.export.export import export
from edgecnn.export.imported.ends import Ends
from edgecnn.export.imported.import_model import ImportOptions, import_model
from edgecnn.export.imported.onnx_ends import OnnxFile
from edgecnn.export.imported.tflite_ends import TfliteFile
from edgecnn.export.imported.ways import FedFile
from edgecnn.export.options import ExportOptions
from edgecnn.export.readback.kinds import read_kind
from edgecnn.model.networks.adopt import end_in_softmax

SIDE = 16
CLASSES = ("blue", "green", "red")
KERNEL = 36 * np.eye(3, dtype=np.float32)[::-1]  # blue, green, red from R, G, B
UNIT = ImportOptions(normalize="unit")


def colour_net(activation: str | None = None, *, first: bool = False) -> keras.Model:
    """Mean of each channel of 0..1 pixels, times KERNEL."""
    layers = keras.layers
    image = keras.Input((3, SIDE, SIDE) if first else (SIDE, SIDE, 3))
    dense = layers.Dense(3, activation=activation)
    x = layers.Permute((2, 3, 1))(image) if first else image
    net = keras.Model(image, dense(layers.GlobalAveragePooling2D()(x)))
    dense.set_weights([KERNEL, np.full(3, -18, np.float32)])
    return net


def quantized(net: keras.Model, path: Path, scale: float, kind: tf.DType) -> Path:
    """An integer file whose calibration images had values 0..255 * scale."""

    def images() -> Iterator[list[np.ndarray]]:
        rng = np.random.default_rng(0)
        for _ in range(20):
            image = rng.integers(60, 140, (1, SIDE, SIDE, 3)).astype(np.float32)
            image += rng.integers(0, 70, 3)
            image[0, 0, 0], image[0, 0, 1] = 0, 255
            order = (0, 3, 1, 2) if net.input_shape[1] == 3 else (0, 1, 2, 3)
            yield [image.transpose(order) * np.float32(scale)]

    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = images
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if kind == tf.int16
        else tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = kind
    path.write_bytes(converter.convert())
    return path


def plain(net: keras.Model, path: Path) -> Path:
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    return path


def onnx_net(path: Path, *ends: onnx.NodeProto, kind: int, **constants: np.ndarray) -> Path:
    """Logits of `colour_net` as "y", and nodes behind them that make "z"."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "kernel"], ["k"]),
        helper.make_node("Sub", ["k", "middle"], ["y"]),
        *ends,
    ]
    constants = {"kernel": np.ascontiguousarray(KERNEL), "middle": np.float32(18)} | constants
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("z", kind, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def softmax_of_logits(colours: Path, name: str) -> np.ndarray:
    picture = cv2.imread(str(colours / name / "3.png"))[..., ::-1] / 255
    logits = picture.mean(axis=(0, 1)) @ KERNEL
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())


def check_scores(bundle: Path, colours: Path, error: float) -> Classifier:
    """The bundle's scores are the softmax of the net's logits."""
    classifier = Classifier(bundle)
    for name in CLASSES:
        answer = classifier(cv2.imread(str(colours / name / "3.png")))
        assert answer.label == name
        np.testing.assert_allclose(
            answer.scores, softmax_of_logits(colours, name), rtol=0, atol=error
        )
    return classifier


@pytest.mark.parametrize("form", ["float", "uint8", "onnx", "half", "keras"])
def test_sigmoids_of_many_classes_become_shares_that_mean_something(tmp_path, colours, form):
    """A softmax behind them squeezes every confidence to nothing: 0.58 of three classes at most."""
    net = colour_net("sigmoid")
    if form == "onnx":
        sigmoid = helper.make_node("Sigmoid", ["y"], ["s"])
        flat = helper.make_node("Identity", ["s"], ["z"])
        file = onnx_net(tmp_path / "net.onnx", sigmoid, flat, kind=TensorProto.FLOAT)
    elif form == "half":  # half floats within, as converters make them
        narrow = helper.make_node("Cast", ["y"], ["h"], to=TensorProto.FLOAT16)
        sigmoid = helper.make_node("Sigmoid", ["h"], ["s"])
        wide = helper.make_node("Cast", ["s"], ["z"], to=TensorProto.FLOAT)
        file = onnx_net(tmp_path / "net.onnx", narrow, sigmoid, wide, kind=TensorProto.FLOAT)
    elif form == "keras":
        file = tmp_path / "net.keras"
        net.save(file)
    elif form == "uint8":
        file = quantized(net, tmp_path / "net.tflite", 1 / 255, tf.uint8)
    else:
        file = plain(net, tmp_path / "net.tflite")
    target = tmp_path / "net.edgecnn"
    if form == "keras":
        formats = ("tflite-float32",)
        options = ExportOptions(lab=colours, normalize="unit", formats=formats)
        said: tuple[str, ...] = export(file, colours, target, options).warnings
    else:
        said = import_model(file, None, colours, target, UNIT).notes
    assert any("a softmax stands in the place of these" in line for line in said)
    classifier = check_scores(target, colours, {"uint8": 0.15, "half": 1e-2}.get(form, 1e-4))
    if form == "uint8":
        assert classifier.artifact.kind == "full_integer"


def test_percentages_of_a_keras_network_are_warned_of_and_logits_are_not():
    layers, pictures = keras.layers, np.zeros((2, 2, 2, 3), np.uint8)
    pictures[1] = 255
    for last, said in ((layers.Rescaling(100.0), True), (layers.ReLU(), False)):
        scores = layers.Dense(3, activation="softmax" if said else None)
        inner = [layers.GlobalAveragePooling2D(), scores, last]
        net = keras.Sequential([keras.Input((2, 2, 3)), *inner])
        scores.set_weights([np.float32([[0.01, 0, 0]] * 3), np.float32([0, 1, 2])])
        _, note = end_in_softmax("net", net, pictures)
        assert (note is not None and "don't sum to 1" in note) == said


@pytest.mark.parametrize(("kind", "factor"), [("Sigmoid", 0.5), ("Softmax", 100)])
def test_shares_that_are_no_sigmoids_are_warned_of(tmp_path, colours, kind, factor):
    """Percentages too."""
    scaled = helper.make_node("Mul", ["s", "factor"], ["z"])
    shares = helper.make_node(kind, ["y"], ["s"])
    constants = {"factor": np.float32(factor)}
    net = onnx_net(tmp_path / "net.onnx", shares, scaled, kind=TensorProto.FLOAT, **constants)
    result = import_model(net, None, colours, tmp_path / "net.edgecnn", UNIT)
    assert "don't sum to 1" in result.warnings[0]


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_integer_scores_of_onnx_are_read_by_their_scale(tmp_path, colours, softmax, kind):
    """Cast alone, 0.6 and 0.4 would be 153 and 102, of which a softmax makes 1 and 0."""
    source, step = ("p", 1 / 255) if softmax else ("y", 0.1)
    zero = np.array(0 if kind == np.uint8 else -128 if softmax else 0, kind)
    if not softmax and kind == np.uint8:
        zero = np.array(128, kind)
    ends = [helper.make_node("Softmax", ["y"], ["p"], axis=1)] if softmax else []
    ends.append(helper.make_node("QuantizeLinear", [source, "step", "zero"], ["q"]))
    ends.append(helper.make_node("Flatten", ["q"], ["z"]))
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    file = onnx_net(tmp_path / "net.onnx", *ends, kind=element, step=np.float32(step), zero=zero)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", UNIT)
    check_scores(result.bundle, colours, 0.02 if softmax else 0.06)


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_16_bit_scores_of_tflite_are_read_by_their_scale(tmp_path, colours, activation):
    """Cast alone, 0.6 and 0.4 would be 19,661 and 13,107: every answer would be sure."""
    file = quantized(colour_net(activation), tmp_path / "net.tflite", 1 / 255, tf.int16)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", UNIT)
    classifier = check_scores(result.bundle, colours, 0.02)
    unsure = classifier(np.full((SIDE, SIDE, 3), (120, 115, 110), np.uint8))
    shares = np.exp(np.array([120, 115, 110]) / 255 * 36)
    np.testing.assert_allclose(unsure.scores, shares / shares.sum(), rtol=0, atol=0.02)


@pytest.mark.parametrize("form", ["squeezed", "column"])
def test_scores_without_a_batch_are_counted(tmp_path, colours, form):
    """[3] and [3, 1] instead of [1, 3]: they were taken for one score."""
    net, file = colour_net(), tmp_path / "net.tflite"
    shape = {"squeezed": (3,), "column": (3, 1)}[form]
    turned = keras.layers.Lambda(lambda scores: tf.reshape(scores, shape), output_shape=shape[1:])
    plain(keras.Model(net.input, turned(net.output)), file)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", UNIT)
    check_scores(result.bundle, colours, 1e-4)


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_a_file_that_answers_a_class_is_refused_with_the_way_out(tmp_path, colours, suffix):
    file = tmp_path / f"net.{suffix}"
    if suffix == "onnx":
        best = helper.make_node("ArgMax", ["y"], ["z"], axis=1, keepdims=0)
        onnx_net(file, best, kind=TensorProto.INT64)
    else:
        net = colour_net()
        best = keras.layers.Lambda(lambda scores: tf.argmax(scores, axis=1), output_shape=())
        plain(keras.Model(net.input, best(net.output)), file)
    with pytest.raises(ModelError, match="expected one score a class; convert it again without"):
        import_model(file, None, colours, tmp_path / "net.edgecnn")


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_a_tflite_file_may_have_its_channels_first(tmp_path, colours, kind):
    """As PyTorch's converters write it."""
    net, file = colour_net(first=True), tmp_path / "net.tflite"
    if kind == "float32":
        plain(net, file)
    else:
        quantized(net, file, 1 / 255, getattr(tf, kind))
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", UNIT)
    check_scores(result.bundle, colours, 1e-4 if kind == "float32" else 0.15)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", [tf.uint8, tf.int8])
def test_the_scale_of_an_integer_input_says_its_normalization(tmp_path, colours, kind, color):
    """Other ways clip its values, and may read a few images better by luck."""
    file = quantized(colour_net("softmax"), tmp_path / "net.tflite", 1 / 255, kind)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn")
    assert (result.normalize, result.color) == ("unit", "rgb")
    assert not any("--normalize none" in note for note in result.notes)
    assert result.artifact.kind == "full_integer"
    payload = TfliteFile(file.read_bytes(), file.name).between(Ends("unit", color), (SIDE, SIDE))
    assert read_kind(payload) == "full_integer"
    pixels = cv2.imread(str(colours / "red" / "3.png"))[..., ::-1]
    seen = (pixels if color == "rgb" else pixels[..., ::-1]).astype(np.int16)
    own = Interpreter(str(file))
    own.allocate_tensors()
    (image,), (scores,) = own.get_input_details(), own.get_output_details()
    own.set_tensor(image["index"], (seen - 128 * (kind == tf.int8))[None].astype(image["dtype"]))
    own.invoke()
    scale, zero = scores["quantization"]
    wanted = (own.get_tensor(scores["index"])[0].astype(float) - zero) * scale
    given = load_runtime(payload, file.name).invoke(np.ascontiguousarray(pixels))
    np.testing.assert_allclose(given, wanted, atol=1e-6)


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_what_a_float_input_is_quantized_to_says_its_normalization(tmp_path, suffix):
    """Converters leave the ends in float where nothing else is asked of them."""
    file = tmp_path / f"net.{suffix}"
    if suffix == "tflite":
        found = TfliteFile(quantized(colour_net(), file, 1 / 255, tf.float32).read_bytes(), "net")
    else:
        quantize = helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"])
        real = helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"])
        onnx_net(file, kind=TensorProto.FLOAT, scale=np.float32(1 / 255), zero=np.int8(-128))
        model = onnx.load(file)
        model.graph.node.insert(0, real)
        model.graph.node.insert(0, quantize)
        model.graph.input[0].name = "image"
        found = OnnxFile(model.SerializeToString(), "net")
    assert FedFile(file.name, found, (SIDE, SIDE)).said() == {"unit"}


def test_an_onnx_file_of_half_floats_is_fed_raw_pixels(tmp_path, colours):
    """A Cast in front and one behind it: no two have one name."""
    narrow = helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT16)
    file = onnx_net(tmp_path / "net.onnx", narrow, kind=TensorProto.FLOAT16)
    model = onnx.load(file)
    model.graph.node.insert(0, helper.make_node("Cast", ["half"], ["x"], to=TensorProto.FLOAT))
    shape = [None, SIDE, SIDE, 3]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("half", TensorProto.FLOAT16, shape))
    onnx.save(model, file)
    options = ImportOptions(normalize="none")
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", options)
    assert result.lab.accuracy == 1.0


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_a_file_of_several_images_at_once_is_refused(tmp_path, colours, suffix):
    file = tmp_path / f"net.{suffix}"
    if suffix == "onnx":
        same = helper.make_node("Identity", ["y"], ["z"])
        model = onnx.load(onnx_net(file, same, kind=TensorProto.FLOAT))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
        onnx.save(model, file)
    else:
        net = colour_net()
        given = tf.TensorSpec((4, SIDE, SIDE, 3), tf.float32)
        run = tf.function(lambda x: net(x, training=False), input_signature=[given])
        concrete = [run.get_concrete_function()]
        converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, net)
        file.write_bytes(converter.convert())
    with pytest.raises(ModelError, match="takes 4 images at once, expected one"):
        import_model(file, None, colours, tmp_path / "net.edgecnn")
