"""`edgecnn import`: files of other tools as bundles that answer as the files do."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
from colour_net import strongest_channel
from one_op import T, one_op
from onnx import TensorProto, helper, numpy_helper

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.imported.ends import Ends
from edgecnn.export.imported.import_model import ImportOptions, import_model
from edgecnn.export.imported.tflite_ends import TfliteFile

CLASSES = ("blue", "green", "red")
SIDE = 16
COMPILED = one_op("edgetpu-custom-op", [T((1, SIDE, SIDE, 3))], [T((1, 3))], custom=True)


def colour_net(*, first: bool, mean: float, scale: float, bgr: bool = False) -> bytes:
    """An ONNX net that tells the strongest channel; it wants (pixel / 255 - mean) / scale.

    Each score saturates: pixels in another range make all classes alike.
    """
    middle = (120 / 255 - mean) / scale
    return strongest_channel(SIDE, gain=8.5 * scale, middle=middle, low=-1.2, first=first, bgr=bgr)


def with_names(data: bytes, names: dict[str, str]) -> bytes:
    """The net with other names, its scores once more through both branches of an If."""
    model = onnx.load_from_string(data)
    graph = model.graph
    names = {"y": "from_branch"} | names
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for one in (*graph.input, *graph.initializer):
        one.name = names.get(one.name, one.name)
    branch = helper.make_graph(
        [helper.make_node("Identity", [names["y"]], ["inner"], name="edgecnn_1")],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [None, 3])],
    )
    graph.initializer.append(numpy_helper.from_array(np.array(True), "edgecnn_weights"))
    both = {"then_branch": branch, "else_branch": branch}
    graph.node.append(helper.make_node("If", ["edgecnn_weights"], ["last"], **both))
    graph.output[0].name = "last"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "names",
    [
        {"x": "image", "y": "scores"},  # as `edgecnn export` calls them
        {"x": "scores", "y": "image"},
        {"order": "image", "middle": "scores"},
        {"m": "image", "d": "edgecnn_bias", "g": "edgecnn_flat"},
    ],
)
def test_names_in_the_file_do_not_clash_with_those_of_its_ends(tmp_path, colours, names):
    path = tmp_path / "net.onnx"
    path.write_bytes(with_names(colour_net(first=True, mean=0.0, scale=1.0), names))
    result = import_model(path, None, colours, tmp_path / "one.edgecnn")
    assert result.lab.accuracy == 1.0
    (graph,) = (onnx.load(p).graph for p in result.bundle.glob("*.onnx"))
    assert [one.name for one in (*graph.input, *graph.output)] == ["image", "scores"]
    again = next(result.bundle.glob("*.onnx"))
    assert import_model(again, None, colours, tmp_path / "two.edgecnn").lab.accuracy == 1.0


@pytest.mark.parametrize(
    ("first", "mean", "scale", "bgr", "found"),
    [
        (True, 0.0, 1.0, False, ("unit", "rgb")),
        (False, 0.5, 0.5, False, ("minus_one_one", "rgb")),
        (True, 0.0, 1 / 255, True, ("none", "bgr")),
    ],
)
def test_an_onnx_file_is_measured_with_the_pixels_that_it_was_made_for(
    tmp_path, colours, first, mean, scale, bgr, found
):
    path = tmp_path / "net.onnx"
    path.write_bytes(colour_net(first=first, mean=mean, scale=scale, bgr=bgr))
    result = import_model(path, None, colours, tmp_path / "net.edgecnn")
    assert (result.normalize, result.color) == found
    assert result.lab.accuracy == 1.0
    assert result.lab.total == 30  # the other half chose
    classifier = Classifier(result.bundle)
    assert classifier.artifact.file == "model_float32.onnx"
    for name in CLASSES:
        answer = classifier(cv2.imread(str(colours / name / "3.png")))
        assert answer.label == name
        assert sum(answer.scores) == pytest.approx(1, abs=1e-5)  # its logits got a softmax
    assert all(one.ok for one in classifier.replay_golden())


def test_what_is_said_is_not_searched_for_and_all_images_are_measured(tmp_path, colours):
    path = tmp_path / "net.onnx"
    path.write_bytes(colour_net(first=True, mean=0.0, scale=1.0))
    options = ImportOptions(normalize="unit")
    result = import_model(path, None, colours, tmp_path / "net.edgecnn", options)
    assert result.lab.total == 60
    assert Bundle.open(result.bundle).card.training["imported"]["normalize"] == "unit"


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("kind", ["float32", "full_integer_quant"])
def test_a_tflite_file_answers_as_before(tmp_path, digits_bundle, digits_folder, kind, color):
    own = Classifier(digits_bundle, f"model_{kind}.tflite")
    path = tmp_path / "net.tflite"
    data = Bundle.open(digits_bundle).read(f"model_{kind}.tflite")
    size_hw = (own.card.input.height, own.card.input.width)
    if color == "bgr":
        data = TfliteFile(data, "net.tflite").between(Ends("none", "bgr"), size_hw)
    path.write_bytes(data)
    options = ImportOptions(normalize="none", color=color)
    result = import_model(path, None, digits_folder, tmp_path / "net.edgecnn", options)
    imported = Classifier(result.bundle)
    program = imported.bundle.read("classify.py")
    assert program == Bundle.open(digits_bundle).read("classify.py")
    if color == "rgb":
        assert imported.artifact.kind == own.artifact.kind
    for image in sorted((digits_folder / "7").glob("*.png"))[:5]:
        frame = cv2.imread(str(image))
        assert np.abs(np.subtract(imported(frame).scores, own(frame).scores)).max() < 0.03


def test_labels_are_named_in_the_order_of_the_scores(tmp_path, colours):
    path, names = tmp_path / "net.onnx", tmp_path / "labels.txt"
    data = colour_net(first=True, mean=0.0, scale=1.0)
    path.write_bytes(data)
    names.write_text("0 blue\n1 green\n2 red\n")
    options = ImportOptions(normalize="unit")
    result = import_model(path, names, colours, tmp_path / "net.edgecnn", options)
    assert Bundle.open(result.bundle).card.labels == CLASSES


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("net.keras", b"x", ModelError, "edgecnn export --lab"),
        ("net.tflite", b"nothing", ModelError, "no TFL3 mark"),
        ("net.onnx", b"\x00\xffnothing", ArtifactError, "net"),
        ("net.onnx", COMPILED, ModelError, "net.onnx is a TFLite file; name it .tflite"),
        ("none.onnx", None, ModelError, "can't read"),
        ("net.tflite", COMPILED, ModelError, "Edge TPU, .*; import the file that it was compiled"),
    ],
)
def test_what_is_no_classifier_is_refused_in_one_line(
    tmp_path, colours, name, data, error, message
):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises((ModelError, ArtifactError), match=message) as caught:
        import_model(path, None, colours, tmp_path / "net.edgecnn")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "net.edgecnn").exists()
