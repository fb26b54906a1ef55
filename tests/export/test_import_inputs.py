"""`edgecnn import`: whole-number inputs, open sizes, single sigmoids and several outputs."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.classifier import Classifier
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.imported.import_model import ImportOptions, import_model
from edgecnn.export.imported.onnx_ends import OnnxFile
from edgecnn.export.imported.ways import FedFile

SIDE = 16
CLASSES = ("blue", "green", "red")
KERNEL = 36 * np.eye(3, dtype=np.float32)[::-1]  # blue, green, red from R, G, B


def converted(model: keras.Model, path: Path) -> Path:
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def byte_net(color: str = "rgb") -> keras.Model:
    """Takes uint8 pixels without scale and zero point."""
    channels = 1 if color == "grey" else 3
    layers = keras.layers
    image = keras.Input((SIDE, SIDE, channels), dtype="uint8")
    dense = layers.Dense(3)
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    net = keras.Model(image, dense(x))
    kernels = {"rgb": KERNEL, "bgr": KERNEL[::-1], "grey": np.float32([[20, 0, -20]])}
    dense.set_weights([kernels[color], np.zeros(3, np.float32)])
    return net


def onnx_net(path: Path, front: str, kind: int) -> Path:
    """Means of the channels of 0..1 pixels, times KERNEL / 6, from an input of another type.

    front: DequantizeLinear, of scale 1/255, or the same by channel, or Cast: the numbers are taken
        as they are.
    """
    np_kind = helper.tensor_dtype_to_np_dtype(kind)
    scale = 1.0 if np_kind.kind == "f" else 1 / 255  # a real input is in 0..1
    zero = -128 if np_kind == np.int8 else 0
    if front == "Cast":
        nodes = [
            helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["c", "scale"], ["d"]),
        ]
    else:
        axis = {"axis": 3} if front == "by channel" else {}
        nodes = [helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["d"], **axis)]
    nodes += [
        helper.make_node("ReduceMean", ["d"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "kernel"], ["y"]),
    ]
    kernel = KERNEL / 6  # far from certainty: a wrong pixel shows
    constants = {"scale": np.float32(scale), "zero": np.array(zero, np_kind), "kernel": kernel}
    if front == "by channel":
        constants |= {"scale": np.float32([scale] * 3), "zero": np.array([zero] * 3, np_kind)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, [None, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("color", ["rgb", "bgr", "grey"])
def test_a_tflite_file_of_uint8_pixels_without_a_scale_answers_as_before(tmp_path, colours, color):
    net = byte_net(color)
    file = converted(net, tmp_path / "net.tflite")
    place, options = tmp_path / "net.edgecnn", ImportOptions(normalize="none", color=color)
    result = import_model(file, None, colours, place, options)
    classifier = Classifier(result.bundle)
    for path in sorted(colours.rglob("*.png"))[::7]:
        frame_bgr = cv2.imread(str(path))
        image = frame_bgr if color == "bgr" else frame_bgr[..., ::-1]
        if color == "grey":
            image = np.rint(image @ np.array([0.299, 0.587, 0.114]))[..., None]
        expected = tf.nn.softmax(net(image[None].astype(np.uint8))).numpy()[0]
        assert np.abs(np.array(classifier(frame_bgr).scores) - expected).max() < 1e-4


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_whole_numbers_are_not_normalized(tmp_path, colours, suffix):
    file = tmp_path / f"net.{suffix}"
    if suffix == "onnx":
        onnx_net(file, "Cast", TensorProto.UINT8)
    else:
        converted(byte_net(), file)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn")
    assert (result.normalize, result.color, result.lab.accuracy) == ("none", "rgb", 1.0)
    for normalize in ("unit", "caffe"):
        options = ImportOptions(normalize=normalize)
        with pytest.raises(ModelError, match=rf"uint8 .*--normalize {normalize} to whole") as found:
            import_model(file, None, colours, tmp_path / "other.edgecnn", options)
        assert "\n" not in str(found.value)
    assert import_model(
        file, None, colours, tmp_path / "net.edgecnn", ImportOptions(normalize="none")
    ).lab.accuracy == pytest.approx(1.0)


def test_int8_without_a_scale_holds_no_pixels(tmp_path, colours):
    file = onnx_net(tmp_path / "net.onnx", "Cast", TensorProto.INT8)
    with pytest.raises(ModelError, match="int8 without a scale and zero point"):
        import_model(file, None, colours, tmp_path / "net.edgecnn")


@pytest.mark.parametrize(
    ("front", "kind"),
    [
        ("DequantizeLinear", TensorProto.UINT8),
        ("DequantizeLinear", TensorProto.INT8),
        ("by channel", TensorProto.INT8),
        ("Cast", TensorProto.FLOAT16),
        ("Cast", TensorProto.DOUBLE),
    ],
)
def test_an_onnx_input_of_another_type_is_met_by_its_meaning(tmp_path, colours, front, kind):
    file = onnx_net(tmp_path / "net.onnx", front, kind)
    place = tmp_path / "net.edgecnn"
    result = import_model(file, None, colours, place, ImportOptions(normalize="unit"))
    classifier = Classifier(result.bundle)
    frame_bgr = cv2.imread(str(colours / "red" / "3.png"))
    logits = (frame_bgr[..., ::-1] / 255).mean(axis=(0, 1)) @ (KERNEL / 6)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert np.abs(np.array(classifier(frame_bgr).scores) - expected).max() < 2e-3


@pytest.mark.parametrize(
    ("scale", "zero", "expected"),
    [
        (1 / 255, -128, {"unit"}),
        (0.8 / 255, -128, {"unit"}),
        (1.7 / 255, 22, {"minus_one_one"}),
        (4.2 / 255, -1, {"imagenet"}),
        (0.7, -128, {"none"}),
        (0.9, -9, {"caffe"}),
        (100.0, 0, set()),
    ],
)
def test_the_scale_of_an_input_says_its_normalization_without_black_or_white_too(
    tmp_path, scale, zero, expected
):
    """The calibration images of a converter need not hold each value."""
    file = onnx_net(tmp_path / "net.onnx", "DequantizeLinear", TensorProto.INT8)
    model = onnx.load(file)
    values = {"scale": np.float32(scale), "zero": np.int8(zero)}
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(np.array(values[tensor.name]), tensor.name))
    foreign = OnnxFile(model.SerializeToString(), file.name)
    assert FedFile(file.name, foreign, (SIDE, SIDE)).said() == expected


def test_pixels_that_an_integer_input_cuts_off_are_counted(tmp_path, colours):
    """A converter that saw dark images leaves an input that holds dark pixels only."""
    file = onnx_net(tmp_path / "net.onnx", "DequantizeLinear", TensorProto.INT8)
    options, model = ImportOptions(normalize="unit"), onnx.load(file)
    assert not import_model(file, None, colours, tmp_path / "net.edgecnn", options).warnings
    scale = next(one for one in model.graph.initializer if one.name == "scale")
    for step, said in ((0.4 / 255, "from 0 to 0.4: with --normalize unit"), (1e-9, "same scores")):
        scale.CopyFrom(numpy_helper.from_array(np.float32(step), "scale"))
        file.write_bytes(model.SerializeToString())
        if said == "same scores":
            with pytest.raises(ModelError, match=rf"{said}: .* cut off; give the --normalize"):
                import_model(file, None, colours, tmp_path / "net.edgecnn", options)
        else:
            found = import_model(file, None, colours, tmp_path / "net.edgecnn", options)
            assert said in found.warnings[0]


def test_weights_in_a_file_beside_an_onnx_file_are_read(tmp_path, colours):
    """As PyTorch writes them today."""
    file = onnx_net(tmp_path / "net.onnx", "Cast", TensorProto.FLOAT)
    beside = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    onnx.save(onnx.load(file), file, **beside)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn")
    assert result.lab.accuracy == 1.0
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"in another file, net.onnx.data, .*copy both files"):
        import_model(file, None, colours, tmp_path / "net.edgecnn")


def test_a_single_sigmoid_has_two_labels(tmp_path, colours):
    two = tmp_path / "two"
    for name in CLASSES[:2]:
        (two / name).mkdir(parents=True)
        for path in (colours / name).iterdir():
            (two / name / path.name).write_bytes(path.read_bytes())
    dense = keras.layers.Dense(1, activation="sigmoid")
    pooled = keras.layers.GlobalAveragePooling2D()
    net = keras.Sequential([keras.Input((SIDE, SIDE, 3)), pooled, dense])
    dense.set_weights([np.float32([[0], [0.3], [-0.3]]), np.zeros(1, np.float32)])
    file = converted(net, tmp_path / "net.tflite")
    result = import_model(file, None, two, tmp_path / "net.edgecnn", ImportOptions("none"))
    assert result.lab.accuracy == 1.0


def test_a_tflite_file_of_any_size_needs_one(tmp_path, colours):
    dense = keras.layers.Dense(3)
    pooled = keras.layers.GlobalAveragePooling2D()
    net = keras.Sequential([keras.Input((None, None, 3)), pooled, dense])
    dense.set_weights([KERNEL, np.zeros(3, np.float32)])
    file = converted(net, tmp_path / "net.tflite")
    with pytest.raises(ModelError, match="images of any size; fix it with --width and --height"):
        import_model(file, None, colours, tmp_path / "net.edgecnn")
    options = ImportOptions(normalize="unit", width=12, height=10)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", options)
    assert result.lab.accuracy == 1.0
    assert Classifier(result.bundle).card.input.shape == (10, 12, 3)


def test_an_onnx_file_of_any_size_and_order_has_its_channels_where_its_convolution_has_them(
    tmp_path, colours
):
    nodes = [
        helper.make_node("Mul", ["x", "one"], ["m"]),
        helper.make_node("Conv", ["m", "same"], ["c"]),
        helper.make_node("ReduceMean", ["c"], ["p"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["p", "kernel"], ["y"]),
    ]
    same = np.eye(3, dtype=np.float32)[:, :, None, None]
    constants = {"one": np.float32(1), "same": same, "kernel": np.ascontiguousarray(KERNEL)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "c", "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 3])],
        [numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    opset, file = [helper.make_opsetid("", 13)], tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    options = ImportOptions(normalize="unit", width=12, height=10)
    result = import_model(file, None, colours, tmp_path / "net.edgecnn", options)
    assert result.lab.accuracy == 1.0


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (None, "net.onnx can't be loaded: .*Unsupported model IR version: 99"),
        (("ZipMap", "ai.onnx.ml"), r"net.onnx can't be loaded: .*for ZipMap\(1\)"),
    ],
)
def test_what_onnxruntime_can_not_load_is_said_in_a_line(tmp_path, colours, node, message):
    file = onnx_net(tmp_path / "net.onnx", "Cast", TensorProto.FLOAT)
    model = onnx.load(file)
    if node:  # of unknown shape, so that its scores have to be counted
        model.graph.node.append(helper.make_node(node[0], ["y"], ["z"], domain=node[1]))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
        model.opset_import.append(helper.make_opsetid(node[1], 1))
    else:
        model.ir_version = 99
    onnx.save(model, file)
    with pytest.raises(ArtifactError, match=message) as found:
        import_model(file, None, colours, tmp_path / "net.edgecnn")
    assert "\n" not in str(found.value)
    assert "onnxruntime_src" not in str(found.value)


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
@pytest.mark.parametrize("which", ["inputs", "outputs"])
def test_several_inputs_or_outputs_are_counted_and_the_way_out_is_named(
    tmp_path, colours, suffix, which
):
    file = tmp_path / f"net.{suffix}"
    if suffix == "tflite":
        layers = keras.layers
        one, two = (keras.Input((SIDE, SIDE, 3)) for _ in range(2))
        pooled = layers.GlobalAveragePooling2D()
        x = pooled(one)
        net = (
            keras.Model([one, two], layers.Add()([x, pooled(two)]))
            if which == "inputs"
            else keras.Model(one, [layers.Dense(3)(x), layers.Dense(2)(x)])
        )
        converted(net, file)
    else:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "abcd"]
        nodes = [helper.make_node("Add", ["a", "a" if which == "outputs" else "b"], ["c"])]
        nodes += [helper.make_node("Identity", ["c"], ["d"])]
        ends = (infos[:1], infos[2:]) if which == "outputs" else (infos[:2], infos[3:])
        model = helper.make_model(
            helper.make_graph(nodes, "net", *ends),
            opset_imports=[helper.make_opsetid("", 13)],
            ir_version=8,
        )
        file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=rf"has 2 {which} \(.+, .+\), expected one") as found:
        import_model(file, None, colours, tmp_path / "net.edgecnn")
    advice = "keras.Model" if suffix == "tflite" else "extract_model"
    assert (advice in str(found.value)) == (which == "outputs")
