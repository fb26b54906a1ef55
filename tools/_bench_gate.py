"""The table of `tools/bench adapt --gate`: field sets that could do harm, by the steps of `adapt`.

Of each half of a device's images a network is given a part, or another device's images, and is
scored on the other half. The halves are those of `tools/bench adapt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _bench_adapt import Device, Network, is_harmed

from edgecnn.adapt.data import FieldSet
from edgecnn.adapt.gate import refusal
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.steps.batch_norm import try_batch_norm
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.steps.surest_margins import try_framing
from edgecnn.adapt.student import Student


@dataclass(frozen=True)
class _Half:
    """A half of a device's images, as the network reads them before it is adapted."""

    images: FieldSet
    classes: np.ndarray
    read_as: np.ndarray
    sure: np.ndarray

    def some(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.permutation(len(self.images))[:count]

    def of_classes(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The images of so many classes, drawn by chance."""
        return np.flatnonzero(np.isin(self.classes, rng.permutation(self.num_classes)[:count]))

    @property
    def brightness(self) -> np.ndarray:
        return np.asarray(self.images.tensors.mean(axis=(1, 2, 3)))

    @property
    def num_classes(self) -> int:
        return int(self.classes.max()) + 1

    def of_one_answer(self, rng: np.random.Generator) -> np.ndarray:
        return np.flatnonzero(self.read_as == rng.choice(self.read_as))

    def lowest_fifth(self, values: np.ndarray) -> np.ndarray:
        return np.sort(np.argsort(values, kind="stable")[: len(values) // 5])


_Chosen = Callable[[_Half, np.random.Generator], np.ndarray]

_PARTS: dict[str, _Chosen] = {
    "one image": lambda half, rng: half.some(rng, 1),
    "eight images": lambda half, rng: half.some(rng, 8),
    "one class": lambda half, rng: half.of_classes(rng, 1),
    "two classes": lambda half, rng: half.of_classes(rng, 2),
    "half of the classes": lambda half, rng: half.of_classes(rng, half.num_classes // 2),
    "images that are read as one class": lambda half, rng: half.of_one_answer(rng),
    "the darkest fifth": lambda half, _: half.lowest_fifth(half.brightness),
    "the least certain fifth": lambda half, _: half.lowest_fifth(half.sure),
    "40 images": lambda half, rng: half.some(rng, 40),
    "80 images": lambda half, rng: half.some(rng, 80),
}
_MATCHED = "all, by a network that was adapted to them"
_OTHERS = "another device's images, beside a session of this one (`--live`)"
_OTHERS_HALF = "half of another device's images, beside a session of this one"


@dataclass
class _Trials:
    """What came of one kind of field set. points: of the other half, where a step was accepted."""

    points: list[float]
    total: int = 0
    refused: int = 0
    harmed: int = 0

    def row(self, name: str) -> str:
        over_1 = sum(one < -1 for one in self.points)
        cells = (
            *(name, self.total, self.refused, self.total - self.refused - len(self.points)),
            *(len(self.points), self.harmed, over_1),
            f"{min(self.points):+.1f}" if self.points else "",
            f"{np.mean(self.points):+.2f}" if self.points else "",
        )
        return f"| {' | '.join(map(str, cells))} |"


def gate_table(models: list[Path], field: Path) -> Iterator[str]:
    """Print a row a kind of field set, of all devices, halves and models together."""
    found = {name: _Trials([]) for name in (*_PARTS, _MATCHED, _OTHERS, _OTHERS_HALF)}
    for seed, model in enumerate(models):
        bench = Network(model, field)
        for number, device in enumerate(bench.devices):
            for half in (0, 1):
                rng = np.random.default_rng((seed, number, half))
                for name, images, live, again in _sets(bench, number, half, rng):
                    _try(bench, device, half, images, live, again, found[name])
    yield (
        "| field set | trials | refused | no step accepted | accepted | harmed: over 0.5 points "
        "and 2 images | over 1 point | worst, points | mean, points |"
    )
    yield "|---" * 9 + "|"
    yield from (trials.row(name) for name, trials in found.items())


def _sets(
    bench: Network, number: int, half: int, rng: np.random.Generator
) -> Iterator[tuple[str, FieldSet, FieldSet | None, bool]]:
    """Of each kind its name, field set, live frames, and whether it is adapted to twice."""
    device = bench.devices[number]
    rows = np.flatnonzero(device.half == half)
    own = device.images.part(rows)
    scores = bench.as_trained().scores(own.tensors)
    seen = _Half(own, device.classes[rows], scores.argmax(axis=1), scores.max(axis=1))
    for name, choose in _PARTS.items():
        yield name, own.part(choose(seen, rng)), None, False
    yield _MATCHED, own, None, True
    others = [other for k, other in enumerate(bench.devices) if k != number]
    other = others[rng.integers(len(others))]
    yield _OTHERS, other.images, own, False
    yield _OTHERS_HALF, other.images.part(np.flatnonzero(other.half == half)), own, False


def _try(
    bench: Network,
    device: Device,
    half: int,
    images: FieldSet,
    live: FieldSet | None,
    again: bool,
    trials: _Trials,
) -> None:
    """Adapt to a field set, and count what came of it."""
    if not len(images):  # no image of these classes
        return
    split, options = bench.as_trained(), AdaptOptions()
    student = Student(split, bench.replay, images, options, from_scratch=True)
    if again:
        _steps(student)
        lost = student.lab.loss_points
        student = Student(student.split, bench.replay, images, options, True, lost)
        student.remember_lab(bench.replay.train_tensors)
    trials.total += 1
    if refusal(student.scores, images, live):
        trials.refused += 1
        return
    rows = device.half != half
    tensors, truth = device.images.tensors[rows], device.classes[rows]
    before = student.split.scores(tensors).argmax(axis=1) == truth
    if not _steps(student):
        return
    after = student.split.scores(tensors).argmax(axis=1) == truth
    points = 100 * (float(after.mean()) - float(before.mean()))
    trials.points.append(points)
    trials.harmed += is_harmed(-points, len(truth))


def _steps(student: Student) -> bool:
    """The steps of the default; whether one was accepted."""
    made = [try_framing(student), try_batch_norm(student), try_last_layer(student)]
    return any(step.accepted for step in made)
