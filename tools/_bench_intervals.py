"""Simulate sessions whose frames repeat things, and count how often the 95 % interval holds.

Every frame has a picture of 16x16 pixels: a look of its class and of its thing, a pose that
wanders, light and noise. The device's own numbering finds the things in them. How alike the
answers to one thing are is drawn anew for each session, from hardly at all to all equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.objects import ObjectNumbers

KINDS = {
    "every frame labelled": "all",
    "every 5th frame": "fifth",
    "every 20th frame": "twentieth",
    "100 random frames": "random",
    "folder of near-duplicates": "folder",
    "things that return 20 times": "return",
    "one class in nine frames of ten": "one class",
}
THINGS = (5, 10, 20, 50, 200)
ACCURACIES = (0.6, 0.8, 0.95, 0.99)
_CLASSES = 10
_ALIKE = (0.05, 0.3, 0.7, 1.0)
_LAYOUTS = 10
_WIDTHS = 5  # of so many sessions of a layout the widths are compared


@dataclass(frozen=True)
class Layout:
    """Labelled frames; int, shape (n,): the thing, its number by looks, and its class."""

    thing: np.ndarray
    number: np.ndarray
    label: np.ndarray

    @property
    def clusters(self) -> np.ndarray:
        """What the product takes for one thing."""
        return self.number * _CLASSES + self.label


@dataclass(frozen=True)
class Cell:
    """The share of sessions that hold the accuracy; the median width over one that knows."""

    held: float
    width_ratio: float


def simulate_all(kind: str, things: int, sessions: int, layouts: int = _LAYOUTS) -> list[Cell]:
    """A cell for each accuracy; `sessions` sessions each."""
    rng = np.random.default_rng([list(KINDS.values()).index(kind), things])
    made = [make_layout(kind, things, rng) for _ in range(layouts)]
    return [simulate(made, accuracy, sessions, rng) for accuracy in ACCURACIES]


def simulate(
    layouts: list[Layout], accuracy: float, sessions: int, rng: np.random.Generator
) -> Cell:
    held, widths = [], []
    for k in range(sessions):
        layout = layouts[k % len(layouts)]
        right = answers(layout.thing, accuracy, rng)
        low, high = Clusters.of(right, layout.clusters).tally().interval
        held.append(low <= accuracy <= high)
        if k < _WIDTHS * len(layouts):
            knows = np.subtract(*Clusters.of(right, layout.thing).tally().interval)
            widths.append((low - high) / knows)
    return Cell(float(np.mean(held)), float(np.median(widths)))


def answers(thing: np.ndarray, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Right answers: bool, shape (n,). Each thing has an accuracy of its own."""
    count, alike = int(thing.max()) + 1, rng.choice(_ALIKE)
    if alike == 1:
        of_thing = (rng.random(count) < accuracy).astype(float)
    else:
        shape = (1 - alike) / alike
        of_thing = rng.beta(accuracy * shape, (1 - accuracy) * shape, count)
    return np.asarray(rng.random(len(thing)) < of_thing[thing])


def make_layout(kind: str, things: int, rng: np.random.Generator) -> Layout:
    """Frames of things, their pictures numbered by looks, and which of them are labelled."""
    of_class = rng.integers(0, _CLASSES, things)
    if kind == "one class":
        of_class = np.where(rng.random(things) < 0.9, 0, of_class)
    if kind == "return":
        visits = np.concatenate([rng.permutation(things) for _ in range(20)])
        shown = np.repeat(visits, 3)
    elif kind == "folder":
        copies = 1 + np.minimum(59, rng.lognormal(1.0, 1.0, things).astype(int))
        shown = np.repeat(np.argsort(of_class), copies)
    else:
        shown = np.repeat(np.arange(things), 1 + rng.poisson(20, things))
    numbers = ObjectNumbers()
    number = np.array([numbers.number(p) for p in pictures(shown, of_class, rng)])
    rows = labelled(kind, len(shown), rng)
    return Layout(shown[rows], number[rows], of_class[shown[rows]])


def labelled(kind: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "random":
        return np.sort(rng.permutation(frames)[:100])
    step = {"fifth": 5, "twentieth": 20}.get(kind, 1)
    return np.arange(int(rng.integers(0, step)), frames, step)


def pictures(
    shown: np.ndarray, of_class: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """uint8, shape (256,), one a frame."""
    classes, own, turned = (_patterns(n, rng) for n in (_CLASSES, len(of_class), len(of_class)))
    looks = 0.6 * classes[of_class] + 0.8 * own
    pose, before = 0.0, -1
    for thing in shown.tolist():
        pose = 0.9 * pose + rng.normal(0, 0.4) if thing == before else rng.normal(0, 1)
        before = thing
        light = rng.uniform(0.7, 1.1)
        look = 120 + 40 * (looks[thing] + 0.12 * pose * turned[thing])
        yield np.clip(light * look + rng.normal(0, 3, 256), 0, 255).astype(np.uint8)


def _patterns(count: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth patterns of unit deviation, float, shape (count, 256)."""
    coarse = rng.normal(0, 1, (count, 5, 5))
    fine = [cv2.resize(c, (16, 16), interpolation=cv2.INTER_CUBIC).ravel() for c in coarse]
    found = np.array(fine) - np.mean(fine, axis=1, keepdims=True)
    return np.asarray(found / found.std(axis=1, keepdims=True))


def tables(sessions: int) -> Iterator[str]:
    """The lines of the table, as they come."""
    yield (
        "| labels | things | holds, % (least of "
        f"{len(ACCURACIES)} accuracies) | mean, % | width |\n|---|---|---|---|---|"
    )
    every = []
    for name, kind in KINDS.items():
        for things in THINGS:
            cells = simulate_all(kind, things, sessions)
            every += cells
            held = [100 * cell.held for cell in cells]
            width = max(cell.width_ratio for cell in cells)
            yield f"| {name} | {things} | {min(held):.1f} | {np.mean(held):.1f} | {width:.2f} |"
    held = [100 * cell.held for cell in every]
    yield (
        f"\n{len(every)} cells of {sessions} sessions: least {min(held):.1f} %, mean "
        f"{np.mean(held):.1f} %, widest {max(cell.width_ratio for cell in every):.2f} times an "
        "interval that knows the things.\n"
    )
