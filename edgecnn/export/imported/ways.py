"""The ways to feed a foreign file, and the one that the lab images show it to be made for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import PurePath
from typing import get_args

import cv2
import numpy as np

from edgecnn.accuracy.confidence import likeliest_temperature, softmax
from edgecnn.accuracy.paired import Paired
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.foreign.label_order import enough_for_order, likeliest_order
from edgecnn.export.foreign.mismatch import is_far_better
from edgecnn.export.imported.endings import as_scores, find_ending
from edgecnn.export.imported.ends import Ends, fitting
from edgecnn.export.imported.onnx_ends import OnnxFile
from edgecnn.export.imported.options import ImportOptions
from edgecnn.export.imported.tflite_ends import TfliteFile
from edgecnn.export.options import Color, Normalize
from edgecnn.images.dataset import Dataset

__all__ = ["SEARCHED", "FedFile", "LabImages", "WantedPixels", "find_wanted"]

SEARCHED = 120
"""Lab images at most that choose what pixels the file wants, evenly: they come class by class."""

_FEWEST = 10  # lab images that must remain to measure with
_CLOSE, _ALPHA = 0.05, 0.05  # a way is near the best: in points, and not worse in the paired test
# Of the log loss, relative and absolute: by less no way is likelier than a plainer one.
_SAME_LOSS = (0.02, 0.002)
_SMALLEST = 1e-7
_OFF = 1.5  # steps of a quantized input
_MOSTLY = 0.5  # of all values that the input holds or that a normalization makes
_SURELY = 1.28  # standard errors: one-sided, 10 %
_TEMPERATURES = (0.05, 50.0)
_NAMED = 4  # near ways that are written out


@dataclass(frozen=True)
class LabImages:
    """The lab images as input tensors, and the place of each label among the scores."""

    data: Dataset
    labels: tuple[str, ...]
    truth: np.ndarray


@dataclass(frozen=True)
class FedFile:
    """A foreign file at one input size."""

    name: str
    foreign: TfliteFile | OnnxFile
    size_hw: tuple[int, int]

    def ways(self, color: Color) -> list[Ends]:
        """Every way to feed it, the plainest first: whole numbers take pixels as they are only."""
        normalize = ("none",) if self.foreign.whole else get_args(Normalize)
        colors: tuple[Color, ...] = ("grey",) if color == "grey" else ("rgb", "bgr")
        return [Ends(one, color) for one, color in product(normalize, colors)]

    def said(self) -> frozenset[str]:
        """The normalizations whose values are just those that a quantized input holds.

        A converter reads these off its calibration images: what the training used. Those may have
        held no black and no white: else the normalizations whose values are mostly the same.
        """
        if self.foreign.reach is None:
            return frozenset()
        low, high, step = self.foreign.reach

        def values(name: Normalize) -> tuple[float, float]:
            weights, bias = Ends(name).matrix()
            return float(bias.min()), float((255 * weights.sum(axis=0) + bias).max())

        def apart(name: Normalize) -> float:
            first, last = values(name)
            return max(abs(first - low), abs(last - high)) / step

        def shared(name: Normalize) -> float:
            first, last = values(name)
            return (min(last, high) - max(first, low)) / (max(last, high) - min(first, low))

        every = get_args(Normalize)
        just = frozenset(name for name in every if apart(name) <= _OFF)
        return just or frozenset(name for name in every if shared(name) >= _MOSTLY)

    def cut_off(self, ends: Ends, tensors: np.ndarray) -> float:
        """The share of values of uint8 images (n, h, w, 3) that a quantized input can't hold."""
        if self.foreign.reach is None:
            return 0.0
        low, high, step = self.foreign.reach
        weights, bias = ends.matrix()
        values = tensors.astype(np.float32) @ weights + bias
        return float(((values < low - step) | (values > high + step)).mean())

    def answers(self, ends: Ends, tensors: np.ndarray) -> np.ndarray:
        """The file's own answers, float32 (n, outputs), to uint8 (n, h, w, 3)."""
        payload = self.foreign.between(replace(ends, ending="scores"), self.size_hw)
        file = f"{PurePath(self.name).stem}.{self.foreign.suffix}"
        runtime = load_runtime(payload, file)
        with fitting(self.name, self.size_hw):
            return np.stack([runtime.invoke(tensor) for tensor in tensors])

    def scores(self, ends: Ends, tensors: np.ndarray) -> np.ndarray:
        """Scores of classes, float32 (n, classes); those that are no numbers are 0."""
        answers = np.nan_to_num(self.answers(ends, tensors), posinf=0.0, neginf=0.0)
        return as_scores(answers, find_ending(self.name, answers))

    def others(self, ends: Ends) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Scores of uint8 images in every other way, by the options that ask for it."""
        plain = replace(ends, ending="scores")
        size = self.size_text()
        return {
            way.options() + size: self._fed(way) for way in self.ways(ends.color) if way != plain
        }

    def swapped(self, ends: Ends) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """The same for an input of swapped width and height, where the file leaves both open."""
        height, width = self.size_hw
        if height == width or self.foreign.shape[:2] != (None, None):
            return {}
        other = replace(self, size_hw=(width, height))

        def scores(tensors: np.ndarray) -> np.ndarray:
            turned = [cv2.resize(tensor, (height, width)) for tensor in tensors]
            try:
                return other.scores(ends, np.stack(turned))
            except ArtifactError:  # it is of this size only, however open its input is
                return np.zeros((len(tensors), 2), np.float32)

        return {ends.options() + other.size_text(): scores}

    def size_text(self) -> str:
        """The options of its size, if it needs any, with a space before them."""
        if None not in self.foreign.shape[:2]:
            return ""
        return f" --width {self.size_hw[1]} --height {self.size_hw[0]}"

    def _fed(self, ends: Ends) -> Callable[[np.ndarray], np.ndarray]:
        return lambda tensors: self.scores(ends, tensors)


@dataclass(frozen=True)
class WantedPixels:
    """What goes around the file, the images to measure with, and lines for the user.

    answers: float32 (n, outputs), the file's own to some lab images in this way.
    """

    ends: Ends
    rows: np.ndarray
    notes: tuple[str, ...]
    answers: np.ndarray


def find_wanted(fed: FedFile, lab: LabImages, options: ImportOptions) -> WantedPixels:
    """The way that was asked for, or else the one that suits the lab images best.

    A search chooses on up to 120 images, at most half of all, and these are not measured with.

    Raises:
        ModelError: There are too few images, or the file answers no numbers to them.
    """
    rows = np.arange(len(lab.data))
    if options.normalize != "search":
        ends = Ends(options.normalize, options.color)
        answers = fed.answers(ends, lab.data.tensors[evenly(len(rows), SEARCHED)])
        return WantedPixels(replace(ends, ending=find_ending(fed.name, answers)), rows, (), answers)
    chosen = evenly(len(rows), min(SEARCHED, len(rows) // 2))
    rest = np.setdiff1d(rows, chosen)
    if len(rest) < _FEWEST:
        raise ModelError(
            f"{len(rows)} lab images are too few to find what {fed.name} wants of pixels and to "
            "measure it; add images, or say it with --normalize"
        )
    tensors, truth = lab.data.tensors[chosen], lab.truth[chosen]
    tried = [(ends, fed.answers(ends, tensors)) for ends in fed.ways(options.color)]
    finite = [(ends, answers) for ends, answers in tried if np.isfinite(answers).all()]
    ways = [_Way.of(fed.name, *one, truth) for one in finite or tried[:1]]
    said = fed.said()
    own = [way for way in ways if way.ends.normalize in said]
    if own and not is_far_better(_most(ways).right, _most(own).right):
        ways = own
    best, notes = _choose(ways)
    notes[0] += f"; they chose it, so that accuracy is measured on the {len(rest)} others"
    return WantedPixels(best.ends, rest, tuple(notes), best.answers)


@dataclass(frozen=True)
class _Way:
    """How one way reads some lab images.

    answers: float32 (n, outputs), the file's own; scores: float32 (n, classes); truth: int (n,).
    """

    ends: Ends
    answers: np.ndarray
    scores: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, name: str, ends: Ends, answers: np.ndarray, truth: np.ndarray) -> _Way:
        """Once the answers have the ending that they ask for."""
        ending = find_ending(name, answers)
        return cls(replace(ends, ending=ending), answers, as_scores(answers, ending), truth)

    @property
    def right(self) -> np.ndarray:
        """bool (n,)."""
        return np.asarray(self.scores.argmax(axis=1) == self.truth)

    def renamed(self) -> _Way:
        """The same with the labels in the order that suits it best, if that can be known.

        A file's way can be seen though its labels are in another order.
        """
        num_classes = self.scores.shape[1]
        if not enough_for_order(len(self.truth), num_classes):
            return self
        order = likeliest_order(self.scores.argmax(axis=1), self.truth, num_classes)
        return replace(self, scores=self.scores[:, np.argsort(order)])

    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """The log loss of each image at the temperature that suits the way best, and as it is:
        float (n,) each."""
        logits = np.log(np.maximum(self.scores, _SMALLEST))
        temperature = likeliest_temperature(logits, self.truth, *_TEMPERATURES)
        rows = np.arange(len(self.truth))
        shares = [softmax(logits, one)[rows, self.truth] for one in (temperature, 1.0)]
        at_best, as_is = (-np.log(np.maximum(one, _SMALLEST)) for one in shares)
        return at_best, as_is

    def log_losses(self) -> tuple[float, float]:
        """The means of these."""
        at_best, as_is = self.losses()
        return float(at_best.mean()), float(as_is.mean())


def _choose(ways: list[_Way]) -> tuple[_Way, list[str]]:
    """The best way, and notes on it and on those that are near.

    Accuracy decides, with the labels as they are named, or where another order reads far more with
    that. Among those that are near in it the log loss does: a network that is fed wrongly may still
    be right, but its scores say less.
    """
    renamed = [way.renamed() for way in ways]
    most_renamed, most_right = (_most(some).right for some in (renamed, ways))
    by_order = is_far_better(most_renamed, most_right)
    judged = renamed if by_order else ways
    most = _most(judged).right
    near = [way for way in judged if _is_near(way.right, most)]
    best = _usual_colours(_likeliest(near), near)
    order = ", by the likeliest order of its scores" if by_order else ""
    notes = [
        f"{best.ends.options()} suits {len(most)} lab images best ({_percent(best)} right{order})"
    ]
    others = [way for way in near if way is not best]
    if others:
        named = ", ".join(f"{way.ends.options()} ({_percent(way)})" for way in others[:_NAMED])
        notes.append(
            f"about as good: {named}{', ...' if len(others) > _NAMED else ''}; the lower log loss "
            "decided, or the plainer way where that is alike; say what the training used with "
            "--normalize and --color"
        )
    return best, notes


def _most(ways: list[_Way]) -> _Way:
    return max(ways, key=lambda way: int(way.right.sum()))


def _likeliest(near: list[_Way]) -> _Way:
    """By the log loss, first at each way's best temperature: overconfidence is no sign of a wrong
    way where the network is overconfident in the right one. Then as it is, which tells 0..1 from
    0..255 where a network without biases sees the same in both. Then the plainest.

    Where all answers are right the log loss as it is only tells which way is surest.
    """
    losses = [way.log_losses() for way in near]
    at_best = _lowest([loss for loss, _ in losses], range(len(near)))
    if any(near[k].right.all() for k in at_best):
        return near[at_best[0]]
    return near[_lowest([loss for _, loss in losses], at_best)[0]]


def _usual_colours(best: _Way, near: Sequence[_Way]) -> _Way:
    """The same way in R, G, B where nothing shows that B, G, R is likelier.

    Colours tell little of many tasks, and few training scripts keep OpenCV's order.
    """
    plain = replace(best.ends, color="rgb")
    usual = next((way for way in near if way.ends == plain), best)
    more = usual.losses()[0] - best.losses()[0]
    shown = more.mean() > _SURELY * more.std() / np.sqrt(len(more))
    return best if usual is best or shown else usual


def _lowest(losses: Sequence[float], among: Iterable[int]) -> list[int]:
    """Those of some indices whose losses are about the lowest."""
    among = list(among)
    relative, absolute = _SAME_LOSS
    limit = min(losses[k] for k in among) * (1 + relative) + absolute
    return [k for k in among if losses[k] <= limit]


def _is_near(right: np.ndarray, most: np.ndarray) -> bool:
    close = most.mean() - right.mean() < _CLOSE
    return bool(close and Paired.of(most, right).p_worse >= _ALPHA)


def _percent(way: _Way) -> str:
    return f"{100 * way.right.mean():.1f} %"
