"""What goes in front of a foreign file and behind it, whatever the file's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgecnn.export.options import Color, Normalize

__all__ = ["Ending", "Ends"]

Ending = Literal["scores", "softmax", "two_scores", "two_logits"]
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_AFFINE: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "none": (np.ones(3), np.zeros(3)),
    "unit": (np.full(3, 1 / 255), np.zeros(3)),
    "minus_one_one": (np.full(3, 1 / 127.5), np.full(3, -1.0)),
    "imagenet": (1 / (255 * _STD), -_MEAN / _STD),
    "caffe": (np.ones(3), np.array([-123.68, -116.779, -103.939])),
}
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Ends:
    """How raw R, G, B pixels become the file's input, and its answer one score a class.

    ending  scores      the answers are scores already
            softmax     they are logits
            two_scores  one score, that of the second class
            two_logits  its logit
    """

    normalize: Normalize = "none"
    color: Color = "rgb"
    ending: Ending = "scores"

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """(weights, bias): value = pixel_rgb @ weights + bias; float32 (3, c) and (c,)."""
        scale, offset = _AFFINE[self.normalize]
        if self.color == "grey":
            weights, bias = (_GREY * scale)[:, None], np.array([float((_GREY * offset).sum())])
        else:
            weights, bias = np.diag(scale), offset
            if self.color == "bgr":
                weights, bias = weights[:, ::-1], bias[::-1]
        return weights.astype(np.float32), bias.astype(np.float32)

    @property
    def raw(self) -> bool:
        """Whether pixels go in as they are."""
        return self.normalize == "none" and self.color == "rgb"

    def text(self) -> str:
        """As typed on the command line."""
        color = "" if self.color == "rgb" else f" --color {self.color}"
        return f"--normalize {self.normalize}{color}"
