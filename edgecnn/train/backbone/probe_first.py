"""Train a pretrained network: the linear probe first, fine-tuning from it, and their average.

1. Logistic regression on frozen features is the floor: it takes seconds, and often reads other
   places better than a network that was fine-tuned in this one.
2. Fine-tuning starts from the probe's classifier (LP-FT, Kumar et al. 2022, arXiv:2202.10054):
   a random classifier's gradients would distort the features. Batch norm keeps its statistics.
3. The weights are averaged half and half with the probe's (WiSE-FT, Wortsman et al. 2022,
   arXiv:2109.01903): fine-tuning can gain in the lab and lose in the field, where nobody looks.

Where the probe reads a larger input better, fine-tuning imitates its features instead: it starts
from their classifier, and what holds it near them in the field too is part of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from time import monotonic

import keras
import numpy as np

from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.accuracy.paired import Paired
from edgecnn.model.embedding import SplitNetwork
from edgecnn.model.networks.backbones import HEAD
from edgecnn.model.predict import things_in
from edgecnn.train.backbone.frozen_features import FrozenFeatures, views_of
from edgecnn.train.backbone.larger_features import Aim
from edgecnn.train.backbone.logistic_probe import (
    LinearHead,
    fit_head,
    judge_features,
    strongest,
)
from edgecnn.train.backbone.result import ProbeResult
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.fit_network import Fit, fit_network
from edgecnn.train.kept_training import KeptTraining
from edgecnn.train.options import TrainOptions
from edgecnn.train.reports import Clock, Reports

__all__ = ["Probed", "fine_tune", "keep_better", "probe", "probe_alone", "use_head"]

_VIEWS = 3
# Views may take this share of the time that is left.
_VIEWS_SHARE = 0.25
_TUNED_SHARE = 0.5
# Features that are far from the wanted ones have a longer way than those of fine-tuning.
_RATE_IMITATING = 5e-4
_SURE = 0.05
_FINE = 8


@dataclass(frozen=True, eq=False)
class Probed:
    """The probe, its scores of the training and validation images, and its row of the history."""

    head: LinearHead
    train_scores: np.ndarray
    val_scores: np.ndarray
    row: dict[str, float]
    result: ProbeResult


def probe(
    frozen: FrozenFeatures,
    train: Examples,
    val: Examples,
    groups: np.ndarray,
    options: TrainOptions,
    clock: Clock,
    reports: Reports,
) -> Probed:
    """Fit the probe on views of the training images.

    Args:
        groups: int, shape (n,), of the training images; see `judge_features`.
        clock: Decides how many views there is time for.
    """
    start = monotonic()
    num_classes = int(max(train.classes.max(), val.classes.max())) + 1
    views = [frozen.of(train.tensors, progress=reports.progress)]
    judged = strongest(judge_features(views[0], train.classes, groups, options))
    seen = frozen.of(val.tensors)
    count = _affordable(frozen, train, options, clock)
    views += [frozen.of(train.tensors, change) for change in views_of(options, count)]
    head = fit_head(views, train.classes, num_classes, judged.penalty, options)
    scores = head.scores(views[0]), head.scores(seen)
    seconds = round(monotonic() - start, 1)
    things = things_in(train.tensors, things=options.things)
    tally = tally_of_objects(judged.right, things, train.classes)
    result = ProbeResult(tally, len(views), judged.penalty, seconds)
    reports.line(result.to_text())
    row = _row(scores, (train.classes, val.classes), seconds)
    return Probed(head, *scores, row, result)


def _affordable(
    frozen: FrozenFeatures, train: Examples, options: TrainOptions, clock: Clock
) -> int:
    """How many views there is time for; before fine-tuning, which sees others, one will do."""
    left = clock.left()
    most = 1 if options.fine_tune and left is None else _VIEWS
    if left is None:
        return most
    each = len(train.classes) * frozen.seconds(*train.tensors.shape[1:3])
    return min(most, int(_VIEWS_SHARE * left / max(each, 1e-9)))


def _row(
    scores: tuple[np.ndarray, np.ndarray], classes: tuple[np.ndarray, np.ndarray], seconds: float
) -> dict[str, float]:
    row = {"learning_rate": 0.0, "seconds": seconds}
    for prefix, found, truth in zip(("", "val_"), scores, classes, strict=True):
        of_truth = np.maximum(found[np.arange(len(truth)), truth], 1e-7)
        row[f"{prefix}loss"] = float(-np.log(of_truth).mean())
        row[f"{prefix}accuracy"] = float((found.argmax(axis=1) == truth).mean())
    return row


def use_head(model: keras.Model, head: LinearHead) -> None:
    """Make the probe the classifier of a network of `build_backbone`, in place."""
    model.get_layer(HEAD).set_weights([head.kernel, head.bias])


def fine_tune(
    model: keras.Model,
    probed: Probed,
    train: Examples,
    val: Examples,
    options: TrainOptions,
    reports: Reports,
    kept: KeptTraining | None = None,
    aim: Aim | None = None,
) -> Fit:
    """Train a network with the probe's classifier in place, and average it with the probe.

    Args:
        aim: Features to imitate. Training starts from their classifier, and nothing is averaged.

    Raises:
        ModelError: The loss became NaN.
    """
    before = model.get_weights()
    if aim:
        use_head(model, aim.head)
        train = replace(train, wanted=aim.features)
        rate = options.learning_rate or _RATE_IMITATING
        # The batches are mirrored with their features.
        without = tuple(sorted({*options.without, "flip"}))
        options = replace(options, learning_rate=rate, without=without)
    _freeze(model)
    fit = fit_network(model, train, val, options, reports, keep_last=True, kept=kept)
    for layer in model.layers:
        layer.trainable = True
    if aim is None:
        pairs = zip(before, model.get_weights(), strict=True)
        model.set_weights([a + _TUNED_SHARE * (b - a) for a, b in pairs])
    return replace(fit, history=_with_probe(probed, fit), probed=True)


def keep_better(
    tuned: SplitNetwork, before: Sequence[np.ndarray], probed: Probed, val: Examples, fit: Fit
) -> Fit:
    """Give the network the probe's weights back where it reads validation images worse.

    Args:
        tuned: A network that `fine_tune` trained.
        before: Its weights with the probe's classifier.

    Returns:
        The course of the run with the epoch that was kept; worse is by an exact paired test.
    """
    both = probed.val_scores, tuned.scores(val.tensors)
    right = [found.argmax(axis=1) == val.classes for found in both]
    if Paired.of(*right).p_worse >= _SURE:
        return fit
    tuned.network.set_weights(before)
    return replace(fit, kept=0)


def probe_alone(probed: Probed, options: TrainOptions) -> Fit:
    """The course of a run that ends with the probe: as wished, or for want of time."""
    stopped_by = "time budget" if options.fine_tune else "the probe"
    return Fit({name: [value] for name, value in probed.row.items()}, stopped_by, True, 0)


def _with_probe(probed: Probed, fit: Fit) -> dict[str, list[float]]:
    """The probe's row before those of the epochs."""
    history = {name: [probed.row[name], *column] for name, column in fit.history.items()}
    history["seconds"][1:] = [round(probed.row["seconds"] + s, 2) for s in history["seconds"][1:]]
    return history


def _freeze(model: keras.Model) -> None:
    """Freeze batch norm, and the layers that see more than an eighth of the input's resolution.

    These first layers hold edges and colours that fit any photograph. Their gradients would take
    most of the memory and half of the time.
    """
    coarse = ceil(model.input_shape[1] / _FINE)
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        shape = layer.output.shape
        layer.trainable = not norm and (len(shape) != 4 or shape[1] <= coarse)
