"""The values of card.json: how a frame becomes a tensor, and what a model answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edgecnn.errors import BundleError
from edgecnn.records import Record

__all__ = ["InputSpec", "Interpolation", "Prediction", "Resize", "TensorInfo"]


Resize = Literal["stretch", "letterbox", "center_crop"]


Interpolation = Literal["halving", "nearest", "linear", "area", "cubic"]


@dataclass(frozen=True)
class InputSpec(Record):
    """How a camera frame becomes the model's input tensor: uint8, shape (height, width, 3).

    `resize` and `interpolation` are explained in `preprocess.py`, the only code that acts on
    them. `pad` is the letterbox colour in the order of `color`, or None.
    """

    width: int
    height: int
    resize: Resize = "stretch"
    interpolation: Interpolation = "halving"
    pad: tuple[int, int, int] | None = None
    channels: int = 3
    color: str = "RGB"
    dtype: str = "uint8"
    orient: str = "exif"

    def __post_init__(self) -> None:
        def check(name: str, allowed: Sequence[Any]) -> None:
            if getattr(self, name) not in allowed:
                raise BundleError(
                    f"input spec says {name} = {getattr(self, name)!r}, "
                    f"expected {' or '.join(map(repr, allowed))}"
                )

        check("resize", get_args(Resize))
        check("interpolation", get_args(Interpolation))
        check("channels", [3])
        check("color", ["RGB"])
        check("dtype", ["uint8"])
        check("orient", ["exif"])
        if not (1 <= self.width <= 4096 and 1 <= self.height <= 4096):
            raise BundleError(
                f"input spec says {self.width}x{self.height}, expected sides of 1 to 4096 pixels"
            )
        if self.resize == "letterbox" and self.pad is None:
            object.__setattr__(self, "pad", (0, 0, 0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the tensor."""
        return (self.height, self.width, self.channels)


@dataclass(frozen=True)
class Prediction:
    """One answer.

    `scores` are the model's own (dequantized) output, in the order of the card's labels; they sum
    to about 1 and are what sessions log. `confidence` is that of the answer after temperature
    scaling (see confidence.py): the share of such answers that is right, on images like the lab's.
    """

    index: int
    label: str
    confidence: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class TensorInfo(Record):
    """Type of a model's input or output: real = scale * (q - zero_point); scale 0 = float."""

    dtype: str
    scale: float = 0.0
    zero_point: int = 0
