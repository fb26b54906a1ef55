"""A file that loses answers says what its calibration images have to do with it."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
from samples import sample

from edgecnn.bundle.card import Artifact
from edgecnn.bundle.preprocess import decode
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.readback.times import slow_files


def test_a_file_made_of_dark_images_says_that_they_are_dark_and_what_it_clips(
    tmp_path, small_model, small_field
):
    dark = tmp_path / "dark"
    dark.mkdir()
    for path in sorted(small_field.iterdir())[:40]:
        cv2.imwrite(str(dark / path.name), decode(path.read_bytes()) // 8)
    options = ExportOptions(formats=("int8",))
    result = export(small_model, dark, tmp_path / "dark.edgecnn", options)
    assert result.drop(result.artifacts[0]) >= 1
    (line,) = (text for text in result.warnings if "points of lab accuracy" in text)
    lost, differs = re.findall(r"(\d+\.\d) (?:points|%)", line)[:2]
    assert float(lost) == round(result.drop(result.artifacts[0]), 1)
    assert float(differs) == round(100 * (1 - result.artifacts[0].agreement), 1)
    assert float(re.findall(r"ranges clip (\d+\.\d+) %", line)[0]) > 1
    assert "far from the lab's in brightness" in line
    assert "--compare" in line
    assert "--repair" in line


def test_a_file_that_takes_far_longer_than_float_is_named():
    plain = replace(sample(Artifact), time_ratio=1.2)
    (line,) = slow_files([plain, replace(plain, file="model_a.tflite", time_ratio=12.4)])
    assert line.startswith("model_a.tflite takes 12 times as long")


def test_a_file_that_agrees_says_nothing(small_result):
    assert not [text for text in small_result.warnings if "disagrees" in text]
