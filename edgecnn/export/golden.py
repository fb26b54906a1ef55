"""Golden frames: encoded images with the tensor and the scores that the lab made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.card import GoldenFrame
from edgecnn.bundle.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.export.calibration.images import Calibration
from edgecnn.export.readback.check import Checked
from edgecnn.model.predict import most_certain
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet

__all__ = ["make_golden"]

_OF_EACH = 4


def make_golden(
    lab: LabModel, calibration: Calibration, checked: Sequence[Checked]
) -> tuple[list[GoldenFrame], dict[str, bytes]]:
    """Up to 4 lab and 4 calibration images, with the scores of each artifact by either kernels.

    The Keras model's own scores are among them, under the name "keras".

    Returns:
        The frames, and the encoded images by file name.
    """
    field = [calibration.files[k] for k in most_certain(calibration.scores, _OF_EACH)]
    sources = [("lab", p) for p in lab.golden[:_OF_EACH]] + [("field", p) for p in field]
    with quiet():
        builtin = {
            c.artifact.file: load_runtime(c.data, c.artifact.file, kernels="builtin")
            for c in checked
            if c.artifact.file.endswith(".tflite")
        }
    frames, images = [], {}
    for k, (origin, path) in enumerate(sources):
        name = f"{k}_{origin}{path.suffix.lower()}"
        images[name] = path.read_bytes()
        tensor = to_tensor(decode(images[name], str(path)), lab.card.input)
        scores = {c.artifact.file: _scores(c.runtime, tensor) for c in checked}
        scores["keras"] = tuple(map(float, lab.scores(tensor[None])[0]))
        plain = {file: _scores(runtime, tensor) for file, runtime in builtin.items()}
        frames.append(GoldenFrame(name, tensor_sha256(tensor), scores, plain))
    return frames, images


def _scores(runtime: Runtime, tensor: np.ndarray) -> tuple[float, ...]:
    return tuple(float(score) for score in runtime.invoke(tensor))
