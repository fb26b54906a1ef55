"""Assess a trained network: on each split, in a simulated field, by groups, and its confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.confidence import (
    calibrated_confidence,
    confidence_error,
    fit_temperature,
)
from edgecnn.accuracy.groups import WorstGroup, per_group, worst_group
from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.accuracy.reject import Reject, fit_reject
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import LabResult
from edgecnn.images.split_groups import GroupOptions, find_devices
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.predict import keras_scores, lab_result, things_in
from edgecnn.model.read import LabTest
from edgecnn.records import Record, computed, json_as
from edgecnn.render.table import table
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.backbone.result import LargerInput
from edgecnn.train.field_images import FieldSign, field_frames, read_sign
from edgecnn.train.task import Part, Task
from edgecnn.words import number

if TYPE_CHECKING:
    import keras

__all__ = ["Breakdown", "Measured", "Verdict", "break_down", "group_names", "measure"]

_POINTS = 2.0  # a gap that is surely larger is reported
_FITTED = 0.9
_FEWEST = 50  # independent test images: with fewer, ten points of overfitting go unseen
_FIELD_SEED = 20_000  # other degradations than those of the validation images
_MOST_ROWS = 12
_FEW, _SAME = 4, 1e-4
_NOTHING = 0.05  # points that print as 0.0


@dataclass(frozen=True)
class Breakdown(Record):
    """Accuracy for each value of one column.

    column   "class" (the true one), or the name of the groups
    tallies  the tally of each value that a test image has, the worst first
    worst    the worst value with at least 10 images, compared with all others; None when fewer
             than two values have so many
    unknown  number of test images without a value
    """

    column: str = dataclass_field(metadata=json_as(hidden=True))
    tallies: dict[str, Tally]
    worst: WorstGroup | None
    unknown: int = 0

    def to_text(self) -> str:
        """The worst values as a table, and how far the worst is behind the others."""
        shown = list(self.tallies.items())[:_MOST_ROWS]
        text = table([self.column, "accuracy"], [(n, t.text()) for n, t in shown])
        more = len(self.tallies) - len(shown)
        lines = [text, *([f"... and {more} others, none worse, in card.json"] if more else [])]
        if self.unknown:
            lines.append(f"({self.unknown} test images have no {self.column}.)")
        w = self.worst
        if w and w.points < _NOTHING:
            lines.append(f"No {self.column} with 10 test images is behind the others.")
        elif w:
            lines.append(
                f"Worst {self.column}: {w.name}, {w.points:.1f} points behind the others (95 % "
                f"interval {w.low:.1f} to {w.high:.1f}; the worst of many looks worse than it is)."
            )
        else:
            lines.append(f"No worst {self.column}: fewer than two have 10 test images.")
        return "\n".join(lines)


@dataclass(frozen=True)
class Verdict(Record):
    """Accuracy on training images, on test images, and on test images in a simulated field.

    field       the test images, each through its own random camera
                (`simulated_field.degraded_copy`); this needs no field image. It knows lenses and
                light, but no other scenes, backgrounds or viewpoints: no reason for a change.
    pretrained  whether the network started from pretrained weights
    strength    of the augmentation: none, light or default
    larger      a larger input that the probe reads better at
    sign        what confidence on unlabelled field images says
    tuned       whether a pretrained network is more than its probe
    epochs      how many a stronger augmentation takes, where this run was given fewer; else 0
    """

    train: Tally
    test: Tally
    field: Tally = dataclass_field(metadata=json_as("simulated_field"))
    pretrained: bool = dataclass_field(default=False, metadata=json_as(hidden=True))
    strength: str = dataclass_field(default="default", metadata=json_as(hidden=True))
    larger: LargerInput | None = None
    sign: FieldSign | None = None
    tuned: bool = dataclass_field(default=True, metadata=json_as(hidden=True))
    epochs: int = dataclass_field(default=0, metadata=json_as(hidden=True))

    @property
    @computed
    def overfits(self) -> bool:
        """Whether training images are read better than test images by surely more than 2 points."""
        return self.gaps["train_test"]["low"] > _POINTS

    @property
    @computed
    def underfits(self) -> bool:
        """Whether even training images are surely read below 90 %, and no worse than others.

        This is about these very images, so it doesn't matter how many things they show.
        """
        these = Tally(self.train.correct, self.train.total)
        return these.interval[1] < _FITTED and not self.overfits

    @property
    @computed
    def fragile(self) -> bool:
        """Whether the simulated field costs surely more than 2 points."""
        return self.gaps["test_field"]["low"] > _POINTS

    @property
    @computed
    def gaps(self) -> dict[str, dict[str, float]]:
        """Points between training and test images, and between these and the simulated field."""
        pairs = {"train_test": (self.train, self.test), "test_field": (self.test, self.field)}
        names = ("points", "low", "high")
        return {k: dict(zip(names, difference(*pair), strict=True)) for k, pair in pairs.items()}

    def to_text(self, *, useful: bool = True) -> str:
        """What it shows, in words.

        Args:
            useful: Whether it surely beats naming the commonest class; else there is something to
                change, and the result says what.
        """
        rows = [
            ("training images", self.train.text()),
            ("test images", self.test.text()),
            ("test images in a simulated field", self.field.text()),
        ]
        seen, field = (
            "{points:.1f} points ({low:.1f} to {high:.1f})".format(**gap)
            for gap in self.gaps.values()
        )
        costs = (
            f"simulated field costs {field} (random cameras and no field image: it knows lenses "
            "and light, but no other scenes, backgrounds or viewpoints)."
        )
        costs = f"{'Fragile: the' if self.fragile else 'The'} {costs}{self._on_crops()}"
        lines = [table(["", "accuracy"], rows), self._fitting(seen), costs]
        if self.sign:
            lines.append(self.sign.to_text())
        if self.larger:
            lines.append(self.larger.to_text())
        elif useful and not self._names_a_change():
            more = "" if self.sign else "; --field with unlabelled field images would say more"
            few = (
                f" {number(self.test.total, 'test image')} can't show much: add images."
                if self.test.worth < _FEWEST
                else ""
            )
            lines.append(f"Nothing to change was found{more}.{few}")
        return "\n".join(lines)

    def _names_a_change(self) -> bool:
        on_crops = bool(self._on_crops())
        in_field = self.sign is not None and self.sign.loses
        return self.overfits or self.underfits or on_crops or in_field

    def _fitting(self, seen: str) -> str:
        """How well the network fits its images, and what to change."""
        better = f"training images are read {seen} better than unseen ones."
        if self.overfits and self.pretrained:
            keep = ", or keep the probe (--no-fine-tune)" if self.tuned else ""
            return f"Overfits: {better} Add images of other places{keep}."
        if self.overfits:
            stronger = "" if self.strength == "default" else f"take {self._stronger}, "
            return (
                f"Overfits: {better} Add images, {stronger}increase --dropout or "
                "--weight-decay, or reduce --network-width."
            )
        if self.underfits:
            change = "train longer (--epochs, --seconds)"
            if self.strength == "default" and self.pretrained:
                change = "take --augment light, or " + change
            return (
                f"Underfits: even training images are read at {self.train.percent} only; {change}."
            )
        strong = "strong " if difference(self.train, self.test)[1] > 0 else ""
        return f"No {strong}overfitting found: {better}"

    def _on_crops(self) -> str:
        """What was measured on real devices, for the network of that measurement only."""
        if self.pretrained or self.strength == "default":
            return ""
        return (
            f" On crops of digits, {self._stronger} read more on 13 devices that training never "
            "saw (docs/results/train.md)."
        )

    @property
    def _stronger(self) -> str:
        """With the epochs that it needs: in few it learns nothing at all."""
        return "--augment default" + (f" --epochs {self.epochs}" if self.epochs else "")


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of a network on the test split, except `train`, `val` and the temperature.

    scores            float32, shape (n, classes)
    temperature       fitted on the validation images, each through its own random camera
    confidence_error  {"raw", "calibrated"}
    reject            chosen on the same validation images, measured on test images of that kind
    """

    scores: np.ndarray
    lab: LabResult
    train: Tally
    val: Tally
    verdict: Verdict
    breakdowns: tuple[Breakdown, ...]
    temperature: float
    confidence_error: dict[str, float]
    reject: Reject | None


