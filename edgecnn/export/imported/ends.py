"""What goes in front of a foreign file and behind it, whatever the file's format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import numpy as np

from edgecnn.errors import ArtifactError, ModelError, one_line
from edgecnn.export.foreign.normalization import AFFINE, GREY, Front
from edgecnn.words import number

__all__ = ["Ending", "Ends", "check_batch", "check_one_each", "fitting"]

Ending = Literal["scores", "softmax", "two_scores", "two_logits"]


@dataclass(frozen=True)
class Ends(Front):
    """How raw R, G, B pixels become the file's input, and its answer one score a class.

    ending  scores      the answers are scores already
            softmax     they are logits
            two_scores  one score, that of the second class
            two_logits  its logit
    """

    ending: Ending = "scores"

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """(weights, bias): value = pixel_rgb @ weights + bias; float32 (3, c) and (c,)."""
        scale, offset = (np.broadcast_to(v, 3) for v in AFFINE[self.normalize])
        if self.color == "grey":
            weights, bias = (scale * GREY)[:, None], np.array([float((offset * GREY).sum())])
        else:
            weights, bias = np.diag(scale), offset
            if self.color == "bgr":
                weights, bias = weights[:, ::-1], bias[::-1]
        return weights.astype(np.float32), bias.astype(np.float32)

    @property
    def raw(self) -> bool:
        """Whether pixels go in as they are."""
        return self.normalize == "none" and self.color == "rgb"


def check_one_each(name: str, inputs: Sequence[str], outputs: Sequence[str], advice: str) -> None:
    """Refuse a file that takes more than one image or gives more than one answer to it.

    Args:
        inputs, outputs: Their names.
        advice: How to make a file with one output.

    Raises:
        ModelError: It does.
    """
    if len(inputs) != 1:
        raise ModelError(
            f"{name} has {number(len(inputs), 'input')}{_named(inputs)}, expected one image; a "
            "classifier of camera frames can't be given anything else"
        )
    if len(outputs) != 1:
        raise ModelError(
            f"{name} has {number(len(outputs), 'output')}{_named(outputs)}, expected one score a "
            f"class; {advice}"
        )


def check_batch(name: str, batch: int | None) -> None:
    """Refuse a file that takes several images at once and no other number.

    Raises:
        ModelError: It does.
    """
    if batch not in (None, 1):
        raise ModelError(
            f"{name} takes {batch} images at once, expected one; convert it again with a batch of "
            "1, or an open one"
        )


@contextmanager
def fitting(name: str, size_hw: tuple[int, int]) -> Iterator[None]:
    """Say it in one line when layers don't fit each other: a runtime may only notice as it runs.

    Raises:
        ArtifactError: The file can't be run on images of this size.
    """
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        yield
    except (state.Fail, state.InvalidArgument, state.RuntimeException, RuntimeError) as error:
        raise ArtifactError(
            f"{name} can't be run on images of {size_hw[1]}x{size_hw[0]} pixels, expected the size "
            f"of its training; give that with --width and --height: {one_line(error, 300)}"
        ) from error


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
