"""Does the network see what it was trained on? Measured on the lab images, never guessed.

Where accuracy leaves room, the same images are given to it in the other ways that training scripts
prepare them, and what does far better is named. So is another order of the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from edgecnn.accuracy.moved_classes import changing_places, moved_classes
from edgecnn.accuracy.paired import Paired
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ModelError
from edgecnn.export.foreign.label_order import enough_for_order, likeliest_order
from edgecnn.export.foreign.normalization import Front
from edgecnn.export.options import Color, Normalize
from edgecnn.model.networks.adopt import end_in_softmax, rewire
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import LabTest

__all__ = [
    "Examined",
    "all_alike",
    "at_chance",
    "explain_misreading",
    "find_mismatch",
    "is_far_better",
]

_KERAS = "the Keras model"
_SAMPLE = 120  # images: enough to tell a gain of 10 points from luck
_FAR_MORE = 0.10
_ALPHA = 0.00135  # of the paired test: three standard errors, one-sided
_FAIR = 0.5  # accuracy: of many ways one gains by luck, but luck makes no fair classifier
_SAME_SCORES = 1e-5
_CURED = 0.8  # accuracy: a random network may read far more than chance in some other way
_NAMED = 12  # labels of an order that are written out
_OF_EACH = 5  # images of a class that is read as another one


@dataclass(frozen=True)
class Examined:
    """A model that may be fed wrongly or have its labels in another order.

    Attributes:
        what: Its name in a sentence, such as "the Keras model".
        command: The command that it is given to anew, with other options.
        asked: The options that `test.keras_scores` were made with, as typed.
        others: Scores (n, classes) of uint8 images (n, height, width, 3), by other such options.
    """

    what: str
    command: str
    asked: str
    others: Mapping[str, Callable[[np.ndarray], np.ndarray]]


def all_alike(test: LabTest) -> bool:
    """Whether the float model gives every image the same scores."""
    return bool(np.ptp(test.keras_scores, axis=0).max() < _SAME_SCORES)


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
    """`explain_misreading` of a Keras model.

    Args:
        model: The user's network, from its own input.
        front: What was asked for, and what `test.keras_scores` were made with.
    """
    if _reads_well(test):  # nothing else is tried
        return explain_misreading(Examined(_KERAS, "export", front.options(), {}), test, labels)
    channels = 1 if front.color == "grey" else 3
    network = rewire(model, (spec.height, spec.width, channels))
    seen = front.apply(test.tensors[_sample(test)].astype(np.float32))
    network, _ = end_in_softmax(model.name, network, seen)

    def fed(other: Front) -> Callable[[np.ndarray], np.ndarray]:
        return lambda pixels: keras_scores(network, other.apply(pixels.astype(np.float32)))

    others = {other.options(): fed(other) for other in _others(front)}
    examined = Examined(_KERAS, "export", front.options(), others)
    return explain_misreading(examined, test, labels)


def explain_misreading(examined: Examined, test: LabTest, labels: tuple[str, ...]) -> list[str]:
    """Lines on a normalization, colour order or label order that reads the lab images far better.

    "Far better" is at least 50 %, and 10 points more that are no chance (p < 0.00135) in a paired
    test on up to 120 images spread over the lab test.

    Raises:
        ModelError: It reads the lab at chance, and in another way far better; or it gives all
            images one and the same answer.
    """
    if _reads_well(test):
        return _exchanged(examined, test, labels)
    lines, cure = _other_way(examined, test, labels)
    lines += _other_order(examined, test, labels)
    lines = lines or _exchanged(examined, test, labels)
    if at_chance(test):
        right = test.keras_top1 == test.labels
        _refuse_chance(examined, test, lines, cure)
        if lines:
            return lines
        lines.append(
            f"{examined.what} reads {_percent(right)} of the lab images, no more than naming the "
            "commonest class would, and no other --normalize, --color or order of labels does far "
            "better; is it trained, and are these images of its task?"
        )
    return lines


def _reads_well(test: LabTest) -> bool:
    return bool((test.keras_top1 == test.labels).mean() > 1 - _FAR_MORE)


def _sample(test: LabTest) -> np.ndarray:
    """Rows of the lab test on which other ways are tried."""
    return evenly(len(test.labels), _SAMPLE)


def _other_way(
    examined: Examined, test: LabTest, labels: tuple[str, ...]
) -> tuple[list[str], float]:
    """A line on the best other way, if it reads far more, and what share of the sample it reads
    with the labels as they are named.

    A file whose labels are in another order reads little in the right way too: where no way does
    far better as it is, each is judged by its likeliest order of the labels.
    """
    rows = _sample(test)
    pixels, truth, given = test.tensors[rows], test.labels[rows], test.keras_top1[rows]
    top1 = {way: answer(pixels).argmax(axis=1) for way, answer in examined.others.items()}
    as_named = {way: answers == truth for way, answers in top1.items()}
    found = _far_better_way(examined, as_named, given == truth)
    if found[0] or not enough_for_order(len(rows), len(labels)):
        return found

    def renamed(answers: np.ndarray) -> np.ndarray:
        return np.asarray(likeliest_order(answers, truth, len(labels))[answers] == truth)

    in_order = {way: renamed(answers) for way, answers in top1.items()}
    lines, _ = _far_better_way(examined, in_order, renamed(given), order=True)
    return lines, 0.0  # with pixels and order free, an untrained network may do well by luck


def _far_better_way(
    examined: Examined, found: Mapping[str, np.ndarray], right: np.ndarray, *, order: bool = False
) -> tuple[list[str], float]:
    """A line on the best of other ways and its accuracy, if it is far better than `right`."""
    best = max(found.values(), key=np.sum, default=right)
    if not is_far_better(best, right):
        return [], 0.0
    # Colours may decide little, and scales too: all that are as good are named.
    alike = [way for way, each in found.items() if best.mean() - each.mean() < 0.01]
    which = "the one" if len(alike) > 1 else "these, if it is that"
    line = (
        f"with {examined.asked} {examined.what} reads {_percent(right)} of "
        f"{len(right)} lab images, with {' or '.join(alike)} {_percent(best)}"
        f"{', both by the likeliest order of its scores' if order else ''}: {examined.command} "
        f"again with {which} of the training"
        f"{', and give its order of the labels with --labels' if order else ''}"
    )
    return [line], float(best.mean())


def _refuse_chance(examined: Examined, test: LabTest, lines: list[str], cure: float) -> None:
    """Refuse what no command mends: a model that is fed wrongly, or that can't tell classes."""
    right = test.keras_top1 == test.labels
    where = f"lab accuracy is at chance ({_percent(right)} of {len(right)} images)"
    same = all_alike(test)
    if lines and (same or cure >= _CURED):
        raise ModelError(f"{where}: {lines[0]}")
    if same:
        raise ModelError(
            f"{where}: {examined.what} gives every image the same scores, expected one "
            "score a class that depends on the image; a single unit needs a sigmoid, not a softmax"
        )