def measure(
    model: keras.Model,
    task: Task,
    names: dict[str, list[str | None]],
    larger: LargerInput | None = None,
    quick: Callable[[Tensors], np.ndarray] | None = None,
    *,
    tuned: bool = True,
) -> Measured:
    """Measure a network on clean images, and on test images in a simulated field.

    Args:
        names: For each column the value of each of the lab's images, for the breakdowns.
        larger: A larger input that the verdict names.
        quick: The network's scores of tensors, sooner than from Keras; heeded if they are Keras's.
        tuned: Whether a pretrained network is more than its probe.
    """
    scores_of: Callable[[Tensors], np.ndarray] = partial(keras_scores, model)
    few = task.tensors("test")[:_FEW]
    if quick and np.abs(quick(few) - np.asarray(model(few, training=False))).max() < _SAME:
        scores_of = quick
    options = task.options

    rows = task.measured_rows()
    some = ChosenTensors(task.data.tensors, rows)
    rule = options.things
    train = _tally(scores_of(some), task.data.classes[rows], things_in(some, things=rule))
    val_things = things_in(task.tensors("val"), things=rule)
    val = _tally(scores_of(task.tensors("val")), task.classes("val"), val_things)
    # On clean validation images, which are mostly right, it comes out as 1 and says nothing.
    val_scores, val_classes = _in_field(scores_of, task, "val", _FIELD_SEED + 1)
    temperature = fit_temperature(val_scores, val_classes)
    scores, classes = scores_of(task.tensors("test")), task.classes("test")
    test = LabTest.of(task.data, task.rows("test"), scores, rule)
    lab = lab_result(scores, test.labels, test.things)
    field_scores, field_classes = _in_field(scores_of, task, "test", _FIELD_SEED)
    things = test.things[np.isin(task.rows("test"), task.simulated_rows("test"))]
    field = _tally(field_scores, field_classes, things)
    things = val_things[np.isin(task.rows("val"), task.simulated_rows("val"))]
    val_field = _tally(val_scores, val_classes, things)
    groups = {column: [found[k] for k in task.split.test] for column, found in names.items()}
    labels = [task.data.labels[k] for k in classes]
    settings = options.pretrained, options.strength
    epochs = options.usual_epochs if options.most_epochs < options.usual_epochs else 0
    height, width, _ = task.shape
    spec = options.input_spec((width, height))
    sign = None
    if options.field:
        frames = field_frames(options.field, task.data.sha256, task.field_images)
        sign = read_sign(scores_of, frames, spec, temperature, scores)
    return Measured(
        scores,
        lab,
        train,
        val,
        Verdict(*(train, lab.tally, field), *settings, larger, sign, tuned, epochs),
        break_down(labels, groups, scores.argmax(axis=1) == classes, test.things),
        temperature,
        confidence_error(scores, classes, temperature),
        fit_reject(
            (calibrated_confidence(val_scores, temperature), val_scores.argmax(1) == val_classes),
            (
                calibrated_confidence(field_scores, temperature),
                field_scores.argmax(1) == field_classes,
            ),
            options.reject_error,
            (val_field, field),
        ),
    )


