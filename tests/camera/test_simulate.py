"""The simulated camera obeys the physics that it claims."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.camera.simulate import FieldCamera, Shot, linear_to_srgb, srgb_to_linear
from edgecnn.demo.film import draw_digit

CAMERA = FieldCamera()
GREY = np.full((240, 240), 128, np.uint8)
# Fills the frame, also when the middle of it is all that a test looks at.
LARGE = Shot(scale=2.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def checkerboard(cell: int = 8, side: int = 240) -> np.ndarray:
    rows, columns = np.indices((side, side)) // cell
    return np.where((rows + columns) % 2, 230, 25).astype(np.uint8)


def test_srgb_curve_and_its_inverse_give_back_every_value():
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(linear_to_srgb(srgb_to_linear(values)), values)
    # Middle grey: 21.4 % of the light is encoded as half.
    assert srgb_to_linear(np.uint8([128]))[0] == pytest.approx(0.2159, abs=1e-4)


def test_one_stop_more_is_twice_the_light():
    dark = CAMERA.light(GREY, replace(LARGE, exposure_stops=-1.0))
    light = CAMERA.light(GREY, LARGE)
    assert np.allclose(light, 2 * dark, rtol=1e-5)


@given(stops=st.floats(-2, 1), more=st.floats(0.3, 1.0))
@settings(max_examples=15, deadline=None)
def test_more_exposure_never_darkens_a_frame(stops, more):
    def mean(s: float) -> float:
        shot = replace(LARGE, exposure_stops=s)
        return float(CAMERA.expose(GREY, shot, np.random.default_rng(0)).mean())

    assert mean(stops + more) > mean(stops)


def test_white_balance_moves_red_and_blue_and_leaves_green():
    plain = CAMERA.light(GREY, LARGE)
    warm = CAMERA.light(GREY, replace(LARGE, red_gain=0.2, blue_gain=-0.2))
    ratio = (warm / plain).mean(axis=(0, 1), dtype=float)
    assert ratio == pytest.approx([np.exp(-0.2), 1.0, np.exp(0.2)], rel=1e-4)


def test_shot_noise_variance_is_proportional_to_the_light(rng):
    """Poisson: variance over mean is one electron, at every brightness."""
    well = 1000.0
    for value in (60, 128, 190):
        card = np.full((240, 240), value, np.uint8)
        light = CAMERA.light(card, LARGE)[60:180, 80:240]
        noisy = [
            srgb_to_linear(CAMERA.expose(card, replace(LARGE, full_well=well), rng))[60:180, 80:240]
            for _ in range(3)
        ]
        electrons = np.var(np.stack(noisy)) * well**2
        assert electrons == pytest.approx(light.mean() * well, rel=0.05)


def test_read_noise_stays_where_there_is_no_light(rng):
    dark = np.full((240, 240), 30, np.uint8)
    quiet = CAMERA.expose(dark, replace(LARGE, full_well=1000, read_noise=0), rng)
    loud = CAMERA.expose(dark, replace(LARGE, full_well=1000, read_noise=10), rng)
    assert loud.std() > 1.5 * quiet.std()


def test_defocus_lowers_fine_detail_and_keeps_the_light():
    """A lens out of focus spreads light, it neither makes nor loses any."""
    board = checkerboard()
    energies, sums = [], []
    for radius in (0.0, 1.0, 2.0, 3.5):
        light = CAMERA.light(board, replace(LARGE, defocus_px=radius))
        energies.append(float((cv2.Laplacian(light, cv2.CV_32F) ** 2).mean()))
        sums.append(float(light[40:200, 40:280].mean()))
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < 0.1 * energies[0]
    assert sums == pytest.approx([sums[0]] * 4, rel=0.01)


def test_blur_is_of_light_not_of_encoded_pixels():
    """Half black, half white, blurred: the middle has half the light, which is grey 188."""
    edge = np.zeros((240, 240), np.uint8)
    edge[:, 120:] = 255
    light = CAMERA.light(edge, replace(LARGE, defocus_px=6.0))
    middle = light[120, 159:161].mean()
    assert middle == pytest.approx(0.5, abs=0.02)
    assert linear_to_srgb(np.float32([middle]))[0] == pytest.approx(188, abs=3)


def test_illumination_falls_from_one_edge_to_the_other():
    light = CAMERA.light(GREY, replace(LARGE, illumination=0.4, illumination_deg=90.0))
    rows = light.mean(axis=(1, 2))
    assert np.all(np.diff(rows) < 0), "90 degrees: the top is the bright edge"
    assert rows[0] / rows[-1] == pytest.approx(1.4 / 0.6, rel=0.02)


def test_vignette_is_the_fourth_power_of_the_cosine():
    light = CAMERA.light(GREY, replace(LARGE, vignette=1.0))[..., 0]
    centre, corner = light[119:121, 159:161].mean(), light[0, 0]
    focal = 0.5 / np.tan(np.radians(20))
    off_axis = np.arctan(np.hypot(160, 120) / 240 / focal)
    assert corner / centre == pytest.approx(np.cos(off_axis) ** 4, rel=0.02)


def test_card_lies_where_the_shot_says():
    """Centroid and area of a white card follow shift and scale."""
    card = np.full((300, 300), 255, np.uint8)
    shot = Shot(scale=0.5, shift_x=0.1, shift_y=-0.05)
    seen = CAMERA.light(card, shot)[..., 0] > 0.6
    rows, columns = np.nonzero(seen)
    assert seen.sum() == pytest.approx((0.5 * 240) ** 2, rel=0.03)
    assert columns.mean() + 0.5 == pytest.approx(160 + 24, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(120 - 12, abs=0.6)


def test_turned_card_has_its_near_edge_longer():
    card = np.full((300, 300), 255, np.uint8)
    seen = CAMERA.light(card, Shot(scale=0.6, pan_deg=25.0))[..., 0] > 0.6
    heights = seen.sum(axis=0)
    columns = np.flatnonzero(heights)
    left, right = heights[columns[3]], heights[columns[-4]]
    assert max(left, right) > 1.1 * min(left, right)
    assert len(columns) < 0.97 * 0.6 * 240, "it is foreshortened"


def test_same_seed_films_the_same_frame_and_another_seed_another():
    card = checkerboard(30)
    first, again, other = (CAMERA.capture(card, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_sampled_settings_stay_in_the_camera_s_ranges(rng):
    for _ in range(50):
        shot = CAMERA.sample(rng)
        for field in fields(Shot):
            low, high = field.metadata["range"]
            assert low <= getattr(shot, field.name) <= high, field.name


@pytest.mark.parametrize("card", [GREY, np.dstack([GREY] * 3)], ids=["grey", "bgr"])
def test_film_gives_a_colour_frame_of_the_camera_s_size(card, rng):
    frame = FieldCamera(size_wh=(640, 480)).film(card, rng)
    assert frame.shape == (480, 640, 3)
    assert frame.dtype == np.uint8


def test_worse_jpeg_quality_is_a_smaller_file_farther_from_the_picture(rng):
    board = checkerboard(20)
    sizes, errors = [], []
    for quality in (95.0, 60.0, 20.0):
        camera = ideal(jpeg_quality=(quality, quality))
        data = camera.capture(board, np.random.default_rng(0))
        shot = camera.sample(np.random.default_rng(0))
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(float)
        sizes.append(len(data))
        errors.append(np.abs(frame - camera.expose(board, shot, rng)).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


def ideal(**ranges: tuple[float, float]) -> FieldCamera:
    """A camera without any degradation but these."""
    return FieldCamera(ranges={**{f.name: (f.default,) * 2 for f in fields(Shot)}, **ranges})


def test_digit_card_holds_bright_ink_inside_a_dark_margin():
    digit = np.zeros((8, 8))
    digit[:, 3:5] = 16
    card = draw_digit(digit, 200)
    assert card.shape == (200, 200)
    margin = np.concatenate([card[:24].ravel(), card[-24:].ravel(), card[:, :24].ravel()])
    assert margin.max() == margin.min() < 80
    assert card[100, 100] > 200
    rows = np.flatnonzero((card > 140).any(axis=1))
    assert len(rows) / 200 == pytest.approx(0.68, abs=0.04)
