"""Activation ranges from calibration images: the extremes, or what leaves the rarest values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.export.ranges.taps import Tap
from edgecnn.records import Progress

__all__ = ["RANGE_METHODS", "VALUES_KEPT", "Observed", "describe_method", "join", "observe"]

VALUES_KEPT = 256  # of each tensor and image, by chance: 100 images tell the percentiles to 0.01 %

_PERCENTILES = {"Percentile 99.99": 99.99, "Percentile 99.9": 99.9}
RANGE_METHODS = ("MinMax", "Percentile 99.99", "MSE", "Percentile 99.9")
_LOOKED_AT = 8192  # of a tensor's values, for its squared error
_SHARES = np.linspace(1.0, 0.02, 50)  # of an end that may be all that is kept
_STEPS = 255


@dataclass(frozen=True)
class Observed:
    """What tensors held on images, image by image, so that any subset of images can be judged.

    ranges: float32 (images, tensors, 2), smallest and largest value; values: float32
    (images, tensors, values kept), by chance; fixed: bool (tensors,), ranges that no method
    narrows, as the input's, which is that of a pixel.
    """

    ranges: np.ndarray
    values: np.ndarray
    fixed: np.ndarray

    def __len__(self) -> int:
        return len(self.ranges)

    def __getitem__(self, part: slice) -> Observed:
        return Observed(self.ranges[part], self.values[part], self.fixed)

    def limits(self, method: str = "MinMax") -> np.ndarray:
        """The range of each tensor over all images.

        MinMax   the extremes
        MSE      what makes the mean squared error of rounding and clipping least (Nagel et al.
                 2021, arXiv:2106.08295, section 3.1); at 8 bits that leaves out only what is
                 rarer than one value in a million
        Percentile 99.99, Percentile 99.9   without the rarest 0.01 or 0.1 % at either end

        Returns:
            float32, shape (tensors, 2); always within the extremes.
        """
        extremes = np.stack([self.ranges[..., 0].min(axis=0), self.ranges[..., 1].max(axis=0)], 1)
        if method == "MinMax":
            return extremes
        found = extremes.copy()
        for k in np.flatnonzero(~self.fixed):
            values = self.values[:, k].ravel()
            if method == "MSE":
                found[k] = _least_error(values, *map(float, extremes[k]))
            else:
                most = _PERCENTILES[method]
                found[k] = np.percentile(values, (100 - most, most))
        return found


def observe(
    tap: Tap,
    names: Sequence[str],
    source: str,
    images: np.ndarray,
    what: str = "images",
    progress: Progress | None = None,
    kept: int = VALUES_KEPT,
) -> Observed:
    """Run a float model and look at its tensors.

    Args:
        source: The model's input; if it is among them, its range is 0..255 whatever the images
            hold, as in `calibration.pin`.
        images: uint8, shape (n, height, width, 3) RGB.
        kept: How many values of each tensor and image.
    """
    rng = np.random.default_rng(0)
    fixed = np.array([name == source for name in names])
    ranges = np.empty((len(images), len(fixed), 2), np.float32)
    values = np.zeros((len(images), len(fixed), kept), np.float32)
    ranges[:, fixed] = 0, 255
    for k, image in enumerate(images):
        found = tap.run(image)
        for t in map(int, np.flatnonzero(~fixed)):
            flat = found[names[t]].ravel()
            ranges[k, t] = flat.min(), flat.max()
            # By chance, since a stride would see the same channel again and again.
            values[k, t] = flat[rng.integers(flat.size, size=kept)]
        if progress and (k + 1) % 20 == 0:
            progress(f"activation ranges of {what}", k + 1, len(images))
    return Observed(ranges, values, fixed)


def join(parts: Sequence[Observed]) -> Observed:
    """What several sets of images showed, of the same model."""
    return Observed(
        np.concatenate([part.ranges for part in parts]),
        np.concatenate([part.values for part in parts]),
        parts[0].fixed,
    )


def describe_method(method: str) -> str:
    """A method in words, those of onnxruntime too.

    Example:
        >>> describe_method("Percentile 99.99")
        'activation ranges by percentile 99.99 instead of the extremes'
    """
    name = {"MSE": "least squared error", "Entropy": "least lost information"}.get(method)
    return f"activation ranges by {name or method.lower()} instead of the extremes"


def _least_error(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Each end in turn, twice, nearer to zero: a grid search, as arXiv:2106.08295 has it."""
    few = values[:: max(1, len(values) // _LOOKED_AT)]
    for _ in range(2):
        high = min((high * share for share in _SHARES), key=lambda x: _squared_error(few, low, x))
        low = min((low * share for share in _SHARES), key=lambda x: _squared_error(few, x, high))
    return low, high


def _squared_error(values: np.ndarray, low: float, high: float) -> float:
    """Mean squared error of 8-bit integers for this range, which holds zero as TFLite's do."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / _STEPS
    if scale == 0:
        return float(np.square(values).mean())
    zero_point = round(-low / scale)
    steps = np.clip(np.rint(values / scale) + zero_point, 0, _STEPS) - zero_point
    return float(np.square(steps * scale - values).mean())
