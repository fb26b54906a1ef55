"""Labels under other names: found where classes change places, and no camera is accused."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.adapt.exchanged_labels import exchanged_labels
from edgecnn.bundle.last_layer import UNLABELLED

NAMES = tuple("abcdefgh")
EVERY = np.arange(80) % 8


def scores_of(classes: np.ndarray, sure: float = 0.97) -> np.ndarray:
    scores = np.full((len(classes), 8), (1 - sure) / 7, np.float32)
    scores[np.arange(len(classes)), classes] = sure
    return scores


def test_right_labels_pass():
    assert exchanged_labels(EVERY, scores_of(EVERY), NAMES) == ""
    assert exchanged_labels(np.full(80, UNLABELLED), scores_of(EVERY), NAMES) == ""


def test_two_folders_that_changed_places_are_named():
    swapped = np.where(EVERY == 2, 5, np.where(EVERY == 5, 2, EVERY))
    found = exchanged_labels(swapped, scores_of(EVERY), NAMES)
    assert "'c' as 'f', 'f' as 'c'" in found
    assert "--labels" in found


@pytest.mark.parametrize("without", [None, 3])
def test_folders_that_are_all_shifted_by_one_are_named_also_where_a_class_has_no_image(without):
    rows = without != EVERY
    found = exchanged_labels((EVERY[rows] + 1) % 8, scores_of(EVERY[rows]), NAMES)
    assert "'a' as 'h'" in found
    assert "more" in found


def test_a_camera_that_lets_one_class_look_like_another_is_not_accused():
    read = np.where(EVERY == 2, 5, EVERY)
    assert exchanged_labels(EVERY, scores_of(read), NAMES) == ""
    three = np.where(EVERY < 3, EVERY + 5, EVERY)  # each as one of its own, but no circle
    assert exchanged_labels(EVERY, scores_of(three), NAMES) == ""
    collapsed = np.where(EVERY < 6, 1, EVERY)  # most of all classes, but read as the same one
    assert exchanged_labels(EVERY, scores_of(collapsed), NAMES) == ""


def test_unsure_answers_and_few_images_say_nothing():
    swapped = np.where(EVERY == 2, 5, np.where(EVERY == 5, 2, EVERY))
    assert exchanged_labels(swapped, scores_of(EVERY, sure=0.9), NAMES) == ""
    assert exchanged_labels(swapped[:16], scores_of(EVERY[:16]), NAMES) == ""


def test_one_label_in_five_that_is_wrong_passes():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(80) < 0.2, rng.integers(0, 8, 80), EVERY)
    assert exchanged_labels(labels, scores_of(EVERY), NAMES) == ""