def _tally(scores: np.ndarray, classes: np.ndarray, things: np.ndarray) -> Tally:
    return tally_of_objects(scores.argmax(axis=1) == classes, things, classes)


def _in_field(
    scores_of: Callable[[Tensors], np.ndarray], task: Task, part: Part, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The scores of images of a part, each through its own random camera, and their classes."""
    rows = task.simulated_rows(part)
    chosen = ChosenTensors(task.data.tensors, rows)
    return scores_of(FieldTensors(chosen, None, seed, share=1.0)), task.data.classes[rows]


def group_names(task: Task) -> dict[str, list[str | None]]:
    """The value of each of the lab's images in each column; a column without values is left out.

    Raises:
        DataError: The manifest can't be read or lacks a column or most of the images.
    """
    options, files = task.options, task.data.files[: task.lab_images]
    data = replace(task.data, files=files)
    columns = dict.fromkeys((options.group, *options.by))
    found = {c: find_devices(data, GroupOptions(options.manifest, c)) for c in columns}
    return {column: names for column, names in found.items() if names}


def break_down(
    classes: Sequence[str],
    groups: dict[str, list[str | None]],
    correct: np.ndarray,
    thing: np.ndarray,
) -> tuple[Breakdown, ...]:
    """Accuracy by class and by each column.

    Args:
        classes: Label of each test image.
        groups: For each column the value of each test image, None where unknown.
        correct: bool, shape (n,): which images were read correctly.
        thing: int, shape (n,): what each image shows, see `accuracy.objects`.
    """
    columns: dict[str, Sequence[str | None]] = {"class": classes, **groups}
    found = []
    for column, names in columns.items():
        tallies = per_group(names, correct, thing, classes)
        unknown = sum(name is None for name in names)
        found.append(Breakdown(column, tallies, worst_group(tallies), unknown))
    return tuple(found)
