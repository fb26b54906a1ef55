"""Golden frames: encoded images with the tensor and the scores that the lab made of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecnn.export.calibration import Calibration
from edgecnn.export.check import Checked
from edgecnn.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.records import GoldenFrame, InputSpec

__all__ = ["make_golden", "spread"]

_OF_EACH = 4


def make_golden(
    lab_images: Sequence[Path],
    calibration: Calibration,
    checked: Sequence[Checked],
    spec: InputSpec,
) -> tuple[list[GoldenFrame], dict[str, bytes]]:
    """Up to 4 lab and 4 calibration images, with the scores of each artifact.

    Returns:
        The frames, and the encoded images by file name.
    """
    field = [calibration.files[k] for k in spread(calibration.top1, _OF_EACH)]
    sources = [("lab", p) for p in lab_images[:_OF_EACH]] + [("field", p) for p in field]
    frames, images = [], {}
    for k, (origin, path) in enumerate(sources):
        name = f"{k}_{origin}{path.suffix.lower()}"
        images[name] = path.read_bytes()
        tensor = to_tensor(decode(images[name], str(path)), spec)
        scores = {
            c.artifact.file: tuple(float(s) for s in c.runtime.invoke(tensor)) for c in checked
        }
        frames.append(GoldenFrame(name, tensor_sha256(tensor), scores))
    return frames, images


def spread(top1: np.ndarray, count: int) -> list[int]:
    """Indices of up to `count` images, one of each predicted class in turn.

    Example:
        >>> spread(np.array([3, 3, 3, 5, 5, 8]), 4)
        [0, 3, 5, 1]
    """
    turns: dict[int, int] = {}
    order = []
    for index, value in enumerate(top1.tolist()):
        turn = turns.get(value, 0)
        turns[value] = turn + 1
        order.append((turn, index))
    return [index for _, index in sorted(order)[:count]]
