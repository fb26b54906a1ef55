"""The table of `tools/bench adapt`: each step of `adapt` on every device of the field.

Each device's images are divided in two halves by near-duplicate group; a network is adapted to one
half and scored on the other, both ways. Groups are fixed here, whatever the product takes for
near-duplicates: a correlation of 0.95 or more at 16x24 grey pixels, or within 10 minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from edgecnn.accuracy.near_duplicates import components
from edgecnn.adapt.data import FieldSet, read_field
from edgecnn.adapt.gate import refusal
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.proposals import Student
from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.bundle.card import Card
from edgecnn.bundle.last_layer import UNLABELLED
from edgecnn.bundle.preprocess import read_image
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.recipe import Recipe
from edgecnn.model.embedding import split_network
from edgecnn.model.lab_replay import Replay, read_replay
from edgecnn.model.read import load_model
from edgecnn.session.ranking import rank_frames

_SAME, _BURST_S = 0.95, 600.0
_DRAWS = 5
_HARM_POINTS, _HARM_IMAGES = 0.5, 2


@dataclass(frozen=True)
class Device:
    """Images of one device with their classes, groups, and which half each belongs to."""

    name: str
    images: FieldSet
    classes: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Method:
    """How a network is adapted. count: field images at most; labels: how many, chosen how."""

    name: str
    batch_norm: bool = True
    last_layer: bool = True
    count: int | None = None
    labels: int = 0
    chosen: str = ""
    wrong: float = 0.0
    integer: bool = False


def methods(with_labels: bool, integer: bool) -> Iterator[Method]:
    yield Method("as trained", batch_norm=False, last_layer=False)
    yield Method("batch norm", last_layer=False)
    yield Method("last layer", batch_norm=False)
    yield Method("`adapt`")
    yield Method("`adapt`, 40 images", count=40)
    if integer:
        yield Method("as trained, full integer", False, False, integer=True)
        yield Method("`adapt`, full integer", integer=True)
    if with_labels:
        yield Method("20 labels by `harvest`", labels=20, chosen="harvest")
        yield Method("20 random labels", labels=20, chosen="random")
        yield Method("50 labels by `harvest`", labels=50, chosen="harvest")
        yield Method("50 random labels", labels=50, chosen="random")
        yield Method("50 random labels, 20 % wrong", labels=50, chosen="random", wrong=0.2)


def table(models: list[Path], field: Path, with_labels: bool, integer: bool) -> Iterator[str]:
    """Print a row a method: the mean over devices and models."""
    yield "| method | mean, % | error falls by | worst device | harmed | lab, points | s a device |"
    yield "|---|---|---|---|---|---|---|"
    bench = [_Bench(model, field) for model in models]
    base: list[np.ndarray] = []
    for method in methods(with_labels, integer):
        found = [one.measure(method) for one in bench]
        accuracy = np.mean([one.accuracy for one in found], axis=0)
        base = base or [one.accuracy for one in found]
        before = np.mean(base, axis=0)
        names = [device.name for device in bench[0].devices]
        worst = int(accuracy.argmin())
        lost = [
            f"{name} {b:.1f} -> {a:.1f}"
            for one, start in zip(found, base, strict=True)
            for name, a, b, images in zip(names, one.accuracy, start, one.lost, strict=True)
            if b - a > _HARM_POINTS and images >= _HARM_IMAGES
        ]
        falls = 1 - (100 - accuracy.mean()) / (100 - before.mean())
        cells = (
            *(method.name, f"{accuracy.mean():.2f}", f"{100 * falls:.0f} %"),
            f"{names[worst]} {accuracy[worst]:.1f}",
            ", ".join(lost) or "none",
            f"{np.mean([one.lab for one in found]):+.2f}",
            f"{np.mean([one.seconds for one in found]):.1f}",
        )
        yield f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class _Found:
    """Accuracy of each device in percent; images that it lost; lab points; processor seconds."""

    accuracy: np.ndarray
    lost: np.ndarray
    lab: float
    seconds: float


class _Bench:
    """One MODEL and the devices."""

    def __init__(self, model: Path, field: Path) -> None:
        self.network, self.card = load_model(model)
        self.split = split_network(self.network)
        self.replay: Replay = read_replay(model, self.card)
        self.weights = self.network.get_weights()
        folders = sorted(path for path in field.iterdir() if path.is_dir())
        self.devices = [_device(folder, self.card) for folder in folders]
        self._base: dict[str, int] = {}

    def measure(self, method: Method) -> _Found:
        accuracy, lost, lab, seconds = [], [], [], []
        for device in self.devices:
            right = draws = 0
            for half in (0, 1):
                for seed in range(_DRAWS if method.chosen == "random" else 1):
                    start = time.process_time()
                    points = self._adapt(device, half, method, seed)
                    seconds.append(time.process_time() - start)
                    lab.append(points)
                    right += self._score(device, device.half != half, method)
                    draws += half == 0
                    self.network.set_weights(self.weights)
            mean = right / draws
            accuracy.append(100 * mean / len(device.classes))
            self._base.setdefault(device.name, mean)
            lost.append(self._base[device.name] - mean)
        return _Found(
            np.array(accuracy), np.array(lost), float(np.mean(lab)), 2 * float(np.mean(seconds))
        )

    def _adapt(self, device: Device, half: int, method: Method, seed: int) -> float:
        """Adapt the network in place; the lab's points on validation images."""
        rows = np.flatnonzero(device.half == half)
        if method.count:
            few = min(method.count, len(rows))
            rows = rows[np.linspace(0, len(rows) - 1, few).round().astype(int)]
        images = device.images.part(rows)
        options = AdaptOptions(batch_norm=method.batch_norm)
        student = Student(self.split, self.replay, images, options, from_scratch=True)
        if method.labels:
            student.images = _labelled(student, device.classes[rows], method, seed)
        if refusal(student.scores, student.images):
            return 0.0
        if method.batch_norm:
            student.try_batch_norm()
        if method.last_layer:
            student.try_last_layer()
        return -student.lab.loss_points

    def _score(self, device: Device, rows: np.ndarray, method: Method) -> int:
        tensors, truth = device.images.tensors[rows], device.classes[rows]
        if not method.integer:
            read = self.split.head.scores(self.split.embed(tensors)).argmax(axis=1)
            return int((read == truth).sum())
        other = device.images.tensors[~rows]
        union = np.concatenate([self.replay.val_tensors[::3][:150], other[:150]])
        made = Makers(self.card).tflite.make(Recipe(FULL_INTEGER, self.network, union))
        runtime = load_runtime(made, FULL_INTEGER.file)
        return sum(
            int(runtime.invoke(t).argmax() == k) for t, k in zip(tensors, truth, strict=True)
        )


