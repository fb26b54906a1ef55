"""Why an integer file loses answers: its ranges clip, its images are unlike the lab's, rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.artifacts import FULL_INTEGER, HEALTHY_AGREEMENT
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.tflite_ranges import clipped_shares
from edgecnn.export.judge import JudgedFrames, lab_frames
from edgecnn.export.readback.check import EXPLAINED, LOST_POINTS, Checked, CheckedFiles
from edgecnn.export.readback.layers import LayerReport
from edgecnn.model.read import LabModel, LabTest
from edgecnn.quiet import quiet

__all__ = ["explain_drops"]

_DISAGREE = 0.02
_LOOKED = 100  # lab images whose activations are compared with the ranges
_CLIPPED = 0.01  # of a layer's activations: less is what healthy ranges leave out
_FAR = 1.0  # of a difference of medians, in standard deviations of the lab's images


def explain_drops(
    lab: LabModel, makers: Makers, chosen: Chosen, checked: CheckedFiles, *, repaired: bool
) -> list[str]:
    """A line for each integer file that loses a point, or disagrees on 2 % of the lab images.

    Args:
        repaired: Whether --repair was given: then it is not advised.
    """
    right = float((lab.test.keras_top1 == lab.test.labels).mean())
    lossy = [
        one
        for one in checked.artifacts
        if one.artifact.file in EXPLAINED
        and (
            100 * (right - (one.artifact.lab.accuracy or 0)) >= LOST_POINTS
            or 1 - one.artifact.agreement >= _DISAGREE
        )
    ]
    if not lossy:
        return []
    causes = _Causes(
        _how_far(lab, chosen), _clipped(lab, makers, checked), checked.layers, repaired
    )
    field = JudgedFrames(chosen.images.tensors, chosen.images.scores)
    return [_line(one, lab.test, causes, field) for one in lossy]


@dataclass(frozen=True)
class _Causes:
    """far: how the calibration images differ from the lab's. clipped: share of each layer's
    activations beyond the full-integer file's ranges, on lab images. layers: of each file."""

    far: str
    clipped: Mapping[str, float]
    layers: Sequence[LayerReport]
    repaired: bool

    @property
    def are_images(self) -> bool:
        """Whether other calibration images may help."""
        return bool(self.far) or max(self.clipped.values(), default=1.0) >= _CLIPPED

    def of(self, file: str) -> list[str]:
        found = [self.far] if self.far else []
        if self.clipped:
            mean = float(np.mean(list(self.clipped.values())))
            found.insert(
                0,
                f"its ranges clip {100 * mean:.2f} % of the activations on lab images, up to "
                f"{100 * max(self.clipped.values()):.1f} % in one layer",
            )
        for report in (one for one in self.layers if one.file == file):
            worst = (f"{layer.layer} ({layer.lost_db:.0f} dB)" for layer in report.worst())
            found.append(f"most precision is lost in {', '.join(worst)}")
        return found


def _line(one: Checked, test: LabTest, causes: _Causes, field: JudgedFrames) -> str:
    right = float((test.keras_top1 == test.labels).mean())
    lost = 100 * (right - (one.artifact.lab.accuracy or 0))
    loses = f"loses {lost:.1f} points of lab accuracy and " if lost > 0 else ""
    other = one.top1 != test.keras_top1
    ties = int((other & ~lab_frames(test).clear()).sum())
    where = [f"{ties} of these {int(other.sum())} are near ties of the Keras model"] if ties else []
    advice = (
        _advice_on_images(one, field, causes.repaired)
        if causes.are_images
        else "its images are not the cause: rounding is; try "
        f"{'' if causes.repaired else '--repair, or '}the float16 file, which rounds less"
    )
    if ties == int(other.sum()):
        advice = "any rounding moves those, and no other calibration mends it"
    return (
        f"{one.artifact.file} {loses}disagrees with the Keras model on "
        f"{100 * (1 - one.artifact.agreement):.1f} % of the lab images: "
        f"{'; '.join([*where, *causes.of(one.artifact.file), advice])}"
    )


def _advice_on_images(one: Checked, field: JudgedFrames, repaired: bool) -> str:
    """Images of the field may look unlike the lab's: the file is for them, if they are of it."""
    agrees = field.agrees(np.stack([one.runtime.invoke(tensor) for tensor in field.tensors]))
    found = (
        f"it agrees with the Keras model on {100 * agrees.mean():.1f} % of the {len(agrees)} "
        "calibration images"
    )
    other = f"let --compare choose among folders{'' if repaired else ', or try --repair'}"
    if agrees.mean() < HEALTHY_AGREEMENT:
        return f"{found}; calibrate with images of this task, {other}"
    return (
        f"{found}: keep them if they are what its camera will see; if not, calibrate with such "
        f"images, {other}"
    )


def _clipped(lab: LabModel, makers: Makers, checked: CheckedFiles) -> dict[str, float]:
    """How much of the lab images' activations lies beyond the full-integer file's ranges."""
    data = checked.data().get(FULL_INTEGER.file)
    if data is None:
        return {}
    step = max(1, len(lab.test.labels) // _LOOKED)
    with suppress(ModelError, ArtifactError), quiet():
        model = makers.tflite.range_model(lab.network)
        return clipped_shares(model, model.measure(lab.test.tensors[::step]), data)
    return {}


def _how_far(lab: LabModel, chosen: Chosen) -> str:
    """Whether the calibration images look unlike the lab's, in the words of what differs."""
    step = max(1, len(lab.test.labels) // 200)
    of_lab, of_set = (
        _looks(np.asarray(t)) for t in (lab.test.tensors[::step], chosen.images.tensors)
    )
    differ = [
        f"{name} ({np.median(field):.0f}, lab {np.median(own):.0f})"
        for name, own, field in zip(
            ("brightness", "contrast", "colour"), of_lab, of_set, strict=True
        )
        if abs(float(np.median(field) - np.median(own))) > _FAR * max(float(own.std()), 2.0)
    ]
    if not differ:
        return ""
    return f"the calibration images are far from the lab's in {', '.join(differ)}"


def _looks(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightness, contrast and colour of images (n, h, w, 3), each float (n,), in grey levels."""
    pixels = tensors.astype(np.float32)
    colour = pixels.max(axis=3) - pixels.min(axis=3)
    return pixels.mean(axis=(1, 2, 3)), pixels.std(axis=(1, 2, 3)), colour.mean(axis=(1, 2))
