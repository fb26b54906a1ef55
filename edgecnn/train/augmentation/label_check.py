"""Does an augmentation keep the label? A mirrored 2 is no digit, a grey traffic light has no class.

A quick probe is cross-validated on up to 1,000 training images: shrunken linear discriminant
analysis on gradient orientations and coarse colours. Each operation is put to it two ways:

clean by changed   The probe trained on clean and changed images, tested on clean ones. A change
                   that moves images into another class has them claimed by the wrong one there:
                   accuracy on the CLEAN images falls (paired: McNemar's exact test). A change
                   that the probe has merely never met costs it nothing once it has met it.
changed by changed The same probe on changed images. A change that wipes out what the classes
                   are told by leaves it no better than guessing, however long it trains.

What it can not do: the probe is linear, so it stands for a small network, and a class that is
only met one way round (all cars drive to the left) may count as broken by a mirror although the
mirrored car is a car: a warning, not a proof. Differences that the probe is blind to (fine
texture, small objects in large pictures) give "can not tell" or pass unseen. It judges whole
operations at their strength, not single images, and not one rare class among many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.images.tensors import Tensors
from edgecnn.records import Record
from edgecnn.train.augmentation.linear_probe import FOLDS, Probe, embed
from edgecnn.train.augmentation.mixing import added_operations
from edgecnn.train.augmentation.operations import Augmentation
from edgecnn.train.augmentation.pipeline import single_operations

if TYPE_CHECKING:
    import keras

__all__ = [
    "LabelCheck",
    "Operation",
    "check_labels",
    "label_notes",
    "safe_operations",
]

Operation = Callable[[np.ndarray], np.ndarray]
"""float32 images in [0, 255], shape (n, height, width, 3), to the changed ones."""

_MAX_IMAGES = 1000
_MAX_CLASSES = 40  # of more, a random choice: 1,000 images would be too few for each
_MIN_IMAGES = 100
_REDRAWS = 20
# With 15 operations, one false alarm in 70 data sets.
_SURE = 0.001
_LOST_POINTS = 0.01
# Of what the probe is better than guessing by, less than this is left.
_LEFT = 0.5


DROPPABLE = frozenset({"invert", "saturation", "grey", "balance", "tint"})
"""Polarity and colour: what the default recipe goes without where classes are told by them."""


@dataclass(frozen=True)
class LabelCheck(Record):
    """What was found of one operation.

    keeps     True; False: it breaks labels; None: can not tell
    before    the probe that never met the operation, on clean held-out images
    after     the probe trained with the operation as well, on the same clean images
    changed   the same probe, on the changed held-out images
    p_value   of `after` being no worse than `before` (McNemar's exact test, one-sided)
    reason    in words
    """

    name: str
    keeps: bool | None
    before: Tally
    after: Tally
    changed: Tally
    p_value: float
    reason: str

    def to_text(self) -> str:
        """One line: 'horizontal flip: seems to BREAK labels (...)'."""
        verdict = {True: "keeps labels", False: "seems to BREAK labels", None: "can not tell"}[
            self.keeps
        ]
        return f"{self.name}: {verdict} ({self.reason})"


def check_labels(
    tensors: Tensors,
    classes: np.ndarray,
    operations: Mapping[str, Operation],
    seed: int,
    *,
    groups: np.ndarray | None = None,
) -> list[LabelCheck]:
    """Check each operation, at the strength it has, for keeping the label.

    Args:
        tensors: uint8, shape (n, height, width, 3): training images, never those of a report.
        classes: int, shape (n,).
        operations: By name. Random ones are drawn once an image.
        seed: Of the choice of images and of the folds.
        groups: int, shape (n,): near-duplicates and bursts, which then share a fold.

    Returns:
        One check an operation, in their order. `keeps` is None for fewer than 100 images, where
        the probe is not clearly better than guessing, and between the limits.
    """
    rows = _chosen(np.asarray(classes), seed)
    found = np.unique(np.asarray(classes)[rows], return_inverse=True)[1]
    images = np.asarray(tensors[rows]).astype(np.float32)
    probe = Probe(embed(images), found, _folds(rows, groups, seed))
    right = probe.clean()
    return [
        _check(name, probe, right, embed(np.asarray(operation(images), np.float32)))
        for name, operation in operations.items()
    ]


def as_operation(layer: keras.layers.Layer) -> Operation:
    """A layer of single_operations or added_operations as an operation to check.

    A layer that changes a share of the images only is drawn again for the others: whether a
    change keeps labels does not depend on how seldom it is made, but the test's power does.
    """

    def change(images: np.ndarray) -> np.ndarray:
        changed = np.array(layer(images, training=True), np.float32)
        for _ in range(_REDRAWS):
            same = (np.abs(changed - images) < 0.5).all(axis=(1, 2, 3))
            if not same.any():
                break
            changed[same] = np.asarray(layer(images[same], training=True))
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
) -> tuple[frozenset[str], list[LabelCheck]]:
    """Check a whole recipe, and say what it should go without.

    Args:
        tensors, classes, seed, groups: As of check_labels: training images only.
        augmentation: The recipe.
        added: Names for mixing.build_mixer, whose operations are checked too.

    Returns:
        The operations to leave out because they break labels, for `without`: those of DROPPABLE
        and of the added ones; and all checks.
    """
    extra = added_operations(added, seed)
    layers = {**single_operations(augmentation, seed), **extra}
    operations = {name: as_operation(layer) for name, layer in layers.items()}
    checks = check_labels(tensors, classes, operations, seed, groups=groups)
    broken = layers.keys() - safe_operations(checks, layers)
    return frozenset(broken & (DROPPABLE | extra.keys())), checks


def safe_operations(checks: Sequence[LabelCheck], names: Collection[str]) -> frozenset[str]:
    """Those of the names that no check found to break labels.

    The hook for a recipe that leaves out what would spoil it: what can not be told stays in.
    """
    return frozenset(names) - {check.name for check in checks if check.keeps is False}


def label_notes(checks: Sequence[LabelCheck], dropped: Collection[str] = ()) -> tuple[str, ...]:
    """One line for each operation that breaks labels, saying what was done about it."""
    return tuple(
        f"Augmentation: {check.to_text()}; "
        + (
            "left out."
            if check.name in dropped
            else f"still in use, `--without {check.name}` leaves it out."
        )
        for check in checks
        if check.keeps is False
    )


def _chosen(classes: np.ndarray, seed: int) -> np.ndarray:
    """Rows of up to 1,000 images of up to 40 classes."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.unique(classes))[:_MAX_CLASSES]
    rows = rng.permutation(np.flatnonzero(np.isin(classes, kinds)))
    return np.sort(rows[:_MAX_IMAGES])


def _folds(rows: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    of = np.unique(rows if groups is None else np.asarray(groups)[rows], return_inverse=True)[1]
    order = np.random.default_rng(seed + 1).permutation(int(of.max()) + 1)
    return np.asarray(order[of] % FOLDS)


def _check(name: str, probe: Probe, right: np.ndarray, changed: np.ndarray) -> LabelCheck:
    from scipy.stats import binomtest

    clean, moved = probe.with_changed(changed)
    lost, won = int((right & ~clean).sum()), int((~right & clean).sum())
    p_value = binomtest(lost, lost + won, 0.5, "greater").pvalue if lost + won else 1.0
    before, after, on_changed = (Tally(int(x.sum()), len(x)) for x in (right, clean, moved))
    guess = float(np.bincount(probe.classes).max() / len(probe.classes))
    keeps, reason = _verdict(before, after, on_changed, float(p_value), guess)
    if (changed == probe.features).all():
        keeps, reason = None, "changes nothing by itself"
    return LabelCheck(name, keeps, before, after, on_changed, float(p_value), reason)


def _verdict(
    before: Tally, after: Tally, changed: Tally, p_value: float, guess: float
) -> tuple[bool | None, str]:
    if before.total < _MIN_IMAGES:
        return None, f"{before.total} images, expected {_MIN_IMAGES} or more"
    was, now = before.accuracy or 0.0, after.accuracy or 0.0
    if before.interval[0] < guess + 0.1:
        return None, f"the probe is right in {_percent(before)} %, guessing in {100 * guess:.1f} %"
    fall = was - now
    if p_value < _SURE and fall > _LOST_POINTS:
        return False, (
            f"turns one class into another: a probe that learns it loses {100 * fall:.1f} points "
            f"on clean images, p = {p_value:.1g}"
        )
    if changed.interval[1] < guess + _LEFT * (was - guess):
        return False, (
            "takes away what tells the classes apart: a probe that learns it is right in "
            f"{_percent(changed)} % of the changed images, in {_percent(before)} % of clean ones"
        )
    if p_value < 0.02 and fall > _LOST_POINTS:
        return None, f"{100 * fall:.1f} points lost on clean images, p = {p_value:.1g}"
    return True, f"{-100 * fall:+.1f} points on clean images"


def _percent(tally: Tally) -> str:
    return f"{100 * (tally.accuracy or 0.0):.1f}"
