"""How sure the answers of an adapted network are taken to be."""

import numpy as np
import pytest

from edgecnn.accuracy.confidence import softmax
from edgecnn.adapt.new_card import temperature_after


def scores(sure: float, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Of 200 images of two classes, `wrong` of them misread, logits apart by `sure`."""
    labels = np.arange(200) % 2
    read = np.where(np.arange(200) < wrong, 1 - labels, labels)
    return softmax(sure * np.eye(2, dtype=np.float32)[read]), labels


def test_answers_that_became_surer_than_right_get_a_higher_temperature():
    (before, labels), (after, _) = scores(2.0, 20), scores(6.0, 20)
    assert temperature_after(0.8, before, after, labels) == pytest.approx(0.8 * 3, rel=0.01)


def test_one_image_that_is_read_right_now_makes_no_answer_surer():
    (before, labels), (after, _) = scores(4.0, 4), scores(4.0, 1)
    assert temperature_after(0.8, before, after, labels) == 0.8


def test_where_all_validation_images_are_read_right_the_temperature_stays():
    (before, labels), (after, _) = scores(4.0, 0), scores(9.0, 0)
    assert temperature_after(1.3, before, after, labels) == 1.3
