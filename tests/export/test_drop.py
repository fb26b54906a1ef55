"""A file that loses answers says what its calibration images have to do with it."""

from __future__ import annotations

import re
from dataclasses import replace
from time import sleep
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from samples import sample

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode, read_image, to_tensor
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.judge import lab_frames
from edgecnn.export.readback.check import Checked, CheckedFiles
from edgecnn.export.readback.drop import _Causes, _line
from edgecnn.export.readback.times import slow_files, with_times
from edgecnn.model.read import load_lab_model


def test_a_file_made_of_dark_images_says_that_they_are_dark_and_what_it_clips(
    tmp_path, small_model, small_field
):
    dark = tmp_path / "dark"
    dark.mkdir()
    for path in sorted(small_field.iterdir())[:40]:
        cv2.imwrite(str(dark / path.name), decode(path.read_bytes()) // 8)
    options = ExportOptions(formats=("int8",), things="each")
    result = export(small_model, dark, tmp_path / "dark.edgecnn", options)
    assert result.drop(result.artifacts[0]) >= 1
    assert Bundle.open(result.bundle).card.things == "each"
    for tally in (result.lab, result.artifacts[0].lab):
        assert not tally.repeats
    assert load_lab_model(small_model).card.lab.tally.repeats
    (line,) = (text for text in result.warnings if "points of lab accuracy" in text)
    lost, differs = re.findall(r"(\d+\.\d) (?:points|%)", line)[:2]
    assert float(lost) == round(result.drop(result.artifacts[0]), 1)
    assert float(differs) == round(100 * (1 - result.artifacts[0].agreement), 1)
    assert float(re.findall(r"ranges clip (\d+\.\d+) %", line)[0]) > 1
    assert "far from the lab's in brightness" in line
    assert "--compare" in line
    assert "--repair" in line
    lab, integers = load_lab_model(small_model), Classifier(result.bundle)
    tensors = np.stack([to_tensor(read_image(path), lab.card.input) for path in dark.iterdir()])
    same = lab.scores(tensors).argmax(1) == [integers.runtime.invoke(t).argmax() for t in tensors]
    assert f"on {100 * same.mean():.1f} % of the {len(tensors)} calibration images" in line
    assert ("keep them if" in line) == (same.mean() >= HEALTHY_AGREEMENT)


@pytest.mark.parametrize("clips", [0.0, 0.5])
@pytest.mark.parametrize("repaired", [True, False])
def test_repair_is_advised_where_it_was_not_done(repaired, clips):
    """Whether the images are the cause or rounding."""
    scores, labels = np.eye(2, dtype=np.float32)[[0, 1, 0]], np.array([0, 1, 0])
    test = SimpleNamespace(tensors=scores, keras_scores=scores, keras_top1=labels, labels=labels)
    runs = SimpleNamespace(invoke=lambda tensor: tensor)
    one = SimpleNamespace(artifact=sample(Artifact), top1=1 - labels, runtime=runs)
    line = _line(one, test, _Causes("", {"a": clips}, (), repaired), lab_frames(test))
    assert ("calibration images" in line) == (clips > 0)
    assert ("--repair" in line) != repaired


def test_a_file_that_takes_far_longer_than_float_is_named():
    plain = replace(sample(Artifact), time_ratio=1.2)
    (line,) = slow_files([plain, replace(plain, file="model_a.tflite", time_ratio=12.4)])
    assert line.startswith("model_a.tflite takes 12 times as long")


def test_a_file_that_other_programs_interrupt_in_most_rounds_is_not_called_slow():
    class Interrupted:
        """Takes a millisecond, but 10 in two of three turns, as on a machine with other work."""

        turns = 0

        def __init__(self, waits_ms: tuple[float, ...]) -> None:
            self.waits_ms = waits_ms

        def invoke(self, _: np.ndarray) -> None:
            self.turns += 1
            sleep(self.waits_ms[self.turns % len(self.waits_ms)] / 1000)

    files = ("model_float32.tflite", "model_full_integer_quant.tflite")
    waits = ((1.0,), (1.0, 10.0, 10.0))
    nothing = np.empty(0)
    checked = CheckedFiles(
        tuple(
            Checked(replace(sample(Artifact), file=file), b"", nothing, nothing, Interrupted(each))
            for file, each in zip(files, waits, strict=True)
        ),
        (),
        (),
    )
    timed = with_times(checked, np.zeros((8, 8, 3), np.uint8))
    assert not slow_files(one.artifact for one in timed.artifacts)


def test_a_file_that_agrees_says_nothing(small_result):
    assert not [text for text in small_result.warnings if "disagrees" in text]
