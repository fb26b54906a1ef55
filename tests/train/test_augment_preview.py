"""The contact sheet of augmented images: any number of classes, any name, any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecnn.train.augmentation.pipeline import augmented_sheet, build_augmentation


def flat_images(count: int, side: int) -> np.ndarray:
    """Pictures of one grey each, so that a row can be found by its colour."""
    levels = np.linspace(20, 200, count).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, side, side, 3)).copy()


def read(png: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("labels", [("да", "$5 off$"), ("字", "x" * 200)], ids=["dollar", "han"])
def test_two_classes_show_the_original_of_each(side, labels):
    images = flat_images(2, side)
    layers = build_augmentation("default", 0)
    picture = read(augmented_sheet(images, np.arange(2), labels, layers))
    for level in images[:, 0, 0, 0]:
        assert (picture == level).all(axis=2).sum() > 4000
    assert picture.shape[1] < 1400


def test_augmented_draws_differ_from_the_original_and_from_each_other():
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), np.uint8)
    with_draws, same, without = (
        read(augmented_sheet(images, np.arange(2), "ab", build_augmentation(strength, 0)))
        for strength in ("light", "light", "none")
    )
    assert (with_draws == same).all()
    assert with_draws.shape[1] > 1.5 * without.shape[1]


def test_of_a_thousand_classes_ten_are_shown():
    images = flat_images(1000, 32)
    few = read(augmented_sheet(images[:10], np.arange(10), [f"c{k}" for k in range(10)], None))
    many = read(augmented_sheet(images, np.arange(1000), [f"c{k}" for k in range(1000)], None))
    assert many.shape == few.shape
