"""Each artifact against the float model, on all lab test images, through the device's runtime."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence, confidence_error
from edgecnn.bundle.artifacts import (
    DYNAMIC_RANGE,
    FLOAT32,
    FULL_INTEGER,
    HEALTHY_AGREEMENT,
    INT16,
    MIXED,
    ONNX_FLOAT32,
    ONNX_FULL_INTEGER,
    ONNX_MIXED,
    ArtifactFormat,
    by_name,
)
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.runtime.load import Runtime
from edgecnn.errors import ArtifactError
from edgecnn.export.judge import Judge, lab_frames
from edgecnn.export.readback.kinds import read_kind
from edgecnn.export.readback.layers import LayerReport, compare_layers
from edgecnn.export.repair.repair import Repaired
from edgecnn.model.read import LabModel, LabTest
from edgecnn.records import Progress

__all__ = ["EXPLAINED", "LOST_POINTS", "Checked", "CheckedFiles", "check_artifact", "check_files"]

EXPLAINED = frozenset(one.file for one in (FULL_INTEGER, INT16, ONNX_FULL_INTEGER))
"""Files of which drop.py says why they differ."""
LOST_POINTS = 1.0
"""Of lab accuracy: a file that loses so many is spoken of."""
_INTEGER = (FULL_INTEGER, INT16, ONNX_FULL_INTEGER, MIXED, ONNX_MIXED)
_PIXELS = 32 * 128 * 128  # of all images: large inputs are compared on fewer


@dataclass(frozen=True)
class Checked:
    """An artifact with what it was measured with.

    top1: int64 (n,), on the lab test images; confidence: float32 (n,), by the card's temperature.
    """

    artifact: Artifact
    data: bytes
    top1: np.ndarray
    confidence: np.ndarray
    runtime: Runtime


@dataclass(frozen=True)
class CheckedFiles:
    """The artifacts in the order of the formats, and their integer files layer by layer."""

    artifacts: tuple[Checked, ...]
    layers: tuple[LayerReport, ...]
    warnings: tuple[str, ...]

    def data(self) -> dict[str, bytes]:
        """The artifacts' bytes by file name."""
        return {one.artifact.file: one.data for one in self.artifacts}


def check_files(
    lab: LabModel,
    repaired: Repaired,
    max_drop: float | None = None,
    progress: Progress | None = None,
) -> CheckedFiles:
    """Measure each file. One that could not be repaired is not `ok`, whatever it loses.

    Raises:
        ArtifactError: The runtime can't load a file.
    """
    layers = _layer_reports(lab, repaired, progress)
    failed = {found.file for found in repaired.repairs if not found.ok}
    checked = {}
    for name, data in repaired.files.items():
        file, temperature = by_name(name).file, lab.card.temperature
        one = check_artifact(data, file, lab.test, max_drop, progress, temperature=temperature)
        ok = one.artifact.ok and file not in failed
        checked[name] = replace(one, artifact=replace(one.artifact, ok=ok))
    right = float((lab.test.keras_top1 == lab.test.labels).mean())
    doubts = [line for name, one in checked.items() for line in _doubts(by_name(name), one, right)]
    return CheckedFiles(tuple(checked.values()), tuple(layers), tuple(doubts))


def check_artifact(
    data: bytes,
    file: str,
    test: LabTest,
    max_drop: float | None = None,
    progress: Progress | None = None,
    *,
    temperature: float = 1.0,
) -> Checked:
    """Run an artifact on every lab test image.

    Args:
        max_drop: Points that it may lose against the Keras model and still be `ok`.
        temperature: The card's, for the confidence.

    Raises:
        ArtifactError: The runtime can't load it.
    """
    frames = lab_frames(test)
    trial = Judge(frames).run(data, file, progress)
    scores, runtime = trial.lab, trial.runtime
    top1, step = scores.argmax(axis=1), runtime.output.scale
    artifact = Artifact(
        file=file,
        kind=read_kind(data),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        input=runtime.input,
        output=runtime.output,
        lab=test.tally(top1),
        agreement=float(frames.agrees(scores).mean()),
        max_output_error=float(np.abs(scores - test.keras_scores).max()),
        ok=max_drop is None or frames.drop_points(scores) <= max_drop,
        confidence_error=confidence_error(scores, test.labels, temperature, step),
    )
    confidence = calibrated_confidence(scores, temperature, step)
    return Checked(artifact, data, top1, confidence, runtime)


def _layer_reports(
    lab: LabModel, repaired: Repaired, progress: Progress | None
) -> list[LayerReport]:
    """Each integer file against the float file beside it, or a repaired one as it was repaired.

    A file whose float counterpart was not asked for, or that can't be opened for a look between
    its operations, has no report.
    """
    tensors, files = lab.test.tensors, repaired.files
    count = int(np.clip(_PIXELS // int(np.prod(lab.card.input.shape[:2])), 4, 32))
    images = tensors[:: max(1, len(tensors) // count)][:count]
    # Made of an equalized network, whose tensors have other scales than the float file's.
    rewritten = any(not found.healthy for found in repaired.repairs)
    done = {found.file: found.layers for found in repaired.repairs if not found.healthy}
    reports = []
    for one in (one for one in _INTEGER if one.name in files):
        float32 = ONNX_FLOAT32 if one.file.endswith(".onnx") else FLOAT32
        if one.file in done:
            reports.append(done[one.file])
        elif float32.name in files and not (rewritten and one is INT16):
            data = (files[float32.name], files[one.name])
            with suppress(ArtifactError):
                found = compare_layers(*data, one.file, images, lab.network, progress)
                reports.append(found)
    return reports


def _doubts(target: ArtifactFormat, checked: Checked, right: float) -> list[str]:
    """What is odd about an artifact; `right` is the float model's lab accuracy."""
    artifact = checked.artifact
    doubts = []
    if target.kind is not None and artifact.kind != target.kind:
        doubts.append(
            f"{artifact.file} is {artifact.kind} inside, not {target.kind}: some operations of "
            "this network have no such version, or are too small to gain by it"
        )
    lost = 100 * (right - (artifact.lab.accuracy or 0))
    poor = artifact.agreement < HEALTHY_AGREEMENT or lost >= LOST_POINTS
    if poor and artifact.file not in EXPLAINED:
        loses = f"loses {lost:.1f} points of lab accuracy and " if lost > 0 else ""
        advice = (
            "no calibration touches it: its weights are rounded to 8 bits; take the float16 file, "
            "which rounds less"
            if target is DYNAMIC_RANGE
            else "look at the calibration images and at the network's largest weights"
        )
        doubts.append(
            f"{artifact.file} {loses}agrees with the Keras model on {100 * artifact.agreement:.1f} "
            f"% of the lab test images; {advice}"
        )
    return doubts
