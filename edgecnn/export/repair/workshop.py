"""What a repair works with: the images that help, and the frames that judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgecnn.export.judge import Judge, JudgedFrames, lab_frames
from edgecnn.export.options import ExportOptions
from edgecnn.export.repair.pixels import FixedPixels, fix_pixels
from edgecnn.model.read import LabModel, LabTest

__all__ = ["Workshop", "make_workshop"]

_FEW = 40  # images: of fewer none is set aside
_MOST_JUDGED = 500
_MAX_DROP = 0.5  # points of lab accuracy, where --max-drop is not given


@dataclass(frozen=True)
class Workshop:
    """What the ladder works with.

    images: The calibration set without the held-out frames, as it came; fixed: What the first
    step makes of it, or None; helping: Lab images, their labels unread, that may help to
    calibrate; integer_only: Leave out the steps whose file is not 8-bit throughout; refusal: Why
    the set would be refused without a repair.
    """

    lab: LabModel
    images: np.ndarray
    fixed: FixedPixels | None
    helping: np.ndarray
    judge: Judge
    integer_only: bool
    refusal: str | None = None


def make_workshop(
    lab: LabModel,
    tensors: np.ndarray,
    options: ExportOptions,
    refusal: str | None = None,
) -> Workshop:
    """Split the images into those that help and those that judge.

    Args:
        tensors: The calibration images, uint8 (n, height, width, 3) RGB.
        refusal: Why the set would be refused without a repair: then it judges nothing.
    """
    helping, frames = _split_lab(lab.test)
    fixed = fix_pixels(tensors, frames.tensors, lab.scores)
    judged = tensors if fixed is None else fixed.tensors[: len(tensors)]
    field = None if refusal else _field_frames(judged, lab)
    judge = Judge(frames, field, _MAX_DROP if options.max_drop is None else options.max_drop)
    if field is not None:
        kept = ~_judging(len(tensors))
        if fixed is not None:
            times = len(fixed.tensors) // len(tensors)
            fixed = replace(fixed, tensors=fixed.tensors[np.tile(kept, times)])
        tensors = tensors[kept]
    return Workshop(lab, tensors, fixed, helping, judge, options.integer_only, refusal)


def _split_lab(test: LabTest) -> tuple[np.ndarray, JudgedFrames]:
    """(images that may help to calibrate, frames to judge by): every other lab test image.

    Of fewer than 40 images all judge and none helps.
    """
    few = len(test.labels) < _FEW
    judging = np.arange(len(test.labels))[slice(None) if few else slice(1, None, 2)]
    # Lab images come class by class: spread, not cut off.
    judging = judging[:: -(-len(judging) // _MOST_JUDGED)]
    return test.tensors[:0] if few else test.tensors[::2], lab_frames(test, judging)


def _field_frames(tensors: np.ndarray, lab: LabModel) -> JudgedFrames | None:
    """Every fourth of 40 images or more, if the float model is sure of some of them."""
    if len(tensors) < _FEW:
        return None
    judging = _judging(len(tensors))
    frames = JudgedFrames(tensors[judging], lab.scores(tensors)[judging])
    return frames if frames.clear().any() else None


def _judging(count: int) -> np.ndarray:
    """bool (count,): the images that judge instead of calibrating."""
    return np.asarray(np.arange(count) % 4 == 3)
