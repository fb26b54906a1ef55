"""A model's input and output: their types, and the integers that pixels become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError

__all__ = ["Runtime", "check_info", "check_signature", "dequantize", "input_table", "quantize"]


def check_signature(file: str, inputs: list[Any], outputs: list[Any]) -> None:
    """An image classifier has one input (1, height, width, 3) and one output (1, classes)."""
    shapes = f"inputs {[list(s) for s in inputs]}, outputs {[list(s) for s in outputs]}"
    ok = (
        len(inputs) == len(outputs) == 1
        and len(inputs[0]) == 4
        and len(outputs[0]) == 2
        and inputs[0][0] == outputs[0][0] == 1
        and inputs[0][3] == 3
        and all(
            isinstance(n, int | np.integer) and n > 0 for s in (inputs[0], outputs[0]) for n in s
        )
    )
    if not ok:
        raise ArtifactError(
            f"{file} has {shapes}; expected one image [1, height, width, 3] and one [1, classes]"
        )


def check_info(info: TensorInfo, name: str) -> TensorInfo:
    if info.dtype not in ("float32", "uint8", "int8", "int16"):
        raise ArtifactError(f"{name} takes {info.dtype}, expected float32, uint8, int8 or int16")
    if info.dtype != "float32" and info.scale <= 0:
        raise ArtifactError(f"{name} is {info.dtype} without a quantization scale; export it again")
    return info


class Runtime:
    """A loaded model: uint8 tensor in, float scores out.

    Hybrid models (integers on one side, floats on the other) are no artifacts of edgecnn.
    """

    name: str

    def __init__(
        self, file: str, input_shape: Sequence[int], num_classes: int, ends: list[TensorInfo]
    ) -> None:
        self.file, self.num_classes = file, int(num_classes)
        self.input, self.output = ends
        if (self.input.dtype == "float32") != (self.output.dtype == "float32"):
            raise ArtifactError(
                f"{file} takes {self.input.dtype} and gives {self.output.dtype}; expected float32 "
                "on both sides or integers on both; export it again"
            )
        _, height, width, channels = map(int, input_shape)
        self.shape = (height, width, channels)
        table = input_table(self.input)
        # Most integer models take pixels as they are.
        same = table.dtype == np.uint8 and np.array_equal(table, np.arange(256))
        self._table = None if same else table
        # What each byte of an output of one byte means.
        self._meaning: np.ndarray | None = None
        if self.output.dtype in ("uint8", "int8"):
            every = np.arange(256, dtype=np.uint8).view(self.output.dtype)
            self._meaning = dequantize(every, self.output)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        """Scores of one input tensor.

        Args:
            tensor: uint8, shape (height, width, 3), RGB as `preprocess.to_tensor` gives it.

        Returns:
            float32, shape (classes,).
        """
        return self.scores(self.output_of(tensor))

    def output_of(self, tensor: np.ndarray) -> np.ndarray:
        """What `invoke` makes the scores of: the model's output in its own integers or floats."""
        source = tensor if self._table is None else np.asarray(cv2.LUT(tensor, self._table))
        return self._run(source[None])

    def scores(self, output: np.ndarray) -> np.ndarray:
        """What an output means; any thread may ask."""
        if self._meaning is None:
            return dequantize(output, self.output)
        return self._meaning.take(output.view(np.uint8))

    def invoke_real(self, values: np.ndarray) -> np.ndarray:
        """Scores of values that are no pixels, such as those that a program divided by 255.

        Args:
            values: float32, shape (height, width, 3): what `invoke` takes from 0 to 255.

        Returns:
            float32, shape (classes,).
        """
        return dequantize(self._run(quantize(values, self.input)[None]), self.output)

    def _run(self, source: np.ndarray) -> np.ndarray:
        """The output of one batch, in its own integers or floats: shape (classes,)."""
        raise NotImplementedError


def input_table(info: TensorInfo) -> np.ndarray:
    """What each of the 256 pixel values becomes at the model's input: see `quantize`."""
    return quantize(np.arange(256, dtype=np.float32), info)


def quantize(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    """The integers that real values become: q = value / scale + zero_point.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 1; rounded half to even, saturated.
    """
    if info.dtype == "float32":
        return np.asarray(values, np.float32)
    limits = np.iinfo(info.dtype)
    steps = np.rint(values / np.float32(info.scale)) + info.zero_point
    return np.asarray(np.clip(steps, limits.min, limits.max).astype(info.dtype))


def dequantize(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    if info.dtype == "float32":
        return np.array(values, np.float32)
    return np.asarray((values.astype(np.float32) - info.zero_point) * np.float32(info.scale))
