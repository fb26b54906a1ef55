"""Activation ranges as data: measured once on each image, then any subset makes an integer model.

TFLite's converter takes the smallest and the largest value of each tensor over the calibration
images, and nothing else. So one pass over all images tells the range that every subset of them
would give, and an integer model of a subset costs milliseconds instead of a conversion. Other
ranges than the extremes, which the converter can't find itself, are set in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import FLOAT32
from edgecnn.errors import ModelError
from edgecnn.export.convert.recipe import refusing
from edgecnn.export.convert.tflite_convert import calibratable
from edgecnn.export.convert.uint8_ends import to_uint8_ends
from edgecnn.export.packing.flatbuffer import read_tflite, write_tflite
from edgecnn.export.ranges.methods import Observed, observe
from edgecnn.export.ranges.taps import nodes_of, open_tap
from edgecnn.export.readback.onnx_graph import read_any_graph
from edgecnn.records import Progress

__all__ = ["Activations", "RangeModel", "clipped_shares"]

_VALUES = 200_000  # kept of each tensor: a clipped share is then known to 0.01 %


class RangeModel:
    """A float model whose tensors' ranges are yet to be set.

    tensors: names of those that have a range, the input among them. float_file: the model as a
    .tflite file. activation_bytes: of all float activations of one image.
    """

    def __init__(self, frozen: Any, integer_io: str = "uint8") -> None:
        """Make it from what `tflite.freeze` gives.

        Raises:
            ModelError: The network holds an operation that has no integer version.
        """
        self.float_file = calibratable(frozen)
        self._model = read_tflite(self.float_file)
        graph = self._model.subgraphs[0]
        calibrated = [t for t in graph.tensors if _has_range(t)]
        self._quantizations = [t.quantization for t in calibrated]
        self._input = graph.tensors[graph.inputs[0]].name.decode()
        self._integer_io = integer_io
        self.tensors = tuple(t.name.decode() for t in calibrated)
        self.activation_bytes = 4 * sum(int(np.prod(t.shape)) for t in calibrated)
        self.tap = open_tap(self.float_file, FLOAT32.file)
        hidden = set(self.tensors) - self.tap.names - {self._input}
        if hidden:
            raise ModelError(
                f"can't read the activations of {min(hidden)}; export without --compare and "
                "--repair"
            )

    def measure(
        self, images: np.ndarray, what: str = "images", progress: Progress | None = None
    ) -> Observed:
        """What each tensor holds on each image: its range and some of its values.

        Args:
            images: uint8, shape (n, height, width, 3) RGB. The input's range is 0..255 whatever
                they hold, as in `calibration.pin`.
        """
        return observe(self.tap, self.tensors, self._input, images, what, progress)

    def named(self, limits: np.ndarray) -> dict[str, tuple[float, float]]:
        """The same ranges by the tensors' names."""
        ends = limits.tolist()
        return {name: (low, high) for name, (low, high) in zip(self.tensors, ends, strict=True)}

    def quantize(
        self,
        limits: np.ndarray,
        per_channel: bool = True,
        float_tensors: Sequence[str] = (),
    ) -> bytes:
        """The full-integer model; by MinMax the one that the converter makes of these images.

        Args:
            limits: float32 (tensors, 2), the range of each tensor: see `Observed.limits`.
            per_channel: A scale for each channel of a convolution's weights, or one for all.
            float_tensors: Names of tensors whose operations stay in float.

        Raises:
            ModelError: The converter refuses.
        """
        import tensorflow as tf
        from tensorflow.lite.python.convert import mlir_quantize

        for quantization, (low, high) in zip(self._quantizations, limits, strict=True):
            quantization.min = np.array([low], np.float32)
            quantization.max = np.array([high], np.float32)
        with refusing("quantize the network", "export without --compare and --repair"):
            data = mlir_quantize(
                write_tflite(self._model),
                disable_per_channel=not per_channel,
                fully_quantize=True,
                input_data_type=tf.int8,
                output_data_type=tf.int8,
                disable_per_channel_for_dense_layers=True,
                denylisted_nodes=list(float_tensors),
            )
        return to_uint8_ends(data) if self._integer_io == "uint8" else bytes(data)


class Activations:
    """A sample of the float activations on some images, sorted, by tensor name."""

    def __init__(
        self, model: RangeModel, images: np.ndarray, progress: Progress | None = None
    ) -> None:
        rng = np.random.default_rng(0)
        each = max(1, _VALUES // max(1, len(images)))
        kept: dict[str, list[np.ndarray]] = {}
        for k, image in enumerate(images):
            for name, values in model.tap.run(image).items():
                flat = values.ravel()
                # By chance, since a stride would see the same channel again and again.
                chosen = flat if flat.size <= each else flat[rng.integers(flat.size, size=each)]
                kept.setdefault(name, []).append(chosen.astype(np.float32))
            if progress and (k + 1) % 20 == 0:
                progress("activations on held-out frames", k + 1, len(images))
        self.values: Mapping[str, np.ndarray] = {
            name: np.sort(np.concatenate(parts)) for name, parts in kept.items()
        }


def clipped_shares(activations: Activations, data: bytes) -> dict[str, float]:
    """Share of the float activations beyond the range of an integer file's tensors.

    A value up to one step outside is not counted: it loses no more than rounding does, and
    TFLite's scores reach 255/256 only.

    Args:
        activations: Of the float model that the file was made from.
        data: A full-integer .tflite file.

    Returns:
        By tensor name, in the order of the file's operations, fractions in [0, 1].
    """
    shares = {}
    for node in nodes_of(read_any_graph(data)):
        values, (low, high) = activations.values.get(node.name), node.limits
        if values is not None and np.isfinite(high):
            below = np.searchsorted(values, low, side="left")
            above = len(values) - np.searchsorted(values, high, side="right")
            shares[node.name] = float(below + above) / len(values)
    return shares


def _has_range(tensor: Any) -> bool:
    found = tensor.quantization
    return found is not None and found.min is not None and len(found.min) > 0
