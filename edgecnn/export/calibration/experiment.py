"""Calibration as an experiment: which set, how many images, which ranges, and does it matter?

Each set and their union calibrate integer models, with more and more images in two disjoint
draws. Every model is scored on the lab test images and, without labels, by how often it agrees
with the float model on held-out frames. Range coverage is what counts (Yu et al. 2021,
arXiv:2105.07331: even foreign images do); a set that lacks it is exposed by agreement.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import FULL_INTEGER, ONNX_FULL_INTEGER
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.errors import CalibrationError, ModelError
from edgecnn.export.calibration.advice import advise
from edgecnn.export.calibration.images import Calibration, fair_shares, is_flat, pin
from edgecnn.export.calibration.result import AEQ, Cell, CompareOptions, Comparison
from edgecnn.export.convert.ai_edge_quantizer import AEQ_METHODS, has_aeq, quantize_aeq
from edgecnn.export.convert.onnx_convert import (
    convert_onnx,
    embed_onnx_metadata,
    quantization_texts,
    quantize_onnx,
)
from edgecnn.export.convert.tflite_convert import freeze
from edgecnn.export.convert.tflite_ranges import Activations, RangeModel, clipped_shares
from edgecnn.export.ranges.methods import RANGE_METHODS, Observed, join
from edgecnn.export.readback.check import drop_points
from edgecnn.export.readback.layer_names import layer_names
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["FIELD_FRAMES", "compare_calibration", "images_to_read"]

FIELD_FRAMES = 500  # to judge by, at most, where the field is given

_DRAWS = 2
_FEWEST = 5  # images in a draw, frames to judge by
_CLIPPED_FRAMES = 200
_MOST_BYTES = 300_000_000  # of input tensors, over all sets
_HISTOGRAM_BYTES = 500_000_000  # of activations, which onnxruntime keeps while it collects
_TFLITE_METHODS = ("Percentile 99.99", "MSE")  # beside MinMax
_ONNX_METHODS = ("MinMax", "Percentile", "Entropy", "MSE")
_TFLITE, _ONNX = FULL_INTEGER.file, ONNX_FULL_INTEGER.file


def images_to_read(options: CompareOptions, num_sets: int, tensor_bytes: int) -> int:
    """How many images of each set the experiment can use, within 300 MB for all."""
    wanted = _DRAWS * options.counts[-1] + options.held_out
    return max(_DRAWS * _FEWEST, min(wanted, _MOST_BYTES // (tensor_bytes * num_sets)))


def compare_calibration(
    lab: LabModel,
    sets: Sequence[Calibration],
    field: Calibration | None = None,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Try each set and their union, and advise one.

    Args:
        lab: The float model and its lab test images.
        sets: Read leniently (`Reading(strict=False)`), so that a bad one shows what it does.
        field: Frames to judge by, which no draw then holds; None keeps some of each set's.
        options: Image counts, back ends, granularity.
        progress: Called as the work goes on.

    Raises:
        CalibrationError: Too few images to draw or to judge by.
        ModelError: The network can't be quantized.
    """
    options = options or CompareOptions()
    held_out = _hold_out(sets, field, options)
    draws = [_draw(one, held_out.digests, options) for one in sets]
    frozen = freeze(lab.network, lab.card.input)
    model = RangeModel(frozen)
    pools = [
        _Pool(one.source, tensors, [model.measure(t, one.source, progress) for t in tensors])
        for one, tensors in zip(sets, draws, strict=True)
    ]
    judge = _Judge(lab, held_out, Activations(model, held_out.tensors[:_CLIPPED_FRAMES], progress))
    mixes = _mixes(pools, options.counts)
    makers = list(_makers(lab, model, mixes, options))
    cells = []
    for k, (make, fixed) in enumerate(makers):
        if progress:
            progress(f"calibrating with {fixed.mix.name}", k, len(makers))
        cells.append(judge.score(make(), fixed))
    names = [one.source for one in sets]
    warnings = [f"{one.source}: {warning}" for one in sets for warning in one.warnings]
    float_lab = lab.test.tally(lab.test.keras_top1)
    return Comparison(float_lab, held_out.sources, tuple(cells), advise(cells, names), (*warnings,))


