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
from edgecnn.adapt.steps.all_layers import try_all_layers
from edgecnn.adapt.steps.batch_norm import try_batch_norm
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.steps.surest_margins import try_framing
from edgecnn.adapt.student import Student
from edgecnn.bundle.artifacts import FULL_INTEGER
from edgecnn.bundle.card import Card
from edgecnn.bundle.last_layer import UNLABELLED
from edgecnn.bundle.preprocess import read_image
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.recipe import Recipe
from edgecnn.model.embedding import SplitNetwork, split_network
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
class Sight:
    """The steps before the last layer. count: field images at most."""

    framing: bool = False
    batch_norm: bool = False
    count: int | None = None


_ADAPT = Sight(framing=True, batch_norm=True)


@dataclass(frozen=True)
class Method:
    """How a network is adapted. labels: how many, chosen how, and which share of them is wrong."""

    name: str
    sight: Sight = _ADAPT
    last_layer: bool = True
    all_layers: bool = False
    labels: int = 0
    chosen: str = ""
    wrong: float = 0.0
    integer: bool = False

    @property
    def seeds(self) -> range:
        return range(_DRAWS if self.chosen == "random" else 1)


def methods(with_labels: bool, integer: bool, all_layers: bool) -> Iterator[Method]:
    yield Method("as trained", Sight(), last_layer=False)
    yield Method("last layer", Sight())
    yield Method("batch norm, last layer", Sight(batch_norm=True))
    yield Method("framing", Sight(framing=True), last_layer=False)
    yield Method("framing, batch norm", last_layer=False)
    yield Method("`adapt`: all three")
    yield Method("`adapt`, 40 images", replace(_ADAPT, count=40))
    if all_layers:
        yield Method("`adapt --all-layers`", all_layers=True)
    if integer:
        yield Method("as trained, full integer", Sight(), last_layer=False, integer=True)
        yield Method("`adapt`, full integer", integer=True)
    if with_labels:
        yield Method("20 labels by `harvest`", labels=20, chosen="harvest")
        yield Method("20 random labels", labels=20, chosen="random")
        yield Method("50 labels by `harvest`", labels=50, chosen="harvest")
        yield Method("50 random labels", labels=50, chosen="random")
        yield Method("50 random labels, 20 % wrong", labels=50, chosen="random", wrong=0.2)
    if with_labels and all_layers:
        yield Method("all layers, 20 by `harvest`", all_layers=True, labels=20, chosen="harvest")


def table(
    models: list[Path], field: Path, with_labels: bool, integer: bool, all_layers: bool
) -> Iterator[str]:
    """Print a row a method: the mean over devices and models."""
    wanted = list(methods(with_labels, integer, all_layers))
    found = [Network(model, field).measure(wanted) for model in models]
    yield (
        "| method | mean, % | error falls by | of each training, % | worst device | harmed "
        "| lab, points: mean | worst | s a device |"
    )
    yield "|---" * 9 + "|"
    base = [one[wanted[0].name] for one in found]
    for method in wanted:
        yield _row(method.name, [one[method.name] for one in found], base)


def _row(name: str, found: list[_Found], base: list[_Found]) -> str:
    accuracy = np.mean([one.accuracy for one in found], axis=0)
    before = np.mean([one.accuracy for one in base], axis=0)
    worst = int(accuracy.argmin())
    lost = [
        f"{device} {b:.1f} -> {a:.1f}"
        for one, start in zip(found, base, strict=True)
        for device, a, b, images in zip(
            one.devices, one.accuracy, start.accuracy, one.images, strict=True
        )
        if is_harmed(b - a, images)
    ]
    each = [_fall(one.accuracy, start.accuracy) for one, start in zip(found, base, strict=True)]
    cells = (
        *(name, f"{accuracy.mean():.2f}", f"{_fall(accuracy, before):.0f} %"),
        ", ".join(f"{one:.0f}" for one in each),
        f"{found[0].devices[worst]} {accuracy[worst]:.1f}",
        ", ".join(lost) or "none",
        f"{np.mean([one.lab for one in found]):+.2f}",
        f"{min(one.lab.min() for one in found):+.2f}",
        f"{np.mean([one.seconds for one in found]):.1f}",
    )
    return f"| {' | '.join(cells)} |"


