"""Each artifact against the float model, on all lab test images, through the device's runtime."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.confidence import confidence_error
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.export.readback.kinds import read_kind
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["Checked", "check_artifact", "drop_points"]


@dataclass(frozen=True)
class Checked:
    """An artifact with what it was measured with. top1: int64 (n,), on the lab test images."""

    artifact: Artifact
    data: bytes
    top1: np.ndarray
    runtime: Runtime


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
        data: The .tflite or .onnx file.
        file: Its name.
        test: The lab test images.
        max_drop: Points that it may lose against the Keras model and still be `ok`.
        temperature: The card's, for the artifact's `confidence_error`.

    Raises:
        ArtifactError: The runtime can't load it.
    """
    with quiet():
        runtime = load_runtime(data, file)
    scores = np.empty(test.keras_scores.shape, np.float32)
    for k, tensor in enumerate(test.tensors[:]):
        scores[k] = runtime.invoke(tensor)
        if progress and (k + 1) % 50 == 0:
            progress(f"checking {file}", k + 1, len(scores))
    top1 = scores.argmax(axis=1)
    artifact = Artifact(
        file=file,
        kind=read_kind(data),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        input=runtime.input,
        output=runtime.output,
        lab=test.tally(top1),
        agreement=float((top1 == test.keras_top1).mean()),
        max_output_error=float(np.abs(scores - test.keras_scores).max()),
        ok=max_drop is None or drop_points(test, top1) <= max_drop,
        confidence_error=confidence_error(scores, test.labels, temperature, runtime.output.scale),
    )
    return Checked(artifact, data, top1, runtime)


def drop_points(test: LabTest, top1: np.ndarray) -> float:
    """Points of lab accuracy lost against the Keras model (negative: gained)."""
    right = int((test.keras_top1 == test.labels).sum()) - int((top1 == test.labels).sum())
    return 100 * right / len(test.labels)
