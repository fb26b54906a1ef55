"""Does the network see what it was trained on? Measured on the lab images, never guessed.

Where accuracy leaves room, the same images are given to it in the other ways that training scripts
prepare them, and what does far better is named.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ModelError
from edgecnn.export.foreign.normalization import Front
from edgecnn.export.options import Color, Normalize
from edgecnn.model.networks.adopt import end_in_softmax, rewire
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import LabTest

__all__ = ["at_chance", "find_mismatch"]

_SAMPLE = 120  # images: enough to tell a gain of 10 points from luck
_FAR_MORE = 0.10
_ALPHA = 0.00135  # of the paired test: three standard errors, one-sided
_FAIR = 0.5  # accuracy: of many ways one gains by luck, but luck makes no fair classifier
_SAME_SCORES = 1e-5
_CURED = 0.8  # accuracy: a random network may read far more than chance in some other way
_OF_EACH = 5  # images a class, for a line on the order of the labels


def at_chance(test: LabTest) -> bool:
    """Whether the float model reads the lab no better than naming one class would.

    By one answer in twenty and a binomial test that passes what luck does in one of five cases.
    """
    from scipy.stats import binom

    right = int((test.keras_top1 == test.labels).sum())
    commonest = float(np.bincount(test.labels).max() / len(test.labels))
    by_luck = binom.sf(right - 1, len(test.labels), commonest)
    return bool(right / len(test.labels) < commonest + 0.05 and by_luck > 0.2)


def find_mismatch(
    model: Any, front: Front, spec: InputSpec, test: LabTest, labels: tuple[str, ...]
) -> list[str]:
    """Lines on a normalization, colour order or label order that reads the lab images far better.

    "Far better" is at least 50 %, and 10 points more that are no chance (p < 0.00135) in a paired
    test on up to 120 images spread over the lab test.

    Args:
        model: The user's network, from its own input.
        front: What was asked for, and what `test.keras_scores` were made with.

    Raises:
        ModelError: It reads the lab at chance, and in another way far better; or it gives all
            images one and the same answer.
    """
    right = test.keras_top1 == test.labels
    if right.mean() > 1 - _FAR_MORE:
        return []
    rows = np.unique(np.linspace(0, len(right) - 1, _SAMPLE).round().astype(int))
    pixels, truth = test.tensors[rows].astype(np.float32), test.labels[rows]
    channels = 1 if front.color == "grey" else 3
    network = rewire(model, (spec.height, spec.width, channels))
    network, _ = end_in_softmax(model.name, network, front.apply(pixels))
    found = {
        other: keras_scores(network, other.apply(pixels)).argmax(axis=1) == truth
        for other in _others(front)
    }
    best = max(found.values(), key=np.sum)
    lines = []
    if best.mean() >= _FAIR and _far_better(best, right[rows]):
        # Colours may decide little, and scales too: all that are as good are named.
        alike = [way.options() for way, each in found.items() if best.mean() - each.mean() < 0.01]
        lines.append(
            f"with {front.options()} the Keras model reads {_percent(right[rows])} of "
            f"{len(rows)} lab images, with {' or '.join(alike)} {_percent(best)}: export again "
            f"with {'the one' if len(alike) > 1 else 'these, if it is that'} of the training"
        )
    lines += _other_order(test, labels)
    if at_chance(test):
        _refuse_chance(model.name, test, lines, float(best.mean()))
        if lines:
            return lines
        lines.append(
            f"the Keras model reads {_percent(right)} of the lab images, no more than naming the "
            "commonest class would, and no other --normalize, --color or order of labels does far "
            "better; is it trained, and are these images of its task?"
        )
    return lines


def _refuse_chance(name: str, test: LabTest, lines: list[str], cure: float) -> None:
    """Refuse what no export mends: a model that is fed wrongly, or that can't tell classes."""
    right = test.keras_top1 == test.labels
    where = f"lab accuracy is at chance ({_percent(right)} of {len(right)} images)"
    if lines and cure >= _CURED:
        raise ModelError(f"{where}: {lines[0]}")
    if np.ptp(test.keras_scores, axis=0).max() < _SAME_SCORES:
        raise ModelError(
            f"{where}: the Keras model {name} gives every image the same scores, expected one "
            "score a class that depends on the image; a single unit needs a sigmoid, not a softmax"
        )


def _others(front: Front) -> list[Front]:
    colors: tuple[Color, ...] = ("grey",) if front.color == "grey" else ("rgb", "bgr")
    every = [Front(normalize, color) for normalize in get_args(Normalize) for color in colors]
    return [other for other in every if other != front]


def _other_order(test: LabTest, labels: tuple[str, ...]) -> list[str]:
    """Whether renaming the scores one to one would explain the errors."""
    from scipy.optimize import linear_sum_assignment

    confusion = np.zeros((len(labels),) * 2, int)
    np.add.at(confusion, (test.labels, test.keras_top1), 1)
    true, score = linear_sum_assignment(confusion, maximize=True)
    named = {int(s): labels[t] for t, s in zip(true, score, strict=True)}
    answers = np.array([labels.index(named[k]) for k in range(len(labels))])
    renamed, right = answers[test.keras_top1] == test.labels, test.keras_top1 == test.labels
    plenty = len(right) >= _OF_EACH * len(labels)
    if not (plenty and renamed.mean() >= _FAIR and _far_better(renamed, right)):
        return []
    order = ", ".join(named[k] for k in range(min(len(labels), 12)))
    return [
        f"the Keras model reads {_percent(right)} of the lab images; were its scores in the order "
        f"{order}{', ...' if len(labels) > 12 else ''}, it would be {_percent(renamed)}: "
        "give the order of the training with --labels"
    ]


def _far_better(new: np.ndarray, old: np.ndarray) -> bool:
    """By 10 points, and by more than chance in the paired test."""
    enough = new.mean() - old.mean() >= _FAR_MORE
    return bool(enough and Paired.of(old, new).p_better < _ALPHA)


def _percent(right: np.ndarray) -> str:
    return f"{100 * right.mean():.1f} %"