def is_harmed(points: float, images: int) -> bool:
    """Whether so many points lost of so many images are harm."""
    return points > _HARM_POINTS and points * images / 100 >= _HARM_IMAGES - 0.5


def _fall(after: np.ndarray, before: np.ndarray) -> float:
    """How much of the mean error is gone, in percent."""
    return float(100 * (after.mean() - before.mean()) / max(1e-9, 100 - before.mean()))


@dataclass(frozen=True)
class _Found:
    """Of each device its images and accuracy in percent; of each half lab points and seconds."""

    devices: tuple[str, ...]
    images: np.ndarray
    accuracy: np.ndarray
    lab: np.ndarray
    seconds: np.ndarray


class Network:
    """One MODEL and the devices."""

    def __init__(self, model: Path, field: Path) -> None:
        self.network, self.card = load_model(model)
        self.replay: Replay = read_replay(model, self.card)
        self.weights = self.network.get_weights()
        folders = sorted(path for path in field.iterdir() if path.is_dir())
        self.devices = [_device(folder, self.card) for folder in folders]

    def as_trained(self) -> SplitNetwork:
        """The network before all steps."""
        self.network.set_weights(self.weights)
        return split_network(self.network)

    def measure(self, wanted: list[Method]) -> dict[str, _Found]:
        right = {one.name: np.zeros(len(self.devices)) for one in wanted}
        lab: dict[str, list[float]] = {one.name: [] for one in wanted}
        seconds: dict[str, list[float]] = {one.name: [] for one in wanted}
        for number, device in enumerate(self.devices):
            for half in (0, 1):
                for sight in dict.fromkeys(one.sight for one in wanted):
                    begin = time.process_time()
                    student = self._student(device, half, sight)
                    seen_s = time.process_time() - begin
                    start = student.split.head
                    for method in (one for one in wanted if one.sight == sight):
                        for seed in method.seeds:
                            student.split.set_head(start)
                            begin = time.process_time()
                            points = self._finish(student, device, half, method, seed)
                            seconds[method.name].append(seen_s + time.process_time() - begin)
                            lab[method.name].append(points)
                            score = self._score(student, device, half, method)
                            right[method.name][number] += score / len(method.seeds)
                            if method.all_layers:  # the weights below the last layer are others
                                student = self._student(device, half, sight)
        images = np.array([len(device.classes) for device in self.devices])
        return {
            one.name: _Found(
                tuple(device.name for device in self.devices),
                images,
                100 * right[one.name] / images,
                np.array(lab[one.name]),
                np.array(seconds[one.name]),
            )
            for one in wanted
        }

    def _student(self, device: Device, half: int, sight: Sight) -> Student:
        """The network after the steps before the last layer."""
        rows = np.flatnonzero(device.half == half)
        if sight.count:
            few = min(sight.count, len(rows))
            rows = rows[np.linspace(0, len(rows) - 1, few).round().astype(int)]
        images = device.images.part(rows)
        split, options = self.as_trained(), AdaptOptions()
        student = Student(split, self.replay, images, options, from_scratch=True)
        if not refusal(student.scores, images):
            if sight.framing:
                try_framing(student)
            if sight.batch_norm:
                try_batch_norm(student)
        return student

    def _finish(
        self, student: Student, device: Device, half: int, method: Method, seed: int
    ) -> float:
        """Adapt the last layer, where the method does; the lab's points on validation images."""
        if not method.last_layer:
            return -student.lab.loss_points
        images = student.images
        if method.labels:
            classes = device.classes[device.half == half]
            student.images = _labelled(student, classes, method, seed)
        if not refusal(student.scores, student.images):
            try_last_layer(student)
            if method.all_layers and try_all_layers(student).accepted and not method.labels:
                try_last_layer(student)
        student.images = images
        return -student.lab.loss_points

    def _score(self, student: Student, device: Device, half: int, method: Method) -> int:
        rows, split = device.half != half, student.split
        tensors, truth = device.images.tensors[rows], device.classes[rows]
        if not method.integer:
            return int((split.scores(tensors).argmax(axis=1) == truth).sum())
        union = np.concatenate([self.replay.val_tensors[::3][:150], student.images.tensors[:150]])
        made = Makers(self.card).tflite.make(Recipe(FULL_INTEGER, split.network, union))
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
