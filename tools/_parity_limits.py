"""What a file may differ by, between ways to run it and from the lab: all limits in one place.

golden     The lab ran the same file on the same frames, by both families of kernels, and a runtime
           is held against the nearer. They are the surest frames, on which rounding moves a score
           by a step at most; floats move by the order of their sums.
threads    How far the furthest score is from one thread's, in the mean over the clear images (on
           which the best score leads by half). Threads share the work and change no sum of
           integers, but TFLite's own MEAN rounds a value by a step when two share it.
mean       How far the furthest score is from the first way's, in the same mean. XNNPACK and
           TFLite's own kernels round differently, and where the softmax is undecided a step of a
           logit is many of a score (71 were seen in MobileNetV2): no single difference proves
           anything. But on clear images rounding is a step or less, and a fault moves most of them.
           Measured on 139 clear ones of 150 field images (digits of meters, 48x32, one network):
           the two families differ by 0.08 steps of a full-integer file, red and blue swapped by
           1.1, one weight of 512 with its sign flipped by 1.9 (float32, over all 150: 9e-8, 1.2e-2
           and 3e-3).
agreement  Share of equal answers, with the first way and with the float model. Quantization moves
           answers where the float model is undecided, so the kinds differ; a share counts as too
           low only beyond its 95 % interval, and never by one image.

Rounding adds up with depth, and a network multiplies it as it multiplies what quantization rounds
away. So where the float model's scores are known, the means may reach the displacement: how far
the file's scores, run the first way, are from the float model's in the same mean. Threads may reach
it once; another way twice, since it is as far from the float model, and maybe on the other side.
Measured on full integer files at 224 px, displacement / between the two families / between one
thread and two, in steps: MobileNetV2 4.3 / 2.4 / 0, hardly trained 6.9 / 10.4 / 0 (on few clear
images); MobileNetV3-small 3.0 / 2.7 / 0.9, hardly trained 14.8 / 12.0 / 3.3; EfficientNet-Lite0
1.9 / 0.6 / 0. The least limit of the mean, two steps, was
chosen after seeing a part of these. It finds faults that move most images (2.4 steps for swapped
colours in a network of digits) and not the two smaller ones above, nor one filter of the first
layer negated (0.9 steps, all answers the same): a fault that harms nobody looks like rounding here.

The agreement limits are those of a healthy quantization (97 %, as in the export's calibration
experiment). Not found: a fault that all ways to run a file share, small enough to leave its answers
as they are; a changed file is told by its checksum.
"""

from __future__ import annotations

from dataclasses import dataclass

from _parity_result import ParityCell, describe

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT

__all__ = ["CLEAR", "Limits", "faults_of", "limits_for"]

CLEAR = 0.5  # between the two best scores


@dataclass(frozen=True)
class Limits:
    """See the top of this module.

    Differences are in integer steps of the output, or in scores (0..1) where that is a float.
    """

    golden: float
    threads: float
    mean: float
    agreement: float


_LIMITS = {
    "float32": Limits(1e-4, 1e-4, 1e-4, 0.998),
    "float16": Limits(1e-3, 1e-4, 1e-4, 0.995),
    "dynamic_range": Limits(1e-3, 1e-3, 8e-3, HEALTHY_AGREEMENT),
    "int16_activations": Limits(1e-3, 1e-3, 1e-3, 0.99),
    "full_integer": Limits(1.0, 1.0, 2.0, HEALTHY_AGREEMENT),
}
# Float islands in an integer file, or a kind of another tool.
_MIXED_INTEGER = _LIMITS["full_integer"]
_MIXED_FLOAT = Limits(1e-3, 1e-3, 8e-3, HEALTHY_AGREEMENT)  # a step is 1 / 256


def limits_for(kind: str, integer_output: bool) -> Limits:
    """The limits of an artifact's kind, as `card.json` names it."""
    return _LIMITS.get(kind, _MIXED_INTEGER if integer_output else _MIXED_FLOAT)


def faults_of(cell: ParityCell, limits: Limits, compared: int, known: int) -> list[str]:
    """What is beyond the limits, of images `compared` with the first way and `known` to the lab."""
    faults = []
    moved = cell.displacement or 0.0
    on_clear = "in the mean over clear images,"
    for where, error, limit in (
        ("from the lab's on the golden frames", cell.golden_error, limits.golden),
        (f"from one thread's, {on_clear}", cell.thread_mean, max(limits.threads, moved)),
        (f"from the first way's, {on_clear}", cell.image_mean, max(limits.mean, 2 * moved)),
    ):
        if error is not None and not error <= limit:
            much = describe(error, cell.unit)
            faults.append(f"scores differ {where} by {much}, limit {describe(limit, cell.unit)}")
    for who, agreement, count in (
        ("the first way to run it", cell.image_agreement, compared),
        ("the float model", cell.float_agreement, known),
    ):
        if agreement is None:
            continue
        tally = Tally(round(agreement * count), count)
        # Beyond what chance explains, and never by a single image.
        if count - tally.correct > 1 and tally.interval[1] < limits.agreement:
            limit_text = f"{100 * limits.agreement:.1f} %"
            faults.append(f"reads {tally.text()}, as {who} does, limit {limit_text}")
    return faults
