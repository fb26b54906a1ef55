"""Activation ranges as data: measured once on each image, then any subset makes an integer model.

TFLite's converter takes the extremes of each tensor over the calibration images, and nothing else.
An integer model of a subset, or of other ranges, costs milliseconds instead of a conversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import FLOAT32
from edgecnn.errors import ModelError
from edgecnn.export.convert.recipe import refusing
from edgecnn.export.convert.tflite_convert import calibratable
from edgecnn.export.packing.flatbuffer import read_tflite, schema, write_tflite
from edgecnn.export.ranges.methods import Observed, observe
from edgecnn.export.ranges.taps import nodes_of, open_tap
from edgecnn.export.readback.onnx_graph import read_any_graph

__all__ = ["RangeModel", "clipped_shares"]

_TO_UINT8 = 128  # between the zero points of int8 and uint8


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
        # What each tensor holds on each image: `observe` without its first three arguments.
        self.measure = partial(observe, self.tap, self.tensors, self._input)
        hidden = set(self.tensors) - self.tap.names - {self._input}
        if hidden:
            raise ModelError(
                f"can't read the activations of {min(hidden)}; export without --compare and "
                "--repair"
            )

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
        return _to_uint8_ends(data) if self._integer_io == "uint8" else bytes(data)


def clipped_shares(model: RangeModel, seen: Observed, data: bytes) -> dict[str, float]:
    """Share of the float activations beyond the range of an integer file's tensors.

    A value up to one step outside is not counted: it loses no more than rounding does, and
    TFLite's scores reach 255/256 only.

    Args:
        seen: What the float model, which the file was made from, showed on some images.

    Returns:
        By tensor name, in the order of the file's operations, fractions in [0, 1].
    """
    place = {name: k for k, name in enumerate(model.tensors)}
    shares = {}
    for node in nodes_of(read_any_graph(data)):
        low, high = node.limits
        if node.name in place and np.isfinite(high):
            values = seen.values[:, place[node.name]]
            shares[node.name] = float(((values < low) | (values > high)).mean())
    return shares


def _has_range(tensor: Any) -> bool:
    found = tensor.quantization
    return found is not None and found.min is not None and len(found.min) > 0


def _to_uint8_ends(data: bytes) -> bytes:
    """Put a QUANTIZE operation before the input and behind the output: uint8 in and out.

    The converter's own quantizer knows float and int8 ends only, and a later step of the converter
    gives files of float ends others; a file whose first layer stays in float has neither.
    """
    model = read_tflite(data)
    graph = model.subgraphs[0]
    code = _quantize_code(model)
    ends = {
        int(graph.inputs[0]): _outer(graph, int(graph.inputs[0])),
        int(graph.outputs[0]): _outer(graph, int(graph.outputs[0])),
    }
    (inside, outside), (last, result) = ends.items()
    graph.operators.insert(0, _quantize(code, outside, inside))
    graph.operators.append(_quantize(code, last, result))
    graph.inputs, graph.outputs = [outside], [result]
    for signature in model.signatureDefs or []:
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = ends[entry.tensorIndex]
    return write_tflite(model)


def _outer(graph: Any, index: int) -> int:
    """A uint8 tensor for the same values as an int8 one."""
    tensor = deepcopy(graph.tensors[index])
    tensor.type = schema().TensorType.UINT8
    tensor.quantization.zeroPoint = [int(tensor.quantization.zeroPoint[0]) + _TO_UINT8]
    tensor.name = tensor.name + b"_uint8"
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _quantize(code: int, source: int, target: int) -> Any:
    operator = schema().OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [target]
    operator.builtinOptionsType = schema().BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema().QuantizeOptionsT()
    return operator


def _quantize_code(model: Any) -> int:
    """Index of QUANTIZE among the model's operator codes; added where it has none."""
    wanted = schema().BuiltinOperator.QUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == wanted:
            return index
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
