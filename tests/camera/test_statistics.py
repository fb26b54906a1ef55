"""Each statistic answers to the setting that it is named after, and to frames of any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecnn.camera.degrade import degrade, draw_settings
from edgecnn.camera.statistics import STATISTICS, Window, common_window, frame_statistics


@pytest.mark.parametrize(
    ("setting", "value", "statistic", "sign"),
    [
        ("gain", 0.5, "brightness", -1),
        ("red", 0.3, "red_green", 1),
        ("blue", 0.3, "blue_green", 1),
        ("noise", 8.0, "noise_luma", 1),
        ("defocus", 1.2, "sharpness", -1),
        ("defocus", 1.2, "band_4", -1),
        ("jpeg", 25.0, "blockiness", 1),
        ("jpeg", 25.0, "quantized", 1),
        ("vignette", 0.6, "corner_light", 1),
        ("illumination", 0.5, "slope", 1),
        ("contrast", 0.6, "luma_p1", 1),
        ("gain", 2.2, "bright_share", 1),
    ],
)
def test_a_statistic_moves_with_the_setting_that_it_is_there_for(
    tiles, setting, value, statistic, sign
):
    scenes = tiles[:80]
    settings = draw_settings({setting: (value, value)}, 80, np.random.default_rng(0))
    seen = frame_statistics(degrade(scenes, settings, np.random.default_rng(1)))
    column = STATISTICS.index(statistic)
    change = seen[:, column] - frame_statistics(scenes)[:, column]
    assert sign * change.mean() > 3 * change.std() / np.sqrt(80)


def test_motion_across_and_down_turn_the_direction_to_opposite_sides(tiles):
    scenes = tiles[:80]
    base = frame_statistics(scenes)

    def seen(angle: float) -> np.ndarray:
        ranges = {"motion": (4.0, 4.0), "motion_deg": (angle, angle)}
        settings = draw_settings(ranges, 80, np.random.default_rng(0))
        change = frame_statistics(degrade(scenes, settings, np.random.default_rng(1))) - base
        return change[:, [STATISTICS.index("direction"), STATISTICS.index("diagonal")]].mean(axis=0)

    assert seen(0)[0] < -0.3 < 0.3 < seen(90)[0]
    assert seen(45)[1] * seen(135)[1] < 0


def test_statistics_are_finite_for_black_white_and_tiny_frames():
    for value in (0, 255):
        for shape in ((8, 8), (9, 31), (64, 8)):
            frames = np.full((2, *shape, 3), value, np.uint8)
            found = frame_statistics(frames)
            assert found.shape == (2, len(STATISTICS))
            assert np.isfinite(found).all()


def test_a_large_frame_is_cut_on_the_jpeg_grid_and_never_made_smaller():
    frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    window = common_window([frame])
    cut = window.cut(frame)
    assert cut.shape == (64, 64, 3)
    np.testing.assert_array_equal(cut, frame[88:152, 128:192])


def test_frames_of_other_sizes_are_brought_to_the_common_one(tiles):
    frames = [tiles[0], cv2.resize(tiles[1], (90, 60)), cv2.resize(tiles[2], (20, 33))]
    assert {Window((40, 40)).cut(frame).shape for frame in frames} == {(40, 40, 3)}
    assert common_window(frames).frame_wh == (40, 40)