@dataclass(frozen=True)
class _HeldOut:
    """Frames to judge by. tensors: uint8 (n, height, width, 3); top1: the float model's."""

    tensors: np.ndarray
    top1: np.ndarray
    digests: frozenset[str]
    sources: dict[str, int]


@dataclass(frozen=True)
class _Pool:
    """What a set's draws hold: tensors and the activations on them, a list entry each."""

    name: str
    tensors: Sequence[np.ndarray]
    seen: Sequence[Observed]


@dataclass(frozen=True)
class _Mix:
    """`count` images of one draw, of one or more sets."""

    name: str
    num_sets: int
    draw: int
    tensors: np.ndarray
    seen: Observed

    @property
    def count(self) -> int:
        return len(self.tensors)


@dataclass(frozen=True)
class _Variant:
    mix: _Mix
    back_end: str
    method: str
    granularity: str


def _hold_out(
    sets: Sequence[Calibration], field: Calibration | None, options: CompareOptions
) -> _HeldOut:
    """A fifth of each set, or `field`, but no flat frames: there is nothing to read in them."""
    parts: list[tuple[Calibration, list[int]]] = []
    seen: set[str] = set()
    for one in [field] if field is not None else sets:
        most = FIELD_FRAMES if field is not None else min(len(one.digests) // 5, options.held_out)
        order = [k for k in _shuffled(one) if one.digests[k] not in seen]
        chosen = [k for k in order if not is_flat(one.tensors[k])][:most]
        seen |= {one.digests[k] for k in chosen}
        parts.append((one, chosen))
    if len(seen) < _FEWEST:
        raise CalibrationError(
            f"{len(seen)} frames are left to judge the calibration by, expected {_FEWEST} or more; "
            "give larger sets, or --field with images of the field"
        )
    tensors = np.concatenate([one.tensors[chosen] for one, chosen in parts])
    scores = np.concatenate([one.scores[chosen] for one, chosen in parts])
    sources = {one.source: len(chosen) for one, chosen in parts}
    return _HeldOut(tensors, scores.argmax(axis=1), frozenset(seen), sources)


def _shuffled(images: Calibration) -> list[int]:
    """A random order that is the same in every run: by digest of the file."""
    return sorted(range(len(images.digests)), key=lambda k: images.digests[k])


def _draw(
    images: Calibration, held_out: frozenset[str], options: CompareOptions
) -> list[np.ndarray]:
    """The tensors of two disjoint draws."""
    left = [k for k in _shuffled(images) if images.digests[k] not in held_out]
    if len(left) < _DRAWS * _FEWEST:
        raise CalibrationError(
            f"{images.source} has {len(left)} images beside those to judge by, expected "
            f"{_DRAWS * _FEWEST} or more for two draws; add images"
        )
    most = options.counts[-1]
    return [images.tensors[left[draw::_DRAWS][:most]] for draw in range(_DRAWS)]


def _mixes(pools: Sequence[_Pool], counts: Sequence[int]) -> list[_Mix]:
    """Each set and, of several, their union; each count that a draw has, and all that it has."""
    mixes = []
    groups = [[pool] for pool in pools] + ([list(pools)] if len(pools) > 1 else [])
    for group in groups:
        name = group[0].name if len(group) == 1 else "union of all"
        size = sum(min(len(tensors) for tensors in pool.tensors) for pool in group)
        for count in sorted({min(count, size) for count in counts}):
            mixes += [_mix(name, group, draw, count) for draw in range(_DRAWS)]
    return mixes


def _mix(name: str, group: Sequence[_Pool], draw: int, count: int) -> _Mix:
    shares = fair_shares([min(len(t) for t in pool.tensors) for pool in group], count)
    parts = list(zip(group, shares, strict=True))
    tensors = np.concatenate([pool.tensors[draw][:share] for pool, share in parts])
    seen = join([pool.seen[draw][:share] for pool, share in parts])
    return _Mix(name, len(group), draw, tensors, seen)


def _makers(
    lab: LabModel, model: RangeModel, mixes: Sequence[_Mix], options: CompareOptions
) -> Iterator[tuple[Callable[[], bytes], _Variant]]:
    """What is to be made: the bytes of a model, and what it is."""
    largest = {mix.name: mix.count for mix in mixes}
    for mix in mixes:
        for granularity in ("channel", "tensor") if options.per_tensor else ("channel",):
            make = partial(model.quantize, mix.seen, granularity == "channel")
            yield make, _Variant(mix, "tflite", "MinMax", granularity)
        if mix.count == largest[mix.name]:  # few images hold no rare values to leave out
            for method in _TFLITE_METHODS:
                make = partial(model.quantize, mix.seen, method=method)
                yield make, _Variant(mix, "tflite", method, "channel")
    if AEQ in options.back_ends and has_aeq():
        for mix in mixes:
            limits = model.limits(mix.seen)
            for method in AEQ_METHODS:
                make = partial(quantize_aeq, model.float_file, limits, method)
                yield make, _Variant(mix, AEQ, method, "channel")
    if "onnxruntime" in options.back_ends:
        yield from _onnx_makers(lab, mixes, options, model.activation_bytes)


def _onnx_makers(
    lab: LabModel, mixes: Sequence[_Mix], options: CompareOptions, activation_bytes: int
) -> Iterator[tuple[Callable[[], bytes], _Variant]]:
    try:
        source = convert_onnx(lab.network, lab.card.input)
    except ModelError:
        return  # the export itself says so, where ONNX is asked for
    smallest = {mix.name: mix.count for mix in reversed(mixes)}
    for mix in mixes:
        if mix.count > max(options.onnx_most, smallest[mix.name]):
            continue
        for method in _ONNX_METHODS:
            if method in RANGE_METHODS or mix.count * activation_bytes <= _HISTOGRAM_BYTES:
                make = partial(_quantize_onnx, source, pin(mix.tensors), method)
                yield make, _Variant(mix, "onnxruntime", method, "channel")
        if options.per_tensor:
            make = partial(_quantize_onnx, source, pin(mix.tensors), per_channel=False)
            yield make, _Variant(mix, "onnxruntime", "MinMax", "tensor")


def _quantize_onnx(
    source: bytes, images: np.ndarray, method: str = "MinMax", *, per_channel: bool = True
) -> bytes:
    with redirect_stdout(io.StringIO()):  # its calibrators print
        data, *infos = quantize_onnx(source, images, per_channel=per_channel, method=method)
    return embed_onnx_metadata(data, quantization_texts(*infos))


class _Judge:
    """Scores models on the lab test images and on the held-out frames."""

    def __init__(self, lab: LabModel, held_out: _HeldOut, activations: Activations) -> None:
        self._test, self._held_out, self._activations = lab.test, held_out, activations
        names = {name: name for name in activations.values}
        self._layers = layer_names(names, [layer.name for layer in lab.network.layers])

    def score(self, data: bytes, variant: _Variant) -> Cell:
        tflite, mix = variant.back_end != "onnxruntime", variant.mix
        with quiet():
            runtime = load_runtime(data, _TFLITE if tflite else _ONNX)
        lab, field = (
            np.array([runtime.invoke(tensor).argmax() for tensor in tensors])
            for tensors in (self._test.tensors, self._held_out.tensors)
        )
        agrees = field == self._held_out.top1
        return Cell(
            name=mix.name,
            num_sets=mix.num_sets,
            back_end=variant.back_end,
            method=variant.method,
            granularity=variant.granularity,
            count=mix.count,
            draw=mix.draw,
            lab=self._test.tally(lab),
            drop=drop_points(self._test, lab),
            agreement=Tally(int(agrees.sum()), len(agrees)),
            clipped=self._clipped(data) if tflite else {},
            agrees=agrees,
        )

    def _clipped(self, data: bytes) -> dict[str, float]:
        """By layer; where several tensors belong to one, the worst of them."""
        layers: dict[str, float] = {}
        for name, share in clipped_shares(self._activations, data).items():
            layer = self._layers[name]
            layers[layer] = max(share, layers.get(layer, 0.0))
        return layers
