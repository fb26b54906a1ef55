"""Backgrounds that tell classes or places apart, and a split that is far from its shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecnn.inspect.inspect import InspectOptions, inspect


@pytest.fixture
def pasted(write, scene):
    """Write 40 scenes of each of two classes; those of some classes before white."""

    def make(root: Path, white: str, first: int = 0) -> Path:
        for k in range(80):
            label, picture = "ab"[k % 2], scene(first + k)
            if label in white:
                sheet = np.full((96, 80, 3), 255, np.uint8)
                sheet[24:72, 20:60] = picture
                picture = sheet
            write(root, f"{label}/{k:03d}.png", picture)
        return root

    return make


def background(inspection) -> list[str]:
    return [f.what for f in inspection.findings if f.topic == "background"]


def test_a_white_background_of_one_class_is_found(tmp_path, pasted):
    inspection = inspect(pasted(tmp_path / "lab", "a"))
    (what,) = background(inspection)
    assert "100 % of class a have a white background, 0 % of the other classes" in what
    assert inspection.background.lab.white.correct == 40
    assert "white background" in inspection.to_text()


def test_white_pictures_of_the_lab_are_not_the_fields(tmp_path, pasted):
    lab, field = pasted(tmp_path / "lab", "ab"), pasted(tmp_path / "field", "", first=500)
    inspection = inspect(lab, InspectOptions(field=field))
    (what,) = background(inspection)
    assert "100 % of lab images have a white background, 0 % of field images" in what
    found = inspection.to_json()["background"]
    assert found["lab"]["brightness_difference"] > 50
    assert found["field"]["white"]["correct"] == 0


def test_like_backgrounds_are_no_finding(tmp_path, pasted):
    lab, field = pasted(tmp_path / "lab", "ab"), pasted(tmp_path / "field", "ab", first=500)
    assert background(inspect(lab, InspectOptions(field=field))) == []


def test_a_thin_thing_is_no_other_background(tmp_path, write):
    """Ones beside zeros on one ground: those leave more of the border plain."""
    for k in range(80):
        rng = np.random.default_rng(k)
        sheet = np.full((32, 32, 3), 40, np.uint8)
        width = 4 if k % 2 else 10
        sheet[2:, 16 - width : 16 + width] = rng.integers(90, 255, (30, 2 * width, 1))
        write(tmp_path, f"{'ab'[k % 2]}/{k:03d}.png", sheet)
    found = inspect(tmp_path)
    assert found.background.lab.plain.correct == 40
    assert background(found) == []


def test_a_lopsided_split_is_named(tmp_path, write, scene):
    """120 images, of which 100 are copies of one scene and so one group."""
    for k in range(120):
        write(tmp_path, f"{'ab'[k % 2]}/{k:03d}.png", scene(0 if k < 100 else k))
    inspection = inspect(tmp_path)
    split = inspection.shares
    assert split.train + split.val + split.test == 120
    (what,) = [f.what for f in inspection.findings if "lopsided" in f.what]
    assert f"{split.train} images in train, {split.val} in val and {split.test} in test" in what
    assert "the largest has" in what


def test_an_even_split_is_no_finding(two_classes):
    inspection = inspect(two_classes)
    assert not [f for f in inspection.findings if "lopsided" in f.what]
    assert inspection.shares.train > inspection.shares.test > inspection.shares.val > 0
