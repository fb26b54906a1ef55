"""Augmentation: it moves, frames and relights pictures, and leaves their meaning alone."""

from __future__ import annotations

import os
import time
from dataclasses import fields

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from edgecnn.train.augmentation.framing import RandomFraming
from edgecnn.train.augmentation.light import RandomLight
from edgecnn.train.augmentation.operations import STRENGTHS, Augmentation, Framing, Geometry, Light
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.augmentation.pipeline import build_augmentation, layers_of, single_operations
from edgecnn.train.augmentation.warp import RandomWarp

DEFAULT = STRENGTHS["default"]


def ramp(count: int) -> np.ndarray:
    """A bright top right corner on a dark ground: no mirror image of itself."""
    picture = np.full((40, 32, 3), 40, np.float32)
    picture[4:16, 20:28] = 220
    return np.repeat(picture[None], count, axis=0)


def smooth(count: int) -> np.ndarray:
    """A different picture each, without edges: float32 values that are whole."""
    noise = np.random.default_rng(0).uniform(0, 255, (count, 40, 32, 3)).astype(np.float32)
    return np.stack([np.rint(cv2.GaussianBlur(picture, (0, 0), 3)) for picture in noise])


def changed(layer, images: np.ndarray) -> np.ndarray:
    return np.asarray(layer(images, training=True))


@pytest.mark.parametrize("layer", [RandomWarp, RandomFraming, RandomLight])
def test_a_layer_without_options_changes_no_pixel(layer):
    options = {RandomWarp: Geometry, RandomFraming: Framing, RandomLight: Light}[layer]()
    assert (changed(layer(options), smooth(8)) == smooth(8)).all()


def test_a_picture_is_warped_once_whatever_moves_it():
    """Rotated, sheared, zoomed and shifted pixels are one bilinear sample, not four in a row."""
    layer = RandomWarp(Geometry(rotation=12, shift=0.1, zoom_out=1.3, zoom_in=1.3, shear=0.1))
    checks = np.indices((40, 32)).sum(axis=0) % 2 * 255.0
    images = np.repeat(np.repeat(checks[None, :, :, None], 3, 3), 32, 0).astype(np.float32)
    contrast = changed(layer, images)[:, 10:30, 8:24].std(axis=(1, 2, 3))
    four_times = images
    for _ in range(4):
        four_times = changed(RandomWarp(Geometry(shift=0.02)), four_times)
    assert contrast.mean() > 2 * four_times[:, 10:30, 8:24].std(axis=(1, 2, 3)).mean()


def test_each_image_moves_differently_and_never_into_its_mirror_image():
    layer = RandomWarp(Geometry(rotation=12, shift=0.15, zoom_out=1.3, zoom_in=1.3, shear=0.1))
    out = changed(layer, ramp(64))
    assert len({picture.tobytes() for picture in out}) == 64
    # The bright corner stays in the top half and right half, bar the largest shifts.
    bright = out.mean(axis=3) > 130
    rows, columns = (np.arange(n)[shape] for n, shape in ((40, (..., None)), (32, (...,))))
    mass = bright.sum(axis=(1, 2))
    assert (mass > 20).all()
    down = (bright * rows).sum(axis=(1, 2)) / mass
    across = (bright * columns).sum(axis=(1, 2)) / mass
    assert np.mean(down < 20) > 0.9
    assert np.mean(across > 16) > 0.9


def test_perspective_magnifies_one_side_as_much_as_it_shrinks_the_other():
    columns = np.broadcast_to(np.arange(41.0)[None, :, None] * 5, (60, 41, 41, 3))
    layer = RandomWarp(Geometry(perspective=0.3))
    seen = changed(layer, columns.astype(np.float32))[:, 20, :, 0] / 5 - 20
    assert np.abs(seen[:, 20]).max() < 0.2  # the centre stays
    left, right = -seen[:, 10], seen[:, 30]
    # A homography: magnification 1 - g/2 and 1 + g/2 at half way to the edges, on both sides.
    np.testing.assert_allclose(10 / left + 10 / right, 2, atol=0.06)
    strength = 10 / right - 10 / left
    assert np.abs(strength).max() < 0.33
    assert strength.min() < -0.15 < 0.15 < strength.max()


def test_a_flip_mirrors_the_share_that_was_asked_for():
    out = changed(RandomWarp(Geometry(flip=0.5)), ramp(200))
    mirrored = (np.abs(out - ramp(200)[:, :, ::-1]).max(axis=(1, 2, 3)) < 1).mean()
    assert 0.35 < mirrored < 0.65


def test_zooming_out_shows_neighbours_or_the_edge_and_the_picture_stays_whole():
    dark, bright = np.full((2, 40, 32, 3), 30, np.uint8), np.full((2, 40, 32, 3), 220, np.uint8)
    batch = np.concatenate([dark, bright])
    alone = np.asarray(changed(RandomWarp(Geometry(zoom_out=1.5)), batch))
    assert (alone == batch).all()  # of one tone, and so is its edge
    out = np.concatenate(
        [
            changed(RandomWarp(Geometry(zoom_out=1.5, neighbours=1.0), seed), batch)[:2]
            for seed in range(40)
        ]
    )
    assert (out[:, 12:28, 10:22] == 30).all()
    assert (out[:, 20, 0] > 100).any()
    assert (out[:, 20, -1] > 100).any()
    assert (out[:, 0, 16] > 100).any()
    assert (out[:, -1, 16] > 100).any()


