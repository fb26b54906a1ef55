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
from edgecnn.accuracy.quantiles import Z_95

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
ACCURACIES = (0.6, 0.8, 0.9, 0.95, 0.99)
_CLASSES = 10
_ALIKE = (0.05, 0.3, 0.7, 1.0)
_LAYOUTS = 4
_NONE = 1e-9
_WIDTHS = 3  # so many sessions of a layout are compared with what the product prints


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
    for layout in layouts:
        found, spans = _sessions(layout, accuracy, sessions // len(layouts), rng)
        held.append(found)
        widths += spans
    return Cell(float(np.concatenate(held).mean()), float(np.median(widths)))


def _sessions(
    layout: Layout, accuracy: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[float]]:
    """Which of `count` sessions hold the accuracy, and some widths over one that knows.

    All sessions at once; that this is what the product prints is checked on some of them.
    """
    from scipy.special import betainc

    _, thing = np.unique(layout.thing, return_inverse=True)
    _, cluster = np.unique(layout.clusters, return_inverse=True)
    pairs, size = np.unique(np.stack([thing, cluster]), axis=1, return_counts=True)
    of_thing = thing_accuracies(accuracy, (count, int(thing.max()) + 1), rng)
    right = rng.binomial(size, of_thing[:, pairs[0]])  # of each thing in each cluster
    clusters = int(cluster.max()) + 1
    n = np.bincount(pairs[1], weights=size, minlength=clusters)
    k = np.stack([np.bincount(pairs[1], weights=row, minlength=clusters) for row in right])
    mean, worth = k.sum(axis=1) / n.sum(), effective(n, k)
    good, bad = worth * mean, worth * (1 - mean)
    half = np.minimum(1.0, bad) / 2
    above = betainc(np.maximum(good + half, _NONE), bad + 1 - half, accuracy) >= 0.025
    half = np.minimum(1.0, good) / 2
    below = betainc(good + 1 - half, np.maximum(bad + half, _NONE), accuracy) <= 0.975
    held = (above | (good < _NONE)) & (below | (bad < _NONE))
    widths = []
    for row in range(min(_WIDTHS, count)):
        answered = [
            np.repeat([True, False], (r, m - r)) for r, m in zip(right[row], size, strict=True)
        ]
        printed = Clusters.of(np.concatenate(answered), np.repeat(pairs[1], size)).tally()
        low, high = printed.interval
        if (low <= accuracy <= high) != held[row]:
            raise AssertionError(f"the product prints {printed}, the simulation says otherwise")
        knows = Clusters.of(np.concatenate(answered), np.repeat(pairs[0], size)).tally().interval
        widths.append((high - low) / (knows[1] - knows[0]))
    return held, widths


def effective(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """`Clusters._effective` of many sessions: n answers a cluster, k of them right.

    Args:
        n: float, shape (clusters,).
        k: float, shape (sessions, clusters).
    """
    from scipy.special import stdtrit

    total, squares, clusters = n.sum(), (n**2).sum(), len(n)
    shared = squares - total
    if clusters == 1 or not shared:
        return np.full(len(k), 1.0 if clusters == 1 else total)
    mean = k.sum(axis=1) / total
    scatter = ((k - mean[:, None] * n) ** 2).sum(axis=1) * clusters / (clusters - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (scatter / (mean * (1 - mean)) - total) / shared
    rho = np.clip(np.where((mean > 0) & (mean < 1), rho, 0), 0, 1)
    telling = np.minimum((k < n).sum(axis=1), (k > 0).sum(axis=1))
    learnt = telling * rho / (2 + telling)
    rho = learnt + 2 / (2 + telling)
    parts = n + rho[:, None] * (n**2 - n)
    freedom = np.maximum(1.0, parts.sum(axis=1) ** 2 / (parts**2).sum(axis=1) - 1)
    widen = (stdtrit(freedom, 0.975) / Z_95) ** 2
    between = learnt * shared / (total + rho * shared)
    worth = total**2 / (total + rho * shared)
    return np.maximum(1.0, worth / (1 + between * (widen - 1)))


def thing_accuracies(
    accuracy: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Each thing's own accuracy, float, shape (sessions, things); how much they differ is drawn
    for each session.
    """
    alike = rng.choice(_ALIKE, (shape[0], 1))
    spread = (1 - alike) / alike
    drawn = rng.beta(
        accuracy * np.maximum(spread, 1e-3), (1 - accuracy) * np.maximum(spread, 1e-3), shape
    )
    return np.asarray(np.where(alike == 1, rng.random(shape) < accuracy, drawn))


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
