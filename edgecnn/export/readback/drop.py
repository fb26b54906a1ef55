"""Why an integer file loses answers: values that its ranges clip, and images unlike the lab's."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from edgecnn.bundle.artifacts import FULL_INTEGER, INT16, ONNX_FULL_INTEGER
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.tflite_ranges import clipped_shares
from edgecnn.export.readback.check import Checked, CheckedFiles
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet

__all__ = ["explain_drops"]

_POINTS, _DISAGREE = 1.0, 0.02
_LOOKED = 100  # lab images whose activations are compared with the ranges
_FAR = 1.0  # of a difference of medians, in standard deviations of the lab's images
_INTEGER = {one.file for one in (FULL_INTEGER, INT16, ONNX_FULL_INTEGER)}


def explain_drops(
    lab: LabModel, makers: Makers, chosen: Chosen, checked: CheckedFiles
) -> list[str]:
    """A line for each integer file that loses a point, or disagrees on 2 % of the lab images."""
    right = float((lab.test.keras_top1 == lab.test.labels).mean())
    lossy = [
        one
        for one in checked.artifacts
        if one.artifact.file in _INTEGER
        and (
            100 * (right - (one.artifact.lab.accuracy or 0)) >= _POINTS
            or 1 - one.artifact.agreement >= _DISAGREE
        )
    ]
    if not lossy:
        return []
    far = _how_far(lab, chosen)
    clipped = _clipped(lab, makers, checked)
    return [_line(one, right, far, clipped) for one in lossy]


def _line(one: Checked, right: float, far: str, clipped: str) -> str:
    lost = 100 * (right - (one.artifact.lab.accuracy or 0))
    causes = "; ".join(part for part in (clipped, far) if part)
    loses = f"loses {lost:.1f} points of lab accuracy and " if lost > 0 else ""
    differs = 100 * (1 - one.artifact.agreement)
    return (
        f"{one.artifact.file} {loses}disagrees with the Keras model on {differs:.1f} % of the lab "
        "images"
        f"{f': {causes}' if causes else ''}; calibrate with images of this task, let --compare "
        "choose among folders, or try --repair"
    )


def _clipped(lab: LabModel, makers: Makers, checked: CheckedFiles) -> str:
    """How much of the lab images' activations lies beyond the full-integer file's ranges."""
    data = checked.data().get(FULL_INTEGER.file)
    if data is None:
        return ""
    step = max(1, len(lab.test.labels) // _LOOKED)
    with suppress(ModelError, ArtifactError), quiet():
        model = makers.tflite.range_model(lab.network)
        seen = model.measure(lab.test.tensors[::step])
        shares = clipped_shares(model, seen, data)
        if shares:
            worst = max(shares, key=lambda name: shares[name])
            return (
                f"its ranges clip {100 * float(np.mean(list(shares.values()))):.2f} % of the "
                f"activations on lab images, up to {100 * shares[worst]:.1f} % in one layer"
            )
    return ""


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
