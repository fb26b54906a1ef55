"""`--synthesize`: make images of rare classes, and keep them only if they help.

A generator trained on few images often harms (Gupta and Brown 2026, arXiv:2603.16134), so a gate
decides. The generator sees only training images, and nothing here uses the test split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

import keras
import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.errors import ModelError
from edgecnn.images.tensors import ChosenTensors, JoinedTensors
from edgecnn.model.predict import keras_scores
from edgecnn.records import Progress
from edgecnn.render.png import picture_sheet
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.options import TrainOptions
from edgecnn.train.synthesis.gan import train_gan
from edgecnn.train.synthesis.result import ARMS, Arm, Synthesis

__all__ = ["Made", "gate", "join", "rare_classes", "synthesize"]

# Trains a new network on images with options.
Trainer = Callable[[Examples, TrainOptions], keras.Model]


_RAREST = 0.25  # share of the mean class size
_TRAININGS = 3
_EPOCHS = 8  # most epochs of each training of the gate
_LEVEL = 0.05
# Fewer images can't reach that level, even if all of them are read better.
_FEWEST = 5
_MOST_LOST = 0.01  # accuracy on all classes
_SHOWN = 24


@dataclass(frozen=True, eq=False)
class Made:
    """The outcome of `synthesize`.

    extra    the synthetic images with their classes; None when they are rejected
    picture  a PNG with real and synthetic images; None when there are none
    """

    decision: Synthesis
    extra: Examples | None = None
    picture: bytes | None = None


def synthesize(
    train: Examples,
    val: Examples,
    labels: tuple[str, ...],
    options: TrainOptions,
    trainer: Trainer,
    progress: Progress | None = None,
) -> Made:
    """Fill up rare classes to the mean class size, and keep the images if the gate agrees.

    Args:
        train, val: The real images for the generator, and for the gate.
        options: `synthesize` names the classes; the trainer gets these options with fewer epochs.

    Raises:
        ModelError: There is no such class, or none is rare.
    """
    start = monotonic()
    rare = rare_classes(train.classes, labels, str(options.synthesize))
    counts = np.bincount(train.classes, minlength=len(labels))
    wanted = [int(np.ceil(counts.mean())) - int(counts[k]) for k in rare]
    names, real = tuple(labels[k] for k in rare), tuple(int(counts[k]) for k in rare)
    judges = int(np.isin(val.classes, rare).sum())
    if judges < _FEWEST:
        reason = (
            f"not tried: {judges} validation images of {' and '.join(names)} can't show a gain, "
            f"expected {_FEWEST} or more (raise --val-share, or add images)"
        )
        return Made(Synthesis(names, real, (0,) * len(rare), kept=False, reason=reason))
    steps, seed = options.synthesis_steps, options.seed
    generator = train_gan(train, len(labels), steps, seed, progress)
    made = [generator.sample(k, n, seed + k) for k, n in zip(rare, wanted, strict=True)]
    extra = Examples(np.concatenate(made), np.repeat(rare, wanted))
    decision = gate(train, val, extra, options, trainer, progress)
    decision = replace(
        decision,
        labels=names,
        real=real,
        made=tuple(wanted),
        steps=steps,
        seconds=round(monotonic() - start, 1),
    )
    pictures = []
    for k, images in zip(rare, made, strict=True):
        real_rows = np.flatnonzero(train.classes == k)[:_SHOWN]
        pictures.append((f"{labels[k]}: real", train.tensors[real_rows]))
        pictures.append((f"{labels[k]}: made", images[:_SHOWN]))
    return Made(decision, extra if decision.kept else None, picture_sheet(pictures))


def rare_classes(classes: np.ndarray, labels: tuple[str, ...], wanted: str) -> list[int]:
    """Find the rare classes.

    A label means its class, which must have fewer images than the mean. "rarest" means all classes
    with less than a quarter of the mean.

    Raises:
        ModelError: There is no such class, or none is rare.
    """
    counts = np.bincount(classes, minlength=len(labels))
    if wanted in labels:
        k = labels.index(wanted)
        if counts[k] >= counts.mean():
            raise ModelError(
                f"--synthesize is {wanted!r}, which has {counts[k]} training images, expected a "
                f"class with fewer than the mean of {counts.mean():.0f}; leave it out"
            )
        return [k]
    if wanted != "rarest":
        raise ModelError(
            f"--synthesize is {wanted!r}, expected 'rarest' or a label: {', '.join(labels[:20])}"
        )
    rare = np.flatnonzero(counts < _RAREST * counts.mean()).tolist()
    if not rare:
        least = int(counts.argmin())
        raise ModelError(
            f"--synthesize is 'rarest', expected a class with fewer than a quarter of the mean of "
            f"{counts.mean():.0f} training images, but the smallest, {labels[least]}, has "
            f"{counts[least]}; name a class, or leave it out"
        )
    return list(map(int, rare))


def gate(
    train: Examples,
    val: Examples,
    extra: Examples,
    options: TrainOptions,
    trainer: Trainer,
    progress: Progress | None = None,
) -> Synthesis:
    """Decide whether synthetic images help, on the same real validation images, over three seeds.

    The network trains with the real images alone, with copies of the rare ones, and with the
    synthetic ones. An exact one-sided sign test over the validation images of the rare classes
    must give p < 0.05; an image counts as better if more trainings read it correctly. Copies must
    not help more, and accuracy on all classes may fall by at most a point.

    Args:
        extra: The synthetic images with their (rare) classes.

    Returns:
        The decision without names and counts.
    """
    rare = np.isin(val.classes, np.unique(extra.classes))
    candidates = dict(zip(ARMS, (train, _repeated(train, extra), join(train, extra)), strict=True))
    right = {name: np.zeros(len(val.classes), int) for name in ARMS}
    done, total = 0, _TRAININGS * len(ARMS)
    for number in range(_TRAININGS):
        for name, examples in candidates.items():
            if progress:
                progress("judging made images", done, total)
            short = replace(
                options, epochs=min(options.most_epochs, _EPOCHS), seed=options.seed + 1 + number
            )
            answers = keras_scores(trainer(examples, short), val.tensors).argmax(axis=1)
            right[name] += answers == val.classes
            done += 1
    arms = {name: _arm(found, rare) for name, found in right.items()}
    change = Paired.of(right["plain"][rare], right["synthetic"][rare])
    better, worse, p = change.won, change.lost, change.p_better
    reason = _objection(arms, p)
    return Synthesis(
        (), (), (), reason is None, reason or "recall rises", arms, better, worse, p, _TRAININGS
    )


def _objection(arms: dict[str, Arm], p: float) -> str | None:
    """The reason to reject synthetic images, or None."""
    plain, repeated, made = (arms[name] for name in ARMS)
    if p >= _LEVEL:
        return "recall does not rise beyond chance"
    if repeated.recall.correct > made.recall.correct:
        return "copies of the real images help more (see --imbalance balanced_sampling)"
    lost = (plain.accuracy.accuracy or 0.0) - (made.accuracy.accuracy or 0.0)
    if lost > _MOST_LOST:
        return f"accuracy on all classes falls by {100 * lost:.1f} points"
    return None


def _arm(right: np.ndarray, rare: np.ndarray) -> Arm:
    recall, accuracy = (
        Tally(int(found.sum()), _TRAININGS * len(found), effective=len(found))
        for found in (right[rare], right)
    )
    return Arm(recall, accuracy)


def _repeated(train: Examples, extra: Examples) -> Examples:
    """Add as many copies of real images as there are synthetic ones in each class."""
    rows = [np.arange(len(train.classes))]
    for k in np.unique(extra.classes):
        mine = np.flatnonzero(train.classes == k)
        rows.append(np.resize(mine, int((extra.classes == k).sum())))
    chosen = np.concatenate(rows)
    return Examples(ChosenTensors(train.tensors, chosen), train.classes[chosen])


def join(train: Examples, extra: Examples) -> Examples:
    """Join two sets of images; the first may be in a file."""
    more = np.asarray(extra.tensors[:])
    return Examples(
        JoinedTensors(train.tensors, more), np.concatenate([train.classes, extra.classes])
    )
