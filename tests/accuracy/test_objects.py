"""Things are known again by their looks, whenever they return."""

from __future__ import annotations

import numpy as np

from edgecnn.accuracy.objects import ObjectNumbers, tally_of_objects
from edgecnn.accuracy.tally import Tally


def looks(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 255, (count, 256)).astype(np.uint8)


def numbered(pictures, **options) -> list[int]:
    numbers = ObjectNumbers(**options)
    return [numbers.number(picture) for picture in pictures]


def test_a_thing_that_returns_keeps_its_number_under_noise_and_other_light():
    rng, things = np.random.default_rng(1), looks(6)
    shown = rng.integers(0, 6, 200)
    light = rng.uniform(0.5, 1.0, 200)[:, None]
    seen = (things[shown] * light + rng.normal(0, 2, (200, 256))).clip(0, 255).astype(np.uint8)
    found = numbered(seen)
    assert len(set(found)) == len(set(zip(found, shown.tolist(), strict=True))) == len(set(shown))


def turn(start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    return [(start * (1 - s) + end * s).astype(np.uint8) for s in np.linspace(0, 1, 60)]


def test_a_thing_that_turns_slowly_is_one_and_is_known_by_each_of_its_looks():
    front, other = looks(2).astype(float)
    seen = turn(front, 0.6 * front + 0.4 * other)
    assert set(numbered([*seen, looks(3)[2], seen[-1], seen[0], seen[30]])) == {0, 1}


def test_a_belt_that_brings_the_next_thing_slowly_shows_another_one():
    first, second, third = looks(3).astype(float)
    found = numbered([*turn(first, second), *turn(second, third)])
    assert len({found[0], found[59], found[-1]}) == 3
    assert found == sorted(found)


def test_what_looks_like_two_things_is_the_first_of_them():
    """The second was the first in another light: it gives its frames back."""
    middle, apart, other = looks(3).astype(float)
    first, second = 0.81 * middle + 0.19 * apart, 0.81 * middle + 0.19 * (255 - apart)
    between = 0.45 * first + 0.55 * second
    seen = [one.astype(np.uint8) for one in (first, second, other, between, other, second)]
    assert numbered(seen) == [0, 1, 2, 0, 2, 1]


def test_pictures_without_contrast_show_one_thing():
    blank = np.full(256, 9, np.uint8)
    assert numbered([blank, looks(1)[0], blank + 40, looks(1)[0]]) == [0, 1, 0, 1]


def test_looks_that_were_not_seen_for_long_are_forgotten():
    a, b, c = looks(3)
    assert numbered([a, b, a, c, a, b], looks=2) == [0, 1, 0, 2, 0, 3]


def test_copies_of_an_image_are_worth_one_answer_and_other_labels_stay_apart():
    right = [True] * 30 + [False] * 10
    copies = tally_of_objects(right, [0] * 40, ["a"] * 40)
    assert (copies.correct, copies.total, copies.effective) == (30, 40, 1.0)
    apart = tally_of_objects([True, False], [0, 0], ["a", "b"])
    assert apart == Tally(1, 2)
