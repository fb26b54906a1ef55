"""Which calibration set to take: by agreement on held-out frames, no label of the field needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.export.calibration.result import AEQ, Advice, Cell

__all__ = ["advise", "is_worse"]

_ALPHA = 0.05  # of the paired test that tells a difference from noise


def advise(cells: Sequence[Cell], names: Sequence[str]) -> Advice:
    """Choose a set among those that are, within noise, as good as the best.

    The best agrees with the float model on the most held-out frames. Of those that a paired
    test can't tell from it, a single set goes before a union; then the one that clips less of the
    held-out activations (their agreement differs by noise only, clipping is known to 0.01 %);
    then less lab drop, then more agreement.

    Args:
        cells: The experiment's; TFLite min-max per channel decides on the set.
        names: Of the single sets, in the order in which they were given.
    """
    main = [c for c in cells if c.variant[1:] == ("tflite", "MinMax", "channel")]
    tried = dict.fromkeys(c.name for c in main)
    candidates = [_largest(c for c in main if c.name == name) for name in tried]
    best = max(candidates, key=lambda group: (_agreement(group), -_drop(group)))
    near = [group for group in candidates if not is_worse(group, best)]
    chosen = min(near, key=lambda g: (g[0].num_sets, _clipped(g), _drop(g), -_agreement(g)))
    name = chosen[0].name
    counts = sorted({c.count for c in main if c.name == name})
    enough = next(
        n
        for n in counts
        if not is_worse([c for c in main if (c.name, c.count) == (name, n)], chosen)
    )
    tflite, tflite_reasons = _method(cells, name, "tflite")
    onnx, onnx_reasons = _method(cells, name, "onnxruntime")
    agreement = _agreement([c for c in cells if c.variant == (name, "tflite", tflite, "channel")])
    if tflite == "MinMax":
        agreement = _agreement(chosen)
    too_low = (
        f"; a healthy set reaches {100 * HEALTHY_AGREEMENT:.0f} %: add images of what this one "
        "lacks, or change the network"
    )
    reasons = [
        _why(chosen, near) + (too_low if agreement < HEALTHY_AGREEMENT else ""),
        _how_many(chosen, enough),
        *_granularity(cells, name, "tflite"),
        *tflite_reasons,
        *_other_makers(cells, chosen),
        *_granularity(cells, name, "onnxruntime"),
        *onnx_reasons,
    ]
    sets = (names.index(name),) if name in names else tuple(range(len(names)))
    return Advice(name, sets, agreement, enough, tflite, onnx, tuple(reasons))


def is_worse(cells: Sequence[Cell], than: Sequence[Cell]) -> bool:
    """Whether `cells` agree with the float model less often, by more than noise.

    Paired: only things on which the two differ count (sign test, two-sided, 5 %). The draws of
    one variant, and the frames of one thing, are averaged first: they are not independent.
    """
    change = Paired.of(_agrees(than), _agrees(cells))
    return change.lost > change.won and change.p_value < _ALPHA


def _agrees(cells: Sequence[Cell]) -> np.ndarray:
    """By thing: how often the draws agree on its frames."""
    of_frames, things = np.mean([cell.agrees for cell in cells], axis=0), cells[0].things
    return np.asarray(np.bincount(things, of_frames) / np.bincount(things))


def _agreement(cells: Sequence[Cell]) -> float:
    return float(np.mean([cell.agrees.mean() for cell in cells]))


def _drop(cells: Sequence[Cell]) -> float:
    return float(np.mean([cell.drop for cell in cells]))


def _clipped(cells: Sequence[Cell]) -> float:
    return float(np.mean([cell.clipped_mean for cell in cells]))


def _largest(cells: Iterable[Cell]) -> list[Cell]:
    """The draws of the largest count."""
    found = list(cells)
    most = max((cell.count for cell in found), default=0)
    return [cell for cell in found if cell.count == most]


def _why(chosen: Sequence[Cell], near: Sequence[Sequence[Cell]]) -> str:
    agreement = _agreement(chosen)
    text = (
        f"{chosen[0].name} agrees with the float model on {100 * agreement:.2f} % of the frames "
        f"and clips {100 * _clipped(chosen):.3f} % of their activations"
    )
    others = [
        f"{group[0].name} ({100 * _agreement(group):.2f} %, clips {100 * _clipped(group):.3f} %)"
        for group in near
        if group is not chosen
    ]
    if others:
        text += f"; agreeing as often within noise: {', '.join(others)}"
    return text


def _how_many(chosen: Sequence[Cell], enough: int) -> str:
    most, (first, second) = chosen[0].count, (c.agreement.accuracy or 0 for c in chosen)
    spread = 100 * abs(first - second)
    return (
        f"{enough} of its images are as good as {most} within noise; two disjoint draws of {most} "
        f"differ by {spread:.2f} points of agreement"
    )


def _granularity(cells: Sequence[Cell], name: str, back_end: str) -> list[str]:
    """Whether one scale for each layer's weights would do, over the most images of a set."""
    tensor, channel = (
        _largest(c for c in cells if c.variant == (name, back_end, "MinMax", granularity))
        for granularity in ("tensor", "channel")
    )
    if not tensor or not channel:
        return []
    verdict = "is worse than" if is_worse(tensor, channel) else "is as good, within noise, as"
    what = {"tflite": "TFLite", "onnxruntime": "ONNX"}[back_end]
    return [
        f"{what} per tensor ({100 * _agreement(tensor):.2f} %) {verdict} per channel, which the "
        "file has"
    ]


def _other_makers(cells: Sequence[Cell], chosen: Sequence[Cell]) -> list[str]:
    own = [
        c for c in cells if (c.back_end, c.name, c.count) == (AEQ, chosen[0].name, chosen[0].count)
    ]
    figures = [
        f"{method} {100 * _agreement([c for c in own if c.method == method]):.2f} %"
        for method in dict.fromkeys(c.method for c in own)
    ]
    return [f"{AEQ}, for comparison: {', '.join(figures)}"] if figures else []


def _method(cells: Sequence[Cell], name: str, back_end: str) -> tuple[str, list[str]]:
    """How to take ranges: min-max, unless another method is better by more than noise."""
    own = [c for c in cells if (c.back_end, c.granularity, c.name) == (back_end, "channel", name)]
    if len({c.method for c in own}) < 2:
        return "MinMax", []
    most = max(c.count for c in own if c.method == "MinMax")
    groups = {
        method: group
        for method in dict.fromkeys(c.method for c in own)
        if (group := [c for c in own if (c.method, c.count) == (method, most)])
    }
    best = max(groups, key=lambda method: _agreement(groups[method]))
    method = best if is_worse(groups["MinMax"], groups[best]) else "MinMax"
    figures = ", ".join(f"{m} {100 * _agreement(g):.2f} %" for m, g in groups.items())
    file = {"tflite": "full-integer TFLite", "onnxruntime": "ONNX"}[back_end]
    return method, [f"{back_end} with {most} images: {figures}; the {file} file takes {method}"]
