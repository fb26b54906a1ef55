"""Augmentation: it moves and relights pictures, and leaves their meaning alone."""

from __future__ import annotations

from time import monotonic

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from edgecnn.model.augment import RandomLight, build_augmentation
from edgecnn.model.warp import RandomAffine


def ramp(count: int) -> np.ndarray:
    """A bright top right corner on a dark ground: no mirror image of itself."""
    picture = np.full((40, 32, 3), 40, np.float32)
    picture[4:16, 20:28] = 220
    return np.repeat(picture[None], count, axis=0)


def test_no_movement_changes_no_pixel():
    out = np.asarray(RandomAffine(0.0, 0.0, 0.0, 0.0)(ramp(4), training=True))
    assert np.allclose(out, ramp(4), atol=1e-3)


def test_the_warp_agrees_with_opencv():
    layer = RandomAffine(12.0, 0.15, 0.25, 0.1, seed=5)
    images = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (40, 32, 3)), (0, 0), 2)
    batch = np.repeat(images[None].astype(np.float32), 6, axis=0)
    state = keras.ops.convert_to_numpy(layer.generator.state)

    transforms = np.asarray(layer._transforms(tf.constant(6), tf.constant([40.0, 32.0])))
    layer.generator.state.assign(state)
    out = np.asarray(layer(batch, training=True))
    for picture, t in zip(out, transforms, strict=True):
        expected = cv2.warpAffine(
            batch[0],
            t[:6].reshape(2, 3).astype(np.float64),
            (32, 40),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        assert np.abs(picture - expected).mean() < 0.5


def test_each_image_moves_differently_and_never_into_its_mirror_image():
    out = np.asarray(RandomAffine(12.0, 0.15, 0.25, 0.1)(ramp(64), training=True))
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


def test_light_keeps_the_range_and_the_place():
    out = np.asarray(RandomLight(1.0, 10.0, 0.25, 0.0)(ramp(64), training=True))
    assert out.min() >= 0
    assert out.max() <= 255
    inside, outside = (
        out[:, 6:14, 22:26].mean(axis=(1, 2, 3)),
        out[:, 20:, :16].mean(axis=(1, 2, 3)),
    )
    assert (inside > outside).all()
    assert inside.std() > 10


def test_inversion_negates_the_share_that_was_asked_for():
    out = np.asarray(RandomLight(0.0, 0.0, 0.0, 0.5)(ramp(400), training=True))
    negated = np.abs(out - (255 - ramp(400))).max(axis=(1, 2, 3)) < 0.01
    same = np.abs(out - ramp(400)).max(axis=(1, 2, 3)) < 0.01
    assert (negated | same).all()
    assert 0.4 < negated.mean() < 0.6


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


def test_augmentation_does_not_starve_training():
    augment = build_augmentation("default", seed=0)
    batch = ramp(64)
    augment(batch, training=True)
    start = monotonic()
    for _ in range(5):
        augment(batch, training=True)
    assert 5 * 64 / (monotonic() - start) > 500  # eager, on a shared machine; training needs less
