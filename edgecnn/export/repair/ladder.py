"""`export --repair`: a ladder of repairs, climbed until the integer file is as good as float.

 1 mend the pixels of the calibration set    5 correct the biases for rounded weights
 2 widen it with lab images                  6 leave the worst layers in float
 3 leave the rarest activations out          7 fine-tune on the float model's own scores
 4 equalize the layers' channels             8 16-bit activations

Each step starts from the best file so far and is kept only if its file is better: it holds the
gate, agrees with float on more frames or is nearer to its scores. Half of the lab test images,
their labels unread, may serve steps 2 to 8; the gate is judged on the other half and on held-out
field images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import HEALTHY_AGREEMENT
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.ranges.methods import RANGE_METHODS, describe_method
from edgecnn.export.readback.layers import LayerReport
from edgecnn.export.repair.attempt import Attempt, Maker, worst_tensors
from edgecnn.export.repair.equalize import correct_biases, equalize
from edgecnn.export.repair.finetune import TuningSettings, finetune
from edgecnn.export.repair.fold import fold
from edgecnn.export.repair.gate import Judge, held_out, split_lab
from edgecnn.export.repair.pixels import Mended, mend_pixels
from edgecnn.export.repair.result import Repair, RepairStep
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["RepairOptions", "Workshop", "make_workshop", "repair"]

_SAME = 2e-3  # of a score: what a change that keeps the float function may cost
_MOST_IMAGES = 300
_CLIPPED = 0.01  # share of a layer's values on lab images: a healthy set covers all but a few
_SURE = 0.995  # of agreement
_IMAGE_RUNGS = ("mend pixels", "widen")


@dataclass(frozen=True)
class RepairOptions:
    """How far to go.

    max_drop: points of lab accuracy that may be lost.
    integer_only: leave out the steps whose file is not 8-bit throughout, as an Edge TPU needs.
    tuning_steps, seed: of the fine-tuning.
    """

    max_drop: float = 0.5
    integer_only: bool = False
    tuning_steps: int = 160
    seed: int = 0


@dataclass(frozen=True)
class Workshop:
    """What the ladder works with.

    images: the calibration set without the held-out frames, as it came; mended: what the first
    step makes of it, or None; lab: unlabelled lab images for steps 2 to 8; refusal: why the set
    would be refused without a repair.
    """

    network: Any
    images: np.ndarray
    mended: Mended | None
    lab: np.ndarray
    judge: Judge
    options: RepairOptions
    refusal: str | None = None


def make_workshop(
    network: Any,
    test: LabTest,
    tensors: np.ndarray,
    refusal: str | None = None,
    options: RepairOptions | None = None,
) -> Workshop:
    """Split the images into those that serve and those that judge.

    Args:
        network: The float Keras model.
        test: The lab test images.
        tensors: The calibration images, uint8 (n, height, width, 3) RGB.
        refusal: Why the set would be refused without a repair: then it judges nothing.
    """

    def predict(images: np.ndarray) -> np.ndarray:
        with quiet():
            return keras_scores(network, images)

    options = options or RepairOptions()
    lab, frames = split_lab(test)
    mended = mend_pixels(tensors, frames.tensors, predict)
    judged = tensors if mended is None else mended.tensors[: len(tensors)]
    field = None
    if refusal is None and len(judged):
        _, field = held_out(judged, predict(judged))
    keep = np.ones(len(tensors), bool)
    if field is not None:
        keep = np.arange(len(tensors)) % 4 != 3
    if mended is not None and len(mended.tensors):
        times = len(mended.tensors) // len(tensors)
        mended = replace(mended, tensors=mended.tensors[np.tile(keep, times)])
    judge = Judge(frames, field, options.max_drop)
    return Workshop(network, tensors[keep], mended, lab, judge, options, refusal)


def repair(
    shop: Workshop,
    maker: Maker,
    per_channel: bool = True,
    method: str = "MinMax",
    progress: Progress | None = None,
) -> Repair:
    """Climb the ladder for one format.

    Args:
        shop: The images and the gate.
        maker: The format.
        per_channel: One scale for each channel of a convolution's weights; one for all stays so.
        method: How the first file's ranges come from the images, as `--compare` chose it.

    Raises:
        ModelError: The network can't be converted at all.
    """
    attempt = Attempt(shop.network, shop.images, per_channel, method)
    climb = _Climb(shop, maker, attempt, progress)
    for number, (name, rung) in enumerate(_RUNGS.items()):
        if climb.is_done(name):
            continue
        if progress:
            progress(f"repairing {maker.format}: {name}", number, len(_RUNGS))
        climb.take(name, rung)
    return climb.result()


class _Climb:
    """The best file so far, and what was tried."""

    def __init__(
        self, shop: Workshop, maker: Maker, attempt: Attempt, progress: Progress | None
    ) -> None:
        self.shop, self.maker, self.attempt, self.progress = shop, maker, attempt, progress
        self.first_method = attempt.method
        self._done: dict[str, str] = {}  # what the best file owes its being to, by step
        self.data = maker.make(attempt)
        self.verdict = shop.judge.judge(self.data, maker.file(attempt))
        report = self.report()
        self.clipped = report.clipped
        note = f"most is lost in {', '.join(error.layer for error in report.worst(2))}"
        self.steps = [RepairStep("as is", note, self.verdict, kept=True)]
        self.suspect = bool(shop.refusal or shop.mended) or self._is_clipped()
        self.evidence = self._evidence()

    def report(self) -> LayerReport:
        """Layer by layer, on the frames that judge."""
        return self.maker.layers(self.attempt, self.data, self.shop.judge.lab.tensors)

    def is_done(self, rung: str) -> bool:
        """The gate holds and nothing that this step mends was found."""
        if rung == "mend pixels" and self.shop.mended is not None:
            return False
        return self.verdict.ok and not (rung in _IMAGE_RUNGS and self._is_clipped())

    def take(self, name: str, rung: Any) -> None:
        """Try a step's proposals, until one holds the gate."""
        tried = False
        try:
            for what, attempt in rung(self):
                tried = True
                self._try(name, what, attempt)
                if self.is_done(""):
                    return
        except (ModelError, ArtifactError) as error:
            self.steps.append(RepairStep(name, str(error), None, kept=False))
            return
        if not tried:
            self.steps.append(RepairStep(name, "does not apply", None, kept=False))

    def _try(self, name: str, what: str, attempt: Attempt) -> None:
        data = self.maker.make(attempt)
        verdict = self.shop.judge.judge(data, self.maker.file(attempt))
        # The images have evidence against them: mended ones need be no worse, others better.
        mends = name in _IMAGE_RUNGS and self.suspect
        kept = verdict.no_worse(self.verdict) if mends else verdict.better(self.verdict)
        self.steps.append(RepairStep(name, what, verdict, kept))
        if kept:
            self.attempt, self.data, self.verdict = attempt, data, verdict
            self.clipped = self.report().clipped
            self._done[name] = what
            if not attempt.float_tensors:
                self._done.pop("float layers", None)
            if attempt.method == self.first_method:
                self._done.pop("narrow ranges", None)

    def _is_clipped(self) -> bool:
        """Clipping that shows: logits beyond their range cost nothing on sure images."""
        return self.clipped.clipped > _CLIPPED and self.verdict.agreement < _SURE

    def _evidence(self) -> tuple[str, ...]:
        """What speaks against the file or its images, found without a label."""
        found = [self.shop.refusal] if self.shop.refusal else []
        if self.shop.mended is not None:
            found.append(self.shop.mended.found)
        if self.verdict.agreement < HEALTHY_AGREEMENT:
            found.append(f"agrees with float on {100 * self.verdict.agreement:.1f} % of frames")
        if self._is_clipped():
            share = f"{100 * self.clipped.clipped:.1f} %"
            found.append(f"{share} of the values in {self.clipped.layer} are clipped")
        return tuple(found)

    def result(self) -> Repair:
        return Repair(
            format=self.maker.format,
            file=self.maker.file(self.attempt),
            data=self.data,
            verdict=self.verdict,
            steps=tuple(self.steps),
            evidence=self.evidence,
            done=tuple(self._done.values()),
            lab_images_used=self.attempt.lent,
            attempt=self.attempt,
            layers=self.report(),
        )