def _labelled(student: Student, classes: np.ndarray, method: Method, seed: int) -> FieldSet:
    """The images with the labels that the method gives."""
    rng = np.random.default_rng(seed)
    count = min(method.labels, len(classes))
    if method.chosen == "harvest":
        certain = student.scores.max(axis=1)
        rows = rank_frames(student.embedding, certain, student.images.groups, count)
    else:
        rows = rng.permutation(len(classes))[:count]
    given = classes[rows].copy()
    wrong = rng.random(len(rows)) < method.wrong
    given[wrong] = (given[wrong] + rng.integers(1, 10, int(wrong.sum()))) % 10
    labels = np.full(len(classes), UNLABELLED)
    labels[rows] = given
    return replace(student.images, labels=labels)


def _device(folder: Path, card: Card) -> Device:
    images = read_field([folder], card)
    classes = np.array([card.labels.index(file.path.parent.name) for file in images.files])
    groups = _groups([file.path for file in images.files], [file.time for file in images.files])
    order = np.random.default_rng(0).permutation(groups.max() + 1)
    size = np.bincount(groups)[order]
    first = set(order[np.cumsum(size) - size / 2 < len(groups) / 2].tolist())
    half = np.array([int(group not in first) for group in groups])
    return Device(folder.name, images, classes, half)


def _groups(files: list[Path], times: list) -> np.ndarray:
    grey = [cv2.cvtColor(read_image(file), cv2.COLOR_BGR2GRAY) for file in files]
    small = [cv2.resize(one, (16, 24), interpolation=cv2.INTER_AREA) for one in grey]
    vectors = np.stack(small).reshape(len(small), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    links = [tuple(pair) for pair in np.argwhere(np.triu(vectors @ vectors.T >= _SAME, 1))]
    taken = sorted((time.timestamp(), k) for k, time in enumerate(times) if time)
    pairs = pairwise(taken)
    links += [(a, b) for (start, a), (end, b) in pairs if end - start <= _BURST_S]
    return components(len(files), np.array(links, np.int64).reshape(-1, 2))


def trained(lab: Path, output: Path, seeds: int, train: Callable[..., object]) -> list[Path]:
    """MODEL folders of so many seeds; those that are there go on."""
    models = [output / f"model_{seed}" for seed in range(seeds)]
    for seed, model in enumerate(models):
        if not model.is_dir():
            train("train", lab, "-o", model, "--seed", seed)
    return models
