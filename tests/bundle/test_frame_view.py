"""Region, rotation and flip in front of preprocessing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecnn.bundle.frame_view import WHOLE_FRAME, FrameView
from edgecnn.errors import EdgecnnError, ImageError

FRAME = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def test_by_default_a_frame_stays_as_it_is():
    assert WHOLE_FRAME.is_whole
    assert WHOLE_FRAME.apply(FRAME) is FRAME


@pytest.mark.parametrize(
    ("rotate", "flip", "expected"),
    [
        (0, "horizontal", lambda f: f[:, ::-1]),
        (0, "vertical", lambda f: f[::-1]),
        (90, None, lambda f: np.rot90(f, -1)),
        (180, None, lambda f: np.rot90(f, 2)),
        (270, None, lambda f: np.rot90(f, 1)),
        (90, "horizontal", lambda f: np.rot90(f, -1)[:, ::-1]),
    ],
)
def test_the_region_is_cut_out_then_rotated_then_flipped(rotate, flip, expected):
    view = FrameView((2, 1, 5, 3), rotate, flip)
    assert not view.is_whole
    found = view.apply(FRAME)
    assert np.array_equal(found, expected(FRAME[1:4, 2:7]))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("region", [(4, 0, 5, 6), (0, 1, 8, 6)])
def test_a_region_outside_of_the_frame_is_refused(region):
    with pytest.raises(ImageError, match="not inside of the frame of 8x6"):
        FrameView(region).apply(FRAME)


@pytest.mark.parametrize(
    "values",
    [
        {"rotate": 45},
        {"flip": "both"},
        {"region": (0, 0, 0, 5)},
        {"region": (-1, 0, 5, 5)},
        {"corners": (0, 0, 5, 0, 5, 5)},
        {"corners": (0, 0, 0, 5, 5, 5, 5, 0)},  # counterclockwise
        {"corners": (0, 0, 5, 0, 1, 1, 0, 5)},  # bent inwards
        {"corners": (0, 0, 5, 0, 5, 5, 0, 5), "region": (0, 0, 5, 5)},
        {"name": ""},
        {"name": "a/b"},
    ],
)
def test_values_that_make_no_sense_are_refused(values):
    with pytest.raises(EdgecnnError):
        FrameView(**values)


def test_corners_of_a_rectangle_cut_as_its_region_does():
    corners = FrameView(corners=(2, 1, 7, 1, 7, 4, 2, 4), rotate=90)
    assert np.array_equal(corners.apply(FRAME), FrameView((2, 1, 5, 3), 90).apply(FRAME))
    # Given from another corner on, each pixel is where a turn brings it.
    turned = FrameView(corners=(2, 4, 2, 1, 7, 1, 7, 4))
    assert np.array_equal(turned.apply(FRAME), corners.apply(FRAME))
    with pytest.raises(ImageError, match="not inside of the frame of 8x6"):
        FrameView(corners=(2, 1, 9, 1, 9, 4, 2, 4)).apply(FRAME)


def test_a_plate_that_is_seen_at_an_angle_is_straightened():
    plate = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8), (9, 9), 0
    )
    seen_at = np.float32([(30, 20), (130, 34), (122, 108), (24, 92)])
    matrix = cv2.getPerspectiveTransform(np.float32([(0, 0), (90, 0), (90, 60), (0, 60)]), seen_at)
    frame = cv2.warpPerspective(plate, matrix, (160, 120))
    found = FrameView(corners=tuple(map(int, seen_at.reshape(-1)))).apply(frame)
    again = cv2.resize(found, (90, 60))
    assert np.abs(again[5:-5, 5:-5].astype(int) - plate[5:-5, 5:-5]).mean() < 3