_Proposals = Iterator[tuple[str, Attempt]]


def _mend(climb: _Climb) -> _Proposals:
    mended = climb.shop.mended
    if mended is None:
        return
    if not len(mended.tensors):
        raise ModelError(mended.done)
    yield mended.done, replace(climb.attempt, images=_thin(mended.tensors))


def _widen(climb: _Climb) -> _Proposals:
    shop = climb.shop
    if not len(shop.lab):
        raise ModelError("the MODEL folder has too few lab test images to lend some")
    lost = shop.mended is not None and not len(shop.mended.tensors)
    base = climb.attempt.images[:0] if lost else _thin(climb.attempt.images)
    lent = _thin(shop.lab)
    what = f"{'took' if lost else 'added'} {len(lent)} lab test images, labels unread"
    yield what, replace(climb.attempt, images=np.concatenate([base, lent]), lent=len(lent))


def _narrow(climb: _Climb) -> _Proposals:
    tried = climb.attempt.method
    for method in RANGE_METHODS[1:]:
        if method != tried:
            yield describe_method(method), replace(climb.attempt, method=method)


def _equalize(climb: _Climb) -> _Proposals:
    network = _fold(climb)
    with quiet():
        pairs = equalize(network, climb.attempt.images)
    if pairs:
        _check_function(climb, network)
        yield f"equalized {pairs} pairs of layers", replace(climb.attempt, network=network)


