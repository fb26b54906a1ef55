"""GapBench's list is what the results say, and every plant does what its name says."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from _gapbench_cases import CASES
from _gapbench_plant import on_frame, on_input, on_labels

from edgecnn.bundle.preprocess import to_tensor
from edgecnn.bundle.spec import InputSpec

SPEC = InputSpec(width=16, height=24)
PLANTS = sorted({plant for case in CASES for plant in case.plants}, key=str)
LABELS = [str(k % 10) for k in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 0)]
NAMES = [f"image{k}.png" for k in range(len(LABELS))]


def test_there_are_as_many_cases_of_each_kind_as_the_results_say():
    groups = Counter(case.group for case in CASES)
    assert groups == {"single": 34, "pair": 12, "null": 8, "decoy": 8, "class mix": 2}
    causes = {case.plants[0].cause for case in CASES if case.group == "single"}
    assert causes == {"path", "framing", "light", "truth"}
    assert all(len({p.cause for p in c.plants}) == 2 for c in CASES if c.group == "pair")


@pytest.mark.parametrize("plant", PLANTS, ids=str)
def test_a_plant_changes_the_frame_the_input_or_the_labels(plant):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (80, 60, 3)).astype(np.uint8)
    seen = on_frame(plant, 1)(frame)
    make = on_input(plant, SPEC)
    told = on_labels(plant, LABELS, NAMES)
    assert seen.shape == frame.shape
    assert seen.dtype == np.uint8
    changed = {
        "frame": not np.array_equal(seen, frame),
        "input": make is not None and not np.array_equal(make(frame), to_tensor(frame, SPEC)),
        "labels": told != LABELS,
    }
    where = {"path": "input", "truth": "labels"}.get(plant.cause, "frame")
    expected = set() if plant.kind == "hard classes" else {where}
    assert {name for name, is_so in changed.items() if is_so} == expected


def test_the_frames_of_a_decoy_look_nearly_the_same():
    rng = np.random.default_rng(1)
    frame = cv2.resize(rng.integers(40, 215, (6, 5, 3)).astype(np.uint8), (60, 80))
    for case in CASES:
        if case.group == "decoy":
            seen = on_frame(case.plants[0], 1)(frame)
            assert np.abs(seen.astype(int) - frame).mean() < 12, str(case)
