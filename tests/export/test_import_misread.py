"""`edgecnn import` notices a file that is fed wrongly, or whose labels are in another order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from colour_net import strongest_channel
from onnx import TensorProto, helper, numpy_helper

from edgecnn.errors import ArtifactError, ModelError, OutputError
from edgecnn.export.imported.import_model import ImportOptions, import_model

SIDE = 16
CLASSES = ("blue", "green", "red")
UNIT = {"gain": 36.0, "middle": 120 / 255}


def colour_net(path: Path, *, gain: float, middle: float = 0.0, low: float = -5.0) -> Path:
    """Tells the strongest channel: the logits of blue, green, red are (mean - middle) * gain.

    With a lower limit that is near, pixels in another range make all classes alike.
    """
    path.write_bytes(strongest_channel(SIDE, gain=gain, middle=middle, low=low))
    return path


@pytest.fixture
def turned(tmp_path) -> Path:
    """Labels whose order is that of the scores turned by one place: no swap of colours mends it."""
    place = tmp_path / "labels.txt"
    place.write_text("green\nred\nblue\n")
    return place


def test_labels_in_another_order_hide_no_normalization_and_are_named(tmp_path, colours, turned):
    net = colour_net(tmp_path / "net.onnx", **UNIT)
    result = import_model(net, turned, colours, tmp_path / "net.edgecnn")
    assert (result.normalize, result.color) == ("unit", "rgb")
    assert result.lab.accuracy < 0.1
    (line,) = result.warnings
    assert "in the order blue, green, red, it would be 100.0 %" in line
    assert "--labels" in line
    assert f"warning: {line}" in result.to_text()
    assert "by the likeliest order of its scores" in result.notes[0]


def test_the_order_is_named_where_the_normalization_is_said(tmp_path, colours, turned):
    net = colour_net(tmp_path / "net.onnx", **UNIT)
    options = ImportOptions(normalize="unit")
    result = import_model(net, turned, colours, tmp_path / "net.edgecnn", options)
    assert "in the order blue, green, red" in result.warnings[0]
    # Wrong pixels beside the wrong order: both are named.
    options = ImportOptions(normalize="none")
    message = r"at chance.*--normalize unit.*order of the labels with --labels"
    with pytest.raises(ModelError, match=message):  # all it sees is white
        import_model(net, turned, colours, tmp_path / "net.edgecnn", options)


def test_a_right_order_is_not_doubted(tmp_path, colours):
    net = colour_net(tmp_path / "net.onnx", **UNIT)
    for normalize in ("search", "unit"):
        options = ImportOptions(normalize=normalize)
        result = import_model(net, None, colours, tmp_path / "net.edgecnn", options)
        assert result.lab.accuracy == 1.0
        assert not result.warnings


def test_a_file_that_is_fed_wrongly_is_refused_with_the_cure(tmp_path, colours):
    net = colour_net(tmp_path / "net.onnx", **UNIT, low=-4.0)
    options = ImportOptions(normalize="none")
    with pytest.raises(
        ModelError, match=r"at chance.*net\.onnx reads .*unit.*import again"
    ) as found:
        import_model(net, None, colours, tmp_path / "net.edgecnn", options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "net.edgecnn").exists()


def test_a_file_at_chance_is_warned_of_or_refused(tmp_path, colours):
    same = colour_net(tmp_path / "same.onnx", gain=0.0)
    with pytest.raises(ModelError, match=r"same\.onnx gives every image the same scores"):
        import_model(same, None, colours, tmp_path / "same.edgecnn")
    # It looks at what tells nothing: pictures of another task.
    other = tmp_path / "other"
    for k, path in enumerate(sorted(colours.rglob("*.png"))):
        (other / CLASSES[k % 3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other / CLASSES[k % 3] / f"{path.parent.name}_{path.name}")
    net = colour_net(tmp_path / "net.onnx", **UNIT)
    result = import_model(net, None, other, tmp_path / "net.edgecnn", ImportOptions("unit"))
    (line,) = result.warnings
    assert "no more than naming the commonest class would" in line


def test_near_ties_are_broken_by_log_loss_and_named(tmp_path, colours):
    lab = Path(shutil.copytree(colours, tmp_path / "lab"))
    for k, name in enumerate(CLASSES):  # one picture in five is filed wrongly
        for path in sorted((lab / name).iterdir())[::5]:
            path.rename(lab / CLASSES[(k + 1) % 3] / f"odd_{path.name}")
    # Without a bias it sees the same in 0..1 and in 0..255, only how sure it is differs.
    net = colour_net(tmp_path / "net.onnx", gain=9.0, low=-1e9)
    result = import_model(net, None, lab, tmp_path / "net.edgecnn")
    assert (result.normalize, result.color) == ("unit", "rgb")
    assert "--normalize none (" in result.notes[1]
    assert "log loss" in result.notes[1]
    assert result.artifact.confidence_error is not None
    error = 100 * result.artifact.confidence_error["raw"]
    assert error < 12
    assert f"confidence is off by {error:.1f} points" in result.to_text()


def test_swapped_width_and_height_are_named(tmp_path):
    rng, height, width = np.random.default_rng(0), 6, 12
    lab, masks = tmp_path / "lab", []
    for k in range(3):
        (lab / str(k)).mkdir(parents=True)
        mask = np.zeros((height, width, 3), np.float32)
        mask[:, 4 * k : 4 * k + 4] = 1
        masks.append(mask)
        for n in range(20):
            frame = np.clip(rng.normal(60, 25, mask.shape) + 90 * mask, 0, 255).astype(np.uint8)
            cv2.imwrite(str(lab / str(k) / f"{n}.png"), frame)
    weights = np.stack([m.ravel() for m in masks], axis=1).astype(np.float32) / 255
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "flat"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "columns",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None, None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        [
            numpy_helper.from_array(np.array([1, weights.shape[0]]), "flat"),
            numpy_helper.from_array(weights, "w"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())

    def imported(**size: int) -> tuple[str, ...]:
        options = ImportOptions(normalize="none", **size)
        place = tmp_path / "net.edgecnn"
        result = import_model(tmp_path / "net.onnx", None, lab, place, options)
        return result.warnings

    assert imported(width=width, height=height) == ()
    (line,) = imported(width=height, height=width)
    assert "with --normalize none --width 12 --height 6 100.0 %: import again" in line
    # It takes 72 pixels only: a runtime notices as it runs.
    with pytest.raises(ArtifactError, match=r"images of 5x5 pixels.*with --width and --height"):
        imported(width=5, height=5)
    fixed, options = colour_net(tmp_path / "c.onnx", **UNIT), ImportOptions("none", width=5)
    with pytest.raises(ModelError, match="pixels and no others; leave --width"):
        import_model(fixed, None, lab, tmp_path / "fixed.edgecnn", options)


@pytest.mark.parametrize("inside", [True, False])
def test_no_output_replaces_what_is_read(tmp_path, digits_bundle, colours, inside):
    bundle = Path(shutil.copytree(digits_bundle, tmp_path / "own.edgecnn"))
    file = bundle / "model_float32.tflite"
    before = sorted(bundle.rglob("*"))
    target = bundle if inside else file
    with pytest.raises(OutputError, match=r"choose another") as found:
        import_model(file, None, colours, target, ImportOptions("none"))
    assert "\n" not in str(found.value)
    assert sorted(bundle.rglob("*")) == before
    assert json.loads((bundle / "card.json").read_text())["artifacts"]