def _others(front: Front) -> list[Front]:
    colors: tuple[Color, ...] = ("grey",) if front.color == "grey" else ("rgb", "bgr")
    every = [Front(normalize, color) for normalize in get_args(Normalize) for color in colors]
    return [other for other in every if other != front]


def _other_order(examined: Examined, test: LabTest, labels: tuple[str, ...]) -> list[str]:
    """Whether renaming the scores one to one would explain the errors."""
    answers = likeliest_order(test.keras_top1, test.labels, len(labels))
    renamed, right = answers[test.keras_top1] == test.labels, test.keras_top1 == test.labels
    if not (enough_for_order(len(right), len(labels)) and is_far_better(renamed, right)):
        return []
    order = ", ".join(labels[k] for k in answers[:_NAMED])
    return [
        f"{examined.what} reads {_percent(right)} of the lab images; were its scores in the order "
        f"{order}{', ...' if len(labels) > _NAMED else ''}, it would be {_percent(renamed)}: "
        "give the order of the training with --labels"
    ]


def _exchanged(examined: Examined, test: LabTest, labels: tuple[str, ...]) -> list[str]:
    """Whether some classes are read as each other, which costs little where they are rare."""
    moved = changing_places(moved_classes(test.labels, test.keras_top1, _OF_EACH))
    if not moved:
        return []
    pairs = ", ".join(f"{labels[a]!r} as {labels[b]!r}" for a, b in list(moved.items())[:_NAMED])
    return [
        f"{examined.what} reads the lab images of {pairs}: do these folders, or their lines in "
        "--labels, stand under each other's names?"
    ]


def is_far_better(new: np.ndarray, old: np.ndarray) -> bool:
    """Whether answers to the same images (right or wrong, shape (n,)) are fair, and more of them
    right by 10 points that are no chance in the paired test."""
    enough = new.mean() >= _FAIR and new.mean() - old.mean() >= _FAR_MORE
    return bool(enough and Paired.of(old, new).p_better < _ALPHA)


def _percent(right: np.ndarray) -> str:
    return f"{100 * right.mean():.1f} %"
