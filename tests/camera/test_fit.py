"""Planted cameras are found in unlabelled frames, and what is no camera is not called one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_fit import fit_camera

from edgecnn.camera.degrade import degrade, draw_settings
from edgecnn.camera.fit import FitOptions, _verdict
from edgecnn.camera.fitted import CameraFit
from edgecnn.camera.ranges import any_camera, as_defocus, only, to_ranges, to_vector, weakened
from edgecnn.camera.scenes import like_polarity
from edgecnn.camera.statistics import frame_statistics, noise_floor, spread, statistic_distance
from edgecnn.errors import DataError

QUICK = FitOptions(cameras=220, refine=100, set_size=16)
ROUGH = FitOptions(cameras=60, refine=30, set_size=8)  # enough to see that there is no camera
PLANTED = {
    "gain": (0.45, 0.75),
    "defocus": (0.7, 1.1),
    "noise": (4.0, 9.0),
    "jpeg": (50.0, 75.0),
}
WITHIN = {"gain": 0.08, "defocus": 0.2, "noise": 2.5, "jpeg": 11.0}


def film(scenes: np.ndarray, ranges: dict, seed: int = 5) -> np.ndarray:
    settings = draw_settings(ranges, len(scenes), np.random.default_rng(seed))
    return degrade(scenes, settings, np.random.default_rng(seed + 1))


@pytest.fixture(scope="session")
def fitted(tiles) -> CameraFit:
    return fit_camera(list(tiles[:130]), list(film(tiles[130:], PLANTED)), QUICK)


@pytest.mark.parametrize("name", list(PLANTED))
def test_the_middle_of_a_planted_range_is_found(fitted, name):
    assert name in fitted.ranges
    error = sum(fitted.ranges[name]) / 2 - sum(PLANTED[name]) / 2
    assert abs(error) < WITHIN[name]


def test_the_fitted_camera_brings_the_lab_near_the_field(fitted):
    assert fitted.verdict in ("explained", "partly")
    assert fitted.after < 0.4 * fitted.before
    assert "exposure" in fitted.to_text()


def test_the_answer_survives_its_json(fitted):
    assert CameraFit.from_json(fitted.to_json()) == fitted
    with pytest.raises(DataError, match="edgecnn calibrate"):
        CameraFit.from_json({"verdict": "partly"})


def test_a_cause_at_the_end_of_the_family_is_called_doubtful(fitted):
    assert fitted.at_limit == ()
    brighter = replace(fitted, ranges={**fitted.ranges, "gain": (2.2, 2.2)})
    assert brighter.at_limit == ("gain",)
    assert "Doubtful: exposure" in brighter.to_text()


@pytest.mark.parametrize(("after", "verdict"), [(0.14, "partly"), (0.08, "explained")])
def test_a_camera_that_removes_less_than_half_does_not_explain_the_field(after, verdict):
    """A small difference is near to chance before the camera already."""
    assert _verdict(PLANTED, before=0.17, after=after, floor=0.07) == verdict


def test_causes_that_explain_less_than_half_are_called_doubtful(fitted):
    assert fitted.doubtful is None
    weak = replace(fitted, before=1.0, after=0.65)
    assert "only 35 % of the difference" in str(weak.doubtful)
    assert "Doubtful" in weak.to_text()
    assert "Doubtful" not in fitted.to_text()
    assert weak.to_json()["doubtful"] == weak.doubtful


def test_a_weaker_cause_lies_nearer_to_none():
    assert weakened("gain", (1.4, 2.0), 0.5) == pytest.approx((1.2, 1.5))
    assert weakened("jpeg", (40.0, 60.0), 0.25) == pytest.approx((85.0, 90.0))
    assert weakened("noise", (4.0, 8.0), 1.0) == (4.0, 8.0)


def test_frames_through_the_fitted_camera_look_like_the_field(fitted, tiles):
    field = frame_statistics(film(tiles[130:], PLANTED))
    lab = tiles[:130]
    seen = frame_statistics(fitted.apply(lab, np.random.default_rng(0)))
    scale = spread(field, frame_statistics(lab))
    before = statistic_distance(field, frame_statistics(lab), scale)
    assert statistic_distance(field, seen, scale).value < 0.5 * before.value


def test_other_scenes_through_no_camera_need_none(tiles):
    fit = fit_camera(list(tiles[:130]), list(tiles[130:]), ROUGH)
    assert fit.verdict == "alike"
    assert fit.ranges == {}


def test_what_no_camera_does_is_flagged(tiles):
    stripes = tiles[130:].copy()
    stripes[:, ::2] = stripes[:, ::2] // 3  # every other line is dark
    fit = fit_camera(list(tiles[:130]), list(stripes), ROUGH)
    assert fit.out_of_family
    assert fit.left


def test_the_same_seed_gives_the_same_answer(tiles):
    tiny = FitOptions(cameras=20, refine=10, set_size=4)
    first, second = (fit_camera(list(tiles[:60]), list(tiles[60:100] // 2), tiny) for _ in "ab")
    assert first == second


def test_ranges_survive_the_vector_that_is_regressed():
    for seed in range(20):
        ranges = any_camera(np.random.default_rng(seed))
        back = to_ranges(to_vector(ranges))
        for name in ranges.keys() - {"motion_deg"}:
            np.testing.assert_allclose(back[name], ranges[name], atol=1e-6)


def test_defocus_in_place_of_motion_keeps_the_rest_and_drops_the_direction():
    ranges = {"motion": (2.0, 4.0), "motion_deg": (10.0, 30.0), "gain": (0.5, 0.6)}
    plain = as_defocus(ranges)
    assert plain.keys() == {"gain", "defocus"}
    assert plain["defocus"] == pytest.approx((2 / 24**0.5, 4 / 24**0.5))
    assert only(ranges, {"gain"}) == {"gain": (0.5, 0.6)}


def test_lab_scenes_are_taken_in_the_polarity_of_the_field():
    rng = np.random.default_rng(0)

    def figures(count: int, light: bool) -> np.ndarray:
        frames = np.full((count, 32, 32, 3), 60 if light else 190, np.uint8)
        frames[:, 8:20, 12:18] = 200 if light else 40
        return frames + rng.integers(0, 5, frames.shape, np.uint8)

    lab = np.concatenate([figures(150, True), figures(100, False)])
    taken = like_polarity(lab, figures(50, False))
    assert len(taken) == 100
    assert (taken[:, 0, 0] > 150).all()
    assert len(like_polarity(lab, lab[::2])) == 250


def test_chance_is_nearer_than_another_camera(tiles):
    lab = frame_statistics(tiles[:130])
    dim = frame_statistics(film(tiles[130:], {"gain": (0.5, 0.5)}))
    scale = spread(dim, lab)
    floor = noise_floor(lab, 130, scale, np.random.default_rng(0))
    distance = statistic_distance(dim, lab, scale)
    assert 1.5 * floor < distance.value
    assert {"luma_p50", "luma_p90"} <= set(distance.worst(6))