def test_a_neighbour_takes_the_light_of_the_picture_more_often_than_not():
    rng = np.random.default_rng(0)
    dim = rng.integers(20, 60, (8, 40, 32, 3)).astype(np.uint8)
    batch = np.concatenate([dim, 255 - dim])
    layer = RandomWarp(Geometry(zoom_out=1.5, neighbours=1.0))
    edges = np.concatenate([changed(layer, batch)[:8, 18:22, :2] for _ in range(20)])
    assert (edges.mean(axis=(1, 2, 3)) < 100).mean() > 0.7


def test_borders_stay_at_the_border_and_lines_cross_anywhere():
    flat = np.full((300, 60, 60, 3), 120, np.uint8)
    borders = changed(RandomFraming(Framing(borders=1.0, depth=0.2)), flat)
    assert (borders[:, 15:45, 15:45] == 120).all()
    assert (borders != 120).any(axis=(1, 2, 3)).mean() > 0.95
    lines = changed(RandomFraming(Framing(lines=0.5)), flat) != 120
    assert 0.55 < lines.any(axis=(1, 2, 3)).mean() <= 0.8  # of two, and some end outside
    assert lines[:, 20:40, 20:40].any()
    assert lines.mean(axis=(1, 2, 3)).max() < 0.3


def test_light_keeps_the_range_and_the_place():
    light = Light(exposure=0.5, contrast=0.5, balance=0.2, slope=0.25, blur=0.5, noise=10)
    out = changed(RandomLight(light), ramp(64))
    assert out.min() >= 0
    assert out.max() <= 255
    inside, outside = (
        out[:, 6:14, 22:26].mean(axis=(1, 2, 3)),
        out[:, 20:, :16].mean(axis=(1, 2, 3)),
    )
    assert (inside > outside).all()
    assert inside.std() > 10


def test_inversion_negates_the_share_that_was_asked_for():
    out = changed(RandomLight(Light(invert=0.5)), ramp(400))
    negated = np.abs(out - (255 - ramp(400))).max(axis=(1, 2, 3)) < 0.01
    same = np.abs(out - ramp(400)).max(axis=(1, 2, 3)) < 0.01
    assert (negated | same).all()
    assert 0.4 < negated.mean() < 0.6


def test_noise_has_the_deviation_that_was_drawn_and_shrinks_with_the_contrast():
    grey = np.full((400, 40, 32, 3), 128, np.uint8)
    deviation = changed(RandomLight(Light(noise=12)), grey).astype(float).std(axis=(1, 2, 3))
    assert deviation.max() < 13.5
    assert 5 < deviation.mean() < 7
    faint = Light(noise=12, low_contrast=1.0)
    assert changed(RandomLight(faint), grey).astype(float).std(axis=(1, 2, 3)).mean() < 4.5


@pytest.mark.parametrize("name", [f.name for f in fields(Light)])
def test_each_change_of_light_alone_changes_pictures(name):
    value = {"tint": 20.0, "noise": 10.0}.get(name, 0.5)
    sharp = np.random.default_rng(1).integers(0, 256, (16, 40, 32, 3)).astype(np.uint8)
    assert (changed(RandomLight(Light(**{name: value})), sharp) != sharp).any()


def test_single_operations_are_those_of_the_augmentation_one_by_one():
    alone = single_operations(DEFAULT, seed=0)
    assert {"rotation", "neighbours", "borders", "invert", "saturation", "noise"} <= alone.keys()
    assert "flip" not in alone
    assert set(single_operations(STRENGTHS["light"], 0)) < set(alone)
    grey = np.repeat(smooth(8)[..., :1], 3, axis=3)
    assert (np.rint(changed(alone["saturation"], grey)) == grey).all()


def test_an_operation_can_be_left_out():
    less = DEFAULT.without({"invert", "borders"})
    assert less.light.invert == less.framing.borders == 0
    assert less.light.noise == DEFAULT.light.noise
    assert set(single_operations(DEFAULT, 0)) - set(single_operations(less, 0)) == {
        "invert",
        "borders",
    }
    assert layers_of(Augmentation(), 0) is None


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (3, 17, 33, 3), (2, 224, 160, 3)])
def test_any_size_of_picture_and_batch_will_do(shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    out = changed(build_augmentation("default", 0), images)
    assert out.shape == shape


@pytest.mark.clock
@pytest.mark.parametrize("size", [(48, 32), (224, 224)])
def test_augmentation_keeps_to_its_own_thread(size):
    """The threads of a matrix product spin for a while after it: training took 1.7 times as long
    once beside one of 56 x 3 x 4608."""
    images = np.random.default_rng(0).integers(0, 256, (64, *size, 3), np.uint8)
    layers = layers_of(DEFAULT, 0)
    ratios = []
    # conftest.py leaves the tests' matrix products one thread; this one is about the others.
    with threadpool_limits(max(2, os.cpu_count() or 1)), opencv_on_one_thread():
        for _ in range(4):  # of which the first may end what other tests began
            own, all_threads = time.thread_time(), time.process_time()
            for k in range(30 if size[0] < 100 else 2):
                layers.change(images, np.random.default_rng(k))
            own, all_threads = time.thread_time() - own, time.process_time() - all_threads
            ratios.append(all_threads / own)
    assert min(ratios) < 1.2


def test_inference_leaves_images_alone():
    augment = build_augmentation("default", seed=0)
    assert (np.asarray(augment(ramp(3), training=False)) == ramp(3)).all()
    assert build_augmentation("none", seed=0) is None


@pytest.mark.parametrize("strength", ["light", "default"])
def test_the_seed_decides(strength):
    one, same, other = (
        np.asarray(build_augmentation(strength, seed)(ramp(4), training=True)) for seed in (3, 3, 4)
    )
    assert (one == same).all()
    assert not np.allclose(one, other)
