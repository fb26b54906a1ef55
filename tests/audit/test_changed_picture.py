"""Errors that look like wrong labels are not blamed on them where the picture explains as much."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from sessions import PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run


def copied(source: Path, target: Path, *, names=None, order: int = 1) -> Path:
    """The same images under uneven light, other class names, or with other channels."""
    rng = np.random.default_rng(6)
    for file in sorted(source.rglob("*.png")):
        label = (names or {}).get(file.parent.name, file.parent.name)
        out = target / label / f"{file.parent.name} {file.name}"
        out.parent.mkdir(parents=True, exist_ok=True)
        frame = cv2.imread(str(file))
        uneven = cv2.resize(rng.normal(0, 25, (5, 5)), frame.shape[1::-1])[..., None]
        seen = np.clip(frame + uneven, 0, 255).astype(np.uint8)
        cv2.imwrite(str(out), np.ascontiguousarray(seen[..., ::order]))
    return target


def audited(folder: Path, log: Path):
    run(PAST_BUNDLE, str(folder), RunOptions(truth=("folder",), log=log))
    return audit([log])


def test_exchanged_colours_are_not_taken_for_exchanged_names(color_folders, tmp_path):
    """Each blue digit is read as the red one and the other way round: no label is wrong."""
    report = audited(copied(color_folders.field, tmp_path / "images", order=-1), tmp_path / "s")
    assert report.checks.faults == ()
    assert "red and blue exchanged" in report.verdict
    said = [note for note in report.notes if "look as if labels have other names" in note]
    assert "fit their labels as they are if each frame is changed: red and blue" in said[0]


@pytest.mark.parametrize("pair", [("blue 0", "blue 3"), ("red 1", "blue 2"), ("red 0", "blue 0")])
def test_names_that_are_exchanged_are_found_though_pictures_were_kept(
    pair, color_folders, tmp_path
):
    one, other = pair
    names = {one: other, other: one}
    report = audited(copied(color_folders.field, tmp_path / "images", names=names), tmp_path / "s")
    (fault,) = report.checks.faults
    assert f"{one!r} is {other!r}" in fault.name
    assert report.verdict.startswith("The labels are wrong, not the model")
    assert not any("look as if" in note for note in report.notes)
