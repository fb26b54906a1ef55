"""Check that an augmentation keeps labels: a mirrored 2 is no digit.

A quick probe is cross-validated on up to 1,000 training images: shrunken linear discriminant
analysis on gradient orientations and coarse colours. Each operation is tested in two ways:

clean images    The probe trains on clean and changed images and is tested on clean ones. If the
                operation turns one class into another, accuracy falls (McNemar's exact test on
                pairs). An operation that is merely new to the probe costs nothing.
changed images  The same probe is tested on changed images. If the operation removes the
                differences between classes, or between some of them, the probe loses
                much of what it does better than guessing.

A linear probe may also fail because it has no room for images that are only moved or partly
covered. So what it accuses or doubts is tried once more: a support vector machine learns from
changed images alone. Who has only seen shifted digits reads a digit in the middle; who has only
seen mirrored ones does not.

The result is a hint, not a proof: the probe misses fine texture and small objects in large
pictures, and judges whole operations at their strength, not one rare class among many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.images.tensors import Tensors
from edgecnn.records import Record
from edgecnn.train.augmentation.mixing import added_operations
from edgecnn.train.augmentation.operations import OPERATIONS, Augmentation
from edgecnn.train.augmentation.picture_layer import PictureLayer, PictureLayers
from edgecnn.train.augmentation.pipeline import layers_of, single_operations
from edgecnn.train.augmentation.quick_probe import FOLDS, Probe, embed

if TYPE_CHECKING:
    import keras

__all__ = [
    "LabelCheck",
    "Operation",
    "check_labels",
    "label_notes",
    "safe_augmentation",
]

Operation = Callable[[np.ndarray], np.ndarray]
"""From float32 images in [0, 255], shape (n, height, width, 3), to changed ones."""

_MAX_IMAGES = 1000
_MAX_CLASSES = 40  # chosen at random: for more classes, 1,000 images are too few
_MIN_IMAGES = 100
# Fewer are not worth the time where time is short: they show only the grossest faults.
_WORTH_IT = 300
_COST_S = 0.0008  # processor time of an image and an operation
_REDRAWS = 20
# With 15 operations, one false alarm in 70 data sets.
_SURE, _DOUBTFUL = 0.001, 0.02
_LOST_POINTS = 0.01
# An operation breaks labels if less than this share of the probe's gain over guessing remains.
# Grey leaves 0.4 to 0.7 where colour tells lamps apart; of what cameras do to digits, parts and
# lamps, a shift leaves least: 0.77.
_LEFT = 0.75
# It keeps them if who learns from changed images alone has this share of that gain on clean ones.
_KEPT = 0.8

DROPPABLE = frozenset({"invert", "saturation", "grey", "balance", "tint"})
"""Polarity and colour: left out of the default recipe where they distinguish classes."""
# What brings the neighbours of a picture into view.
_VIEW = frozenset({"zoom_out", "shift"})


@dataclass(frozen=True)
class LabelCheck(Record):
    """The result for one operation.

    keeps     True: it keeps labels; False: it breaks them; None: undecided
    before    the probe without the operation, on clean held-out images
    after     the probe trained with the operation as well, on the same clean images
    changed   the same probe, on changed held-out images
    p_value   chance that luck alone makes `after` so much worse (McNemar's exact test, one-sided)
    """

    name: str
    keeps: bool | None
    before: Tally
    after: Tally
    changed: Tally
    p_value: float
    reason: str

    @classmethod
    def skipped(cls, name: str) -> LabelCheck:
        """The result for an operation that was not checked."""
        none = Tally(0, 0)
        return cls(name, None, none, none, none, 1.0, "not checked: no time for it")

    def to_text(self) -> str:
        """One line: 'horizontal flip: seems to BREAK labels (...)'."""
        verdicts = {True: "keeps labels", False: "seems to BREAK labels", None: "undecided"}
        return f"{self.name}: {verdicts[self.keeps]} ({self.reason})"


def check_labels(
    tensors: Tensors,
    classes: np.ndarray,
    operations: Mapping[str, Operation],
    seed: int,
    *,
    groups: np.ndarray | None = None,
    beside: Mapping[str, Operation] | None = None,
    most: int = _MAX_IMAGES,
) -> list[LabelCheck]:
    """Check each operation, at its strength, for keeping labels.

    Args:
        tensors: uint8, shape (n, height, width, 3): training images only.
        classes: int, shape (n,).
        operations: By name. Random ones are drawn once for each image.
        groups: int, shape (n,): near-duplicates and bursts, which then share a fold.
        beside: By name, the part of an operation that is not on trial.
        most: Images to check.

    Returns:
        One check for each operation, in their order. `keeps` is None for fewer than 100 images,
        for a probe not clearly better than guessing, and between the limits.
    """
    if not operations:
        return []
    beside = beside or {}
    rows = np.sort(_chosen(np.asarray(classes), seed)[:most])
    found = np.unique(np.asarray(classes)[rows], return_inverse=True)[1]
    images = np.asarray(tensors[rows]).astype(np.float32)
    probe = Probe(embed(images), found, _folds(rows, groups, seed))
    checks = []
    for name, operation in operations.items():
        changed = embed(operation(images))
        besides = [embed(beside[name](images))] if name in beside else []
        check = _check(name, probe, changed, besides)
        doubted = check.keeps is False or check.p_value < _DOUBTFUL
        # Colours that fade in part teach the full ones, and yet some images lose all of theirs.
        doubted = doubted and name != "saturation"
        checks.append(_tried_again(check, probe, changed) if doubted else check)
    return checks


def as_operation(layer: keras.layers.Layer, seed: int = 0) -> Operation:
    """Turn a layer of single_operations or added_operations into an operation to check.

    A layer that changes only a share of the images is drawn again for the others.
    """
    rng = np.random.default_rng(seed)

    def once(images: np.ndarray) -> np.ndarray:
        if isinstance(layer, PictureLayer):  # without TensorFlow, which costs more than the change
            whole = np.stack([image.round().astype(np.uint8) for image in images])
            return layer.change(whole, rng)
        return np.array(layer(images, training=True), np.float32)

    def change(images: np.ndarray) -> np.ndarray:
        changed = once(images)
        for _ in range(_REDRAWS):
            # One by one: there are copies enough of all images.
            pairs = zip(changed, images, strict=True)
            same = np.array([(np.abs(after - before) < 0.5).all() for after, before in pairs])
            if not same.any():
                break
            changed[same] = once(images[same])
        return changed

    return change


def safe_augmentation(
    tensors: Tensors,
    classes: np.ndarray,
    augmentation: Augmentation,
    seed: int,
    *,
    added: Collection[str] = (),
    groups: np.ndarray | None = None,
    seconds: float = inf,
) -> tuple[frozenset[str], list[LabelCheck]]:
    """Check a whole recipe and choose the operations to leave out.

    Args:
        tensors, classes, seed, groups: As for check_labels.
        added: Names for mixing.build_mixer, whose operations are checked too.
        seconds: Processor time that the check may take, by an estimate and not by the clock, so
            that the same seed leaves out the same operations everywhere.

    Returns:
        The operations that break labels and may be left out: those of DROPPABLE and the added
        ones; and all checks.
    """
    extra = added_operations(added, seed)
    layers = {**single_operations(augmentation, seed), **extra}
    views, beside = _views(augmentation, seed) if "neighbours" in layers else ({}, {})
    layers |= views
    least = min(_WORTH_IT, len(classes))
    most, tried = _affordable(layers, DROPPABLE | {"flip"} | extra.keys(), least, seconds)
    operations = {name: as_operation(layers[name], seed) for name in tried}
    found = check_labels(
        tensors, classes, operations, seed, groups=groups, beside=beside, most=most
    )
    by_name = {check.name: check for check in found}
    checks = [by_name.get(name) or LabelCheck.skipped(name) for name in layers]
    broken = {check.name for check in checks if check.keeps is False}
    return frozenset(broken & (DROPPABLE | extra.keys())), checks


def _affordable(
    names: Collection[str], first: Collection[str], least: int, seconds: float
) -> tuple[int, list[str]]:
    """How many images to check, and which operations: all, those of `first`, or none.

    Args:
        least: Images that are worth a check.
    """
    for tried in (list(names), [name for name in names if name in first]):
        most = int(min(_MAX_IMAGES, seconds / (_COST_S * max(1, len(tried)))))
        if most >= least:
            return most, tried
    return 0, []


def _views(
    augmentation: Augmentation, seed: int
) -> tuple[dict[str, PictureLayers], dict[str, Operation]]:
    """Neighbours with the operations that bring them into view, and these alone."""
    shown = layers_of(augmentation.without(OPERATIONS - _VIEW), seed)
    together = layers_of(augmentation.without(OPERATIONS - _VIEW - {"neighbours"}), seed)
    if shown is None or together is None:
        return {}, {}
    return {"neighbours": together}, {"neighbours": as_operation(shown, seed)}


def label_notes(checks: Sequence[LabelCheck], dropped: Collection[str] = ()) -> tuple[str, ...]:
    """Report each operation that breaks labels in one line, and whether it was left out."""
    return tuple(
        f"Augmentation: {check.to_text()}; "
        + (
            "left out."
            if check.name in dropped
            else f"still in use; `--without {check.name}` leaves it out."
        )
        for check in checks
        if check.keeps is False
    )


def _chosen(classes: np.ndarray, seed: int) -> np.ndarray:
    """Rows of up to 1,000 images of up to 40 classes, in a random order."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.unique(classes))[:_MAX_CLASSES]
    rows = rng.permutation(np.flatnonzero(np.isin(classes, kinds)))
    return np.asarray(rows[:_MAX_IMAGES])


def _folds(rows: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    of = np.unique(rows if groups is None else np.asarray(groups)[rows], return_inverse=True)[1]
    order = np.random.default_rng(seed + 1).permutation(int(of.max()) + 1)
    return np.asarray(order[of] % FOLDS)


def _check(
    name: str, probe: Probe, changed: np.ndarray, beside: Sequence[np.ndarray]
) -> LabelCheck:
    """What one probe says; `beside` are the features of what is not on trial."""
    clean, moved = probe.held_out(changed)
    right = probe.held_out(*beside)[0] if beside else probe.right
    p_value = Paired.of(right, clean).p_worse
    before, after, on_changed = map(Tally.of, (right, clean, moved))
    keeps, reason = _verdict(before, after, on_changed, p_value, _guess(probe))
    if (changed == probe.features).all():
        keeps, reason = None, "changes nothing by itself"
    return LabelCheck(name, keeps, before, after, on_changed, p_value, reason)


def _tried_again(check: LabelCheck, probe: Probe, changed: np.ndarray) -> LabelCheck:
    """The check, or an acquittal if changed images alone teach what clean ones show."""
    read, guess = Tally.of(probe.read_by(changed)), _guess(probe)
    if (read.accuracy or 0) < guess + _KEPT * ((check.before.accuracy or 0) - guess):
        return check
    return replace(
        check,
        keeps=True,
        reason=f"a probe that learns from changed images alone reads {read.percent} of clean ones "
        "correctly",
    )


def _guess(probe: Probe) -> float:
    """The accuracy of naming the largest class."""
    return float(np.bincount(probe.classes).max() / len(probe.classes))


def _verdict(
    before: Tally, after: Tally, changed: Tally, p_value: float, guess: float
) -> tuple[bool | None, str]:
    if before.total < _MIN_IMAGES:
        return None, f"{before.total} images, expected {_MIN_IMAGES} or more"
    was, now = before.accuracy or 0.0, after.accuracy or 0.0
    if before.interval[0] < guess + 0.1:
        return None, (f"the probe reads {before.percent} correctly, guessing {100 * guess:.1f} %")
    fall = was - now
    if p_value < _SURE and fall > _LOST_POINTS:
        return False, (
            f"turns one class into another: a probe that learns it loses {100 * fall:.1f} points "
            f"on clean images, p = {p_value:.1g}"
        )
    if changed.interval[1] < guess + _LEFT * (was - guess):
        return False, (
            "removes the differences between classes: a probe that learns it reads "
            f"{changed.percent} of changed images correctly, {before.percent} of clean ones"
        )
    if p_value < _DOUBTFUL and fall > _LOST_POINTS:
        return None, f"{100 * fall:.1f} points lost on clean images, p = {p_value:.1g}"
    return True, f"{-100 * fall:+.1f} points on clean images"
