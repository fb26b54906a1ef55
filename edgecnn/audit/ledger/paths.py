"""Ways in which other programs turn a camera frame into the model's input: one fault each.

Each is what a person does wrong who writes the device's program by hand. `audit` answers the
kept frames by each of them, to see which one gives the answers that the device logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import cv2
import numpy as np

from edgecnn.bundle.frame_view import FrameView
from edgecnn.bundle.preprocess import to_tensor
from edgecnn.bundle.runtime.io_tensors import Runtime
from edgecnn.bundle.spec import InputSpec, Interpolation, Resize

__all__ = ["OtherPath", "answer", "other_paths"]

# Letterbox colours that programs use where the bundle has none: black and YOLO's grey.
_PADS = {"black": (0, 0, 0), "grey": (114, 114, 114)}
# Mean and deviation of ImageNet's pixels in R, G, B, as most programs have them.
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class OtherPath:
    """A way from frame_bgr to the model's input.

    Args:
        name: What a person calls it.
        values: frame_bgr, uint8 (h, w, 3) -> uint8 or float32, shape (height, width, 3): what
            the bundle's own path would have had to make of the frame for the same answer.
    """

    name: str
    values: Callable[[np.ndarray], np.ndarray]


def answer(runtime: Runtime, values: np.ndarray) -> np.ndarray:
    """Scores of what a path made of a frame: float32, shape (classes,)."""
    return runtime.invoke(values) if values.dtype == np.uint8 else runtime.invoke_real(values)


def other_paths(spec: InputSpec) -> Sequence[OtherPath]:
    """All paths that are tried, for a bundle with this input."""
    return [
        *_of_pixels(spec),
        *_of_colour(spec),
        *_of_the_picture(spec),
        *_of_resizing(spec),
    ]


def _of_pixels(spec: InputSpec) -> Iterator[OtherPath]:
    """Wrong ranges; a model with its own normalization takes raw 0 to 255."""

    def real(name: str, change: Callable[[np.ndarray], np.ndarray]) -> OtherPath:
        return OtherPath(
            name, lambda frame: change(to_tensor(frame, spec).astype(np.float32)).astype(np.float32)
        )

    def bytes_(name: str, change: Callable[[np.ndarray], np.ndarray]) -> OtherPath:
        return OtherPath(name, lambda frame: change(to_tensor(frame, spec)).astype(np.uint8))

    yield real("pixels divided by 255, range [0, 1]", lambda x: x / 255)
    yield real("pixels in the range [-1, 1]", lambda x: x / 127.5 - 1)
    yield real("128 subtracted from the pixels", lambda x: x - 128)
    yield bytes_("uint8 pixels given as int8 (the sign bit is wrong)", lambda x: x ^ 128)
    yield real("mean and deviation of ImageNet", lambda x: (x / 255 - _MEAN) / _DEVIATION)
    yield bytes_("black and white inverted", lambda x: 255 - x)
    yield bytes_("full range taken for video range", lambda x: np.rint(16 + x * (219 / 255)))
    yield bytes_(
        "video range taken for full range",
        lambda x: np.clip(np.rint((x.astype(np.float32) - 16) * (255 / 219)), 0, 255),
    )


def _of_colour(spec: InputSpec) -> Iterator[OtherPath]:
    yield OtherPath(
        "red and blue swapped",
        lambda frame: np.ascontiguousarray(to_tensor(frame, spec)[..., ::-1]),
    )

    def grey(frame: np.ndarray) -> np.ndarray:
        one = cv2.cvtColor(to_tensor(frame, spec), cv2.COLOR_RGB2GRAY)
        return np.repeat(one[..., None], 3, axis=2)

    yield OtherPath("colour dropped (a grey picture)", grey)


def _of_the_picture(spec: InputSpec) -> Iterator[OtherPath]:
    def seen(name: str, view: Callable[[np.ndarray], np.ndarray]) -> OtherPath:
        return OtherPath(name, lambda frame: to_tensor(view(frame), spec))

    for degrees in (90, 180, 270):
        way = "clockwise" if degrees == 90 else "counterclockwise"
        turn = "turned by 180 degrees" if degrees == 180 else f"turned by 90 degrees {way}"
        yield seen(f"the picture {turn}", FrameView(rotate=degrees).apply)
    yield seen("the picture mirrored", FrameView(flip="horizontal").apply)
    yield seen("the picture upside down and mirrored", FrameView(flip="vertical").apply)
    yield seen("rows and columns exchanged", lambda f: np.ascontiguousarray(f.transpose(1, 0, 2)))


def _of_resizing(spec: InputSpec) -> Iterator[OtherPath]:
    def resized(name: str, other: InputSpec) -> OtherPath:
        return OtherPath(name, lambda frame: to_tensor(frame, other))

    for rule in get_args(Resize):
        if rule == "letterbox":
            for colour, pad in _PADS.items():
                other = replace(spec, resize=rule, pad=pad)
                if other != spec:
                    name = f"resized by 'letterbox' with {colour} bars"
                    yield resized(f"{name} instead of {spec.resize!r}", other)
        elif rule != spec.resize:
            name = f"resized by {rule!r} instead of {spec.resize!r}"
            yield resized(name, replace(spec, resize=rule, pad=None))
    for how in get_args(Interpolation):
        if how != spec.interpolation:
            name = f"interpolation {how!r} instead of {spec.interpolation!r}"
            yield resized(name, replace(spec, interpolation=how))
