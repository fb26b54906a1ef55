"""The steps of a repair: each proposes recipes that start from the best file so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgecnn.errors import ModelError
from edgecnn.export.convert.recipe import Maker, Recipe
from edgecnn.export.judge import FileVerdict
from edgecnn.export.ranges.methods import RANGE_METHODS, describe_method
from edgecnn.export.readback.layers import LayerError, LayerReport
from edgecnn.export.repair.equalize import correct_biases, equalize
from edgecnn.export.repair.fold import fold
from edgecnn.export.repair.workshop import Workshop
from edgecnn.quiet import quiet

__all__ = ["IMAGE_RUNGS", "RUNGS", "BestFile", "Proposal", "worst_tensors"]

_SAME = 2e-3  # of a score: what a change that keeps the float function may cost
_MOST_IMAGES = 300


@dataclass(frozen=True)
class BestFile:
    """The best file so far: how it was made, how good it is, how far each layer is from float."""

    shop: Workshop
    maker: Maker
    recipe: Recipe
    data: bytes
    verdict: FileVerdict
    layers: LayerReport


Proposal = tuple[str, Recipe]  # what it changes, in words, and what to try


def _fix_pixels(best: BestFile) -> Iterator[Proposal]:
    fixed = best.shop.fixed
    if fixed is None:
        return
    if not len(fixed.tensors):
        raise ModelError(fixed.done)
    yield fixed.done, replace(best.recipe, images=_thin(fixed.tensors))


def _widen(best: BestFile) -> Iterator[Proposal]:
    if not len(best.shop.helping):
        raise ModelError("the MODEL folder has too few lab test images to lend some")
    lost = best.shop.fixed is not None and not len(best.shop.fixed.tensors)
    images, lent = best.recipe.images, _thin(best.shop.helping)
    base = images[:0] if lost else _thin(images)
    what = f"{'took' if lost else 'added'} {len(lent)} lab test images, labels unread"
    both = np.concatenate([base, lent])
    yield what, replace(best.recipe, images=both, lent=len(lent))


def _narrow(best: BestFile) -> Iterator[Proposal]:
    for method in RANGE_METHODS[1:]:
        if method != best.recipe.method:
            yield describe_method(method), replace(best.recipe, method=method)


def _equalize(best: BestFile) -> Iterator[Proposal]:
    with quiet():
        network = fold(best.recipe.network)
        pairs = equalize(network, best.recipe.images)
    if pairs:
        _check_function(best.shop, network)
        recipe = replace(best.recipe, network=network)
        yield f"equalized {pairs} pairs of layers", recipe


def _correct(best: BestFile) -> Iterator[Proposal]:
    recipe = best.recipe
    with quiet():
        network = fold(recipe.network)
        layers = correct_biases(network, recipe.images, recipe.per_channel)
    if layers:
        what = f"corrected the biases of {layers} layers"
        yield what, replace(recipe, network=network)


def _mix(best: BestFile) -> Iterator[Proposal]:
    if best.shop.integer_only:
        raise ModelError("left out: an Edge TPU takes no file that is part float")
    for count in (1, 2, 4):
        chosen = worst_tensors(best.layers, count)
        if len(chosen) < count:
            return
        tensors = tuple(error.tensor for error in chosen)
        names = ", ".join(dict.fromkeys(error.layer for error in chosen))
        what = f"left {names} in float: not for an Edge TPU"
        yield what, replace(best.recipe, float_tensors=tensors)


def _widen_integers(best: BestFile) -> Iterator[Proposal]:
    if best.shop.integer_only:
        raise ModelError("left out: an Edge TPU takes no 16-bit activations")
    if best.maker.wide is None:
        raise ModelError("onnxruntime has no 16-bit activations that every version runs")
    what = "16-bit activations: larger in memory and slower on most boards, not for an Edge TPU"
    yield what, replace(best.recipe, format=best.maker.wide, float_tensors=(), method="MinMax")


Rung = Callable[[BestFile], Iterator[Proposal]]
RUNGS: dict[str, Rung] = {
    "fix pixels": _fix_pixels,
    "widen": _widen,
    "narrow ranges": _narrow,
    "equalize": _equalize,
    "correct biases": _correct,
    "float layers": _mix,
    "16-bit activations": _widen_integers,
}
# Those that change the images; the others change how the file is made of them.
IMAGE_RUNGS = ("fix pixels", "widen")


def worst_tensors(report: LayerReport, count: int) -> list[LayerError]:
    """The layers to leave in float; the scores stay integer, as the file's output is."""
    inner = [layer for layer in report.worst(len(report.layers)) if layer.lost_db > 0]
    return [layer for layer in inner if layer.operation.upper() != "SOFTMAX"][:count]


def _thin(images: np.ndarray) -> np.ndarray:
    """Evenly spread ones of many."""
    return np.asarray(images[:: max(1, -(-len(images) // _MOST_IMAGES))])


def _check_function(shop: Workshop, network: Any) -> None:
    """Equalized ReLU6 channels may clip on images that were not looked at."""
    frames = shop.judge.lab
    scores = replace(shop.lab, network=network).scores(frames.tensors)
    if float(np.abs(scores - frames.scores).mean()) > _SAME:
        raise ModelError("equalizing would change the float model's scores: left out")
