"""Calibration as an experiment: which set, how many images, which ranges, and does it matter?

Each set and their union calibrate integer models, with more and more images in two disjoint
draws. Every model is scored on the lab test images and, without labels, by how often it agrees
with the float model on held-out frames. Source: Yu et al. 2021, arXiv:2105.07331.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.bundle.artifacts import FULL_INTEGER, ONNX_FULL_INTEGER
from edgecnn.errors import CalibrationError, ModelError
from edgecnn.export.calibration.advice import advise
from edgecnn.export.calibration.images import Calibration, fair_shares, is_flat
from edgecnn.export.calibration.result import AEQ, Cell, Comparison
from edgecnn.export.convert.ai_edge_quantizer import AEQ_METHODS, has_aeq, quantize_aeq
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.recipe import HISTOGRAM_IMAGES, Recipe
from edgecnn.export.convert.tflite_ranges import clipped_shares
from edgecnn.export.judge import Judge, JudgedFrames, lab_frames
from edgecnn.export.options import ExportOptions
from edgecnn.export.ranges.methods import RANGE_METHODS, Observed, join
from edgecnn.export.readback.layer_names import layer_names
from edgecnn.files.walk import natural_order
from edgecnn.model.predict import things_in
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["FIELD_FRAMES", "compare_calibration", "images_to_read"]

FIELD_FRAMES = 500  # to judge by, at most, where the field is given

_DRAWS = 2
_FEWEST = 5  # images in a draw, frames to judge by
_HELD_OUT = 200  # of each set, at most, where no field is given
_CLIPPED_FRAMES = 200
_VALUES = 200_000  # kept of each tensor: a clipped share is then known to 0.01 %
_MOST_BYTES = 300_000_000  # of input tensors, over all sets
_HISTOGRAM_BYTES = 500_000_000  # of activations, which onnxruntime keeps while it collects
_TFLITE_METHODS = ("Percentile 99.99", "MSE")  # beside MinMax
_ONNX_METHODS = ("MinMax", "Percentile", "Entropy", "MSE")
_ONNX = "onnxruntime"


def images_to_read(options: ExportOptions, num_sets: int, tensor_bytes: int) -> int:
    """How many images of each set the experiment can use, within 300 MB for all."""
    wanted = _DRAWS * options.compare_counts[-1] + _HELD_OUT
    return max(_DRAWS * _FEWEST, min(wanted, _MOST_BYTES // (tensor_bytes * num_sets)))


def compare_calibration(
    lab: LabModel,
    makers: Makers,
    sets: Sequence[Calibration],
    field: Calibration | None,
    options: ExportOptions,
    progress: Progress | None = None,
) -> Comparison:
    """Try each set and their union, and advise one.

    Args:
        sets: Read leniently (`Reading(strict=False)`), so that a bad one shows what it does.
        field: Frames to judge by, which no draw then holds; None keeps some of each set's.

    Raises:
        CalibrationError: Too few images to draw or to judge by.
        ModelError: The network can't be quantized.
    """
    held_out = _hold_out(sets, field)
    most = options.compare_counts[-1]
    draws = [_draw(one, held_out.digests, most) for one in sets]
    model = makers.tflite.range_model(lab.network)
    pools = [
        _Pool(one.source, tensors, [model.measure(t, one.source, progress) for t in tensors])
        for one, tensors in zip(sets, draws, strict=True)
    ]
    bench = _Bench(lab, makers, held_out, progress)
    variants = list(_variants(bench, _mixes(pools, options.compare_counts), options))
    cells = []
    for k, variant in enumerate(variants):
        if progress:
            progress(f"calibrating: with {variant.mix.name}", k, len(variants))
        cells.append(bench.measure(variant))
    names = [one.source for one in sets]
    warnings = [f"{one.source}: {warning}" for one in sets for warning in one.warnings]
    float_lab = lab.test.tally(lab.test.keras_top1)
    return Comparison(float_lab, held_out.sources, tuple(cells), advise(cells, names), (*warnings,))


@dataclass(frozen=True)
class _HeldOut:
    """Frames to judge by, what each shows, the digests of their files, and how many come from each
    source."""

    frames: JudgedFrames
    things: np.ndarray
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
    """One integer model to try; the fields are those of a `Cell`."""

    mix: _Mix
    back_end: str
    method: str
    granularity: str


def _hold_out(sets: Sequence[Calibration], field: Calibration | None) -> _HeldOut:
    """A fifth of each set, or `field`, but no flat frames: there is nothing to read in them."""
    parts: list[tuple[Calibration, list[int]]] = []
    seen: set[str] = set()
    for one in [field] if field is not None else sets:
        most = FIELD_FRAMES if field is not None else min(len(one.digests) // 5, _HELD_OUT)
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
    names = [str(one.files[k]) for one, chosen in parts for k in chosen]
    things = things_in(tensors, natural_order(names))
    return _HeldOut(JudgedFrames(tensors, scores), things, frozenset(seen), sources)


def _shuffled(images: Calibration) -> list[int]:
    """A random order that is the same in every run: by digest of the file."""
    return sorted(range(len(images.digests)), key=lambda k: images.digests[k])


def _draw(images: Calibration, held_out: frozenset[str], most: int) -> list[np.ndarray]:
    """The tensors of two disjoint draws."""
    left = [k for k in _shuffled(images) if images.digests[k] not in held_out]
    if len(left) < _DRAWS * _FEWEST:
        raise CalibrationError(
            f"{images.source} has {len(left)} images beside those to judge by, expected "
            f"{_DRAWS * _FEWEST} or more for two draws; add images"
        )
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


def _variants(bench: _Bench, mixes: Sequence[_Mix], options: ExportOptions) -> Iterator[_Variant]:
    """What is to be tried, by back end."""
    largest = {mix.name: mix.count for mix in mixes}
    for mix in mixes:
        yield _Variant(mix, "tflite", "MinMax", "channel")
        yield _Variant(mix, "tflite", "MinMax", "tensor")
        if mix.count == largest[mix.name]:  # few images hold no rare values to leave out
            yield from (_Variant(mix, "tflite", m, "channel") for m in _TFLITE_METHODS)
    if has_aeq():
        yield from (_Variant(mix, AEQ, m, "channel") for mix in mixes for m in AEQ_METHODS)
    if ONNX_FULL_INTEGER.name in options.formats and bench.has_onnx():
        yield from _onnx_variants(mixes, bench.activation_bytes)


def _onnx_variants(mixes: Sequence[_Mix], activation_bytes: int) -> Iterator[_Variant]:
    smallest = {mix.name: mix.count for mix in reversed(mixes)}
    for mix in mixes:
        if mix.count > max(HISTOGRAM_IMAGES, smallest[mix.name]):
            continue
        for method in _ONNX_METHODS:
            if method in RANGE_METHODS or mix.count * activation_bytes <= _HISTOGRAM_BYTES:
                yield _Variant(mix, _ONNX, method, "channel")
        yield _Variant(mix, _ONNX, "MinMax", "tensor")


class _Bench:
    """Makes the models and measures them on the lab test images and the held-out frames."""

    def __init__(
        self, lab: LabModel, makers: Makers, held_out: _HeldOut, progress: Progress | None
    ) -> None:
        self._lab, self._makers, self._held_out = lab, makers, held_out
        self._judge = Judge(lab_frames(lab.test), held_out.frames)
        self._model = makers.tflite.range_model(lab.network)
        self.activation_bytes = self._model.activation_bytes
        frames, kept = held_out.frames.tensors[:_CLIPPED_FRAMES], _VALUES // _CLIPPED_FRAMES
        self._seen = self._model.measure(frames, "held-out frames", progress, kept)
        names = {node.name: node.origin for node in self._model.tap.nodes}
        self._layers = layer_names(names, lab.network)

    def has_onnx(self) -> bool:
        """The network has an ONNX version; the export itself says why not, where it is asked."""
        try:
            self._makers.onnx.reference(self._lab.network)
        except ModelError:
            return False
        return True

    def measure(self, variant: _Variant) -> Cell:
        """Make a model and run it."""
        data, mix = self._make(variant), variant.mix
        target = ONNX_FULL_INTEGER if variant.back_end == _ONNX else FULL_INTEGER
        trial = self._judge.run(data, target.file)
        frames, things = self._held_out.frames, self._held_out.things
        agrees = frames.agrees(trial.field)
        return Cell(
            name=mix.name,
            num_sets=mix.num_sets,
            back_end=variant.back_end,
            method=variant.method,
            granularity=variant.granularity,
            count=mix.count,
            draw=mix.draw,
            lab=self._lab.test.tally(trial.lab.argmax(axis=1)),
            drop=self._judge.lab.drop_points(trial.lab),
            agreement=tally_of_objects(agrees, things, frames.scores.argmax(axis=1)),
            clipped=self._clipped(data) if target is FULL_INTEGER else {},
            agrees=agrees,
            things=things,
        )

    def _make(self, variant: _Variant) -> bytes:
        network, mix = self._lab.network, variant.mix
        if variant.back_end == AEQ:
            ranges = zip(self._model.tensors, mix.seen.limits().tolist(), strict=True)
            return quantize_aeq(self._model.float_file, dict(ranges), variant.method)
        per_channel = variant.granularity == "channel"
        recipe = Recipe(FULL_INTEGER, network, mix.tensors, per_channel, variant.method)
        if variant.back_end == _ONNX:
            recipe = replace(recipe, format=ONNX_FULL_INTEGER, histogram_images=mix.count)
            return self._makers.onnx.make(recipe)
        return self._makers.tflite.make(replace(recipe, seen=mix.seen))

    def _clipped(self, data: bytes) -> dict[str, float]:
        """By layer; where several tensors belong to one, the worst of them."""
        layers: dict[str, float] = {}
        for name, share in clipped_shares(self._model, self._seen, data).items():
            layer = self._layers[name]
            layers[layer] = max(share, layers.get(layer, 0.0))
        return layers
