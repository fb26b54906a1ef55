"""The degradation family: identity changes nothing, settings do what their units say."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.simulate import srgb_to_linear


def through(frames: np.ndarray, seed: int = 0, **values: float) -> np.ndarray:
    ranges = {name: (value, value) for name, value in values.items()}
    settings = draw_settings(ranges, len(frames), np.random.default_rng(seed))
    return degrade(frames, settings, np.random.default_rng(seed + 1))


def grey(level: int, side: int = 64) -> np.ndarray:
    return np.full((4, side, side, 3), level, np.uint8)


def test_a_camera_without_settings_gives_the_scene_back(tiles):
    difference = np.abs(through(tiles[:20]).astype(int) - tiles[:20])
    assert difference.max() <= 1


def test_gain_is_a_factor_of_linear_light(tiles):
    scene = np.minimum(tiles[:20], 200)
    seen = srgb_to_linear(through(scene, gain=0.5))
    assert seen.sum() / srgb_to_linear(scene).sum() == pytest.approx(0.5, abs=0.005)


def test_white_balance_is_the_log_of_the_gain_against_green():
    light = srgb_to_linear(through(grey(120), red=0.3, blue=-0.2)).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(np.log(light / light[1]), [-0.2, 0.0, 0.3], atol=0.02)


@pytest.mark.parametrize("read_share", [0.0, 1.0])
def test_noise_is_counted_in_grey_levels_at_middle_grey(read_share):
    seen = through(grey(118), noise=6.0, read_share=read_share).astype(float)
    assert seen.std() == pytest.approx(6.0, rel=0.06)


def test_read_noise_grows_in_the_shadows_and_shot_noise_stays():
    shadow = {share: through(grey(50), noise=5.0, read_share=share).std() for share in (0.0, 1.0)}
    assert shadow[0.0] == pytest.approx(5.0, rel=0.25)
    assert shadow[1.0] > 1.5 * shadow[0.0]


@pytest.mark.parametrize("deviation", [0.4, 1.5])
def test_defocus_is_the_standard_deviation_of_the_spread_of_a_point(deviation):
    frames = grey(0)
    frames[:, 32, 32] = 255
    light = srgb_to_linear(through(frames, defocus=deviation))[0, ..., 1]
    x = np.arange(64) - 32
    variance = (light.sum(axis=0) * x**2).sum() / light.sum()
    assert np.sqrt(variance) == pytest.approx(deviation, rel=0.05)


def test_motion_smears_along_its_direction_only():
    frames = grey(0)
    frames[:, 32, 32] = 255
    light = srgb_to_linear(through(frames, motion=5.0, motion_deg=0.0))[0, ..., 1]
    assert np.count_nonzero(light.sum(axis=0) > 1e-3) == 5
    assert np.count_nonzero(light.sum(axis=1) > 1e-3) == 1


def test_vignette_is_the_share_of_light_that_the_corner_loses():
    light = srgb_to_linear(through(grey(150), vignette=0.4))[0, ..., 1]
    assert light[0, 0] / light[31:33, 31:33].mean() == pytest.approx(0.6, abs=0.02)


def test_perspective_magnifies_the_nearer_edge():
    frames = grey(0, side=65)
    frames[:, [16, 48]] = 255
    seen = through(frames, perspective=0.2, perspective_deg=0.0)[0, ..., 1].astype(float)
    rows = np.arange(65) - 32

    def apart(column: int) -> float:
        return float((seen[:, column] * abs(rows)).sum() / seen[:, column].sum())

    assert apart(32) == pytest.approx(16, abs=0.1)
    assert apart(48) == pytest.approx(16 * 1.1, abs=0.1)
    assert apart(16) == pytest.approx(16 * 0.9, abs=0.1)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_occlusion_covers_its_share_of_the_area(share):
    covered = through(grey(200), occlusion=share)
    assert (covered != 200).any(axis=3).mean() == pytest.approx(share, abs=0.03)


def test_resolution_and_jpeg_take_fine_detail_away(tiles):
    detail = np.abs(np.diff(tiles[:30].astype(float), axis=2)).mean()
    for settings in ({"scale": 0.5}, {"jpeg": 15.0}):
        seen = through(tiles[:30], **settings).astype(float)
        assert np.abs(np.diff(seen, axis=2)).mean() < 0.95 * detail


def test_the_same_seed_films_the_same_frames_and_every_setting_stays_in_its_range(tiles):
    ranges = {name: (p.low, p.high) for name, p in PARAMETERS.items()}
    settings = draw_settings(ranges, 30, np.random.default_rng(3))
    for name, values in settings.items():
        assert PARAMETERS[name].low <= values.min() <= values.max() <= PARAMETERS[name].high
    first, second = (degrade(tiles[:30], settings, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8
    assert first.shape == tiles[:30].shape