def _correct(climb: _Climb) -> _Proposals:
    network = _fold(climb)
    with quiet():
        layers = correct_biases(network, climb.attempt.images, climb.attempt.per_channel)
    if layers:
        yield f"corrected the biases of {layers} layers", replace(climb.attempt, network=network)


def _mix(climb: _Climb) -> _Proposals:
    if climb.shop.options.integer_only:
        raise ModelError("left out: an Edge TPU takes no file that is part float")
    report = climb.report()
    for count in (1, 2, 4):
        chosen = worst_tensors(report, count)
        if len(chosen) < count:
            return
        tensors = tuple(error.tensor for error in chosen)
        names = ", ".join(dict.fromkeys(error.layer for error in chosen))
        what = f"left {names} in float: not for an Edge TPU"
        yield what, replace(climb.attempt, float_tensors=tensors)


def _tune(climb: _Climb) -> _Proposals:
    attempt, options = replace(climb.attempt, float_tensors=()), climb.shop.options
    network = finetune(
        _fold(climb),
        climb.shop.network,
        attempt.images,
        TuningSettings(options.tuning_steps, attempt.per_channel, options.seed),
        climb.progress,
    )
    what = f"fine-tuned on the float model's scores of {len(attempt.images)} images"
    yield what, replace(attempt, network=network)


def _widen_integers(climb: _Climb) -> _Proposals:
    if climb.shop.options.integer_only:
        raise ModelError("left out: an Edge TPU takes no 16-bit activations")
    yield (
        "16-bit activations: larger in memory and slower on most boards, not for an Edge TPU",
        replace(climb.attempt, int16=True, float_tensors=(), method="MinMax"),
    )


_RUNGS = {
    "mend pixels": _mend,
    "widen": _widen,
    "narrow ranges": _narrow,
    "equalize": _equalize,
    "correct biases": _correct,
    "float layers": _mix,
    "fine-tune": _tune,
    "16-bit activations": _widen_integers,
}


def _thin(images: np.ndarray) -> np.ndarray:
    """Evenly spread ones of many."""
    return np.asarray(images[:: max(1, -(-len(images) // _MOST_IMAGES))])


def _fold(climb: _Climb) -> Any:
    with quiet():
        return fold(climb.attempt.network)


def _check_function(climb: _Climb, network: Any) -> None:
    """Equalized ReLU6 channels may clip on images that were not looked at."""
    frames = climb.shop.judge.lab
    with quiet():
        scores = keras_scores(network, frames.tensors)
    if float(np.abs(scores - frames.scores).mean()) > _SAME:
        raise ModelError("equalizing would change the float model's scores: left out")
