"""Frozen Keras model -> TFLite: float32, float16, dynamic range, full integer, int16 activations.

Source: Jacob et al. 2018, arXiv:1712.05877, and the TensorFlow Lite quantization specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import FULL_INTEGER, INT16
from edgecnn.export.convert.recipe import refusing

__all__ = ["calibratable", "convert_tflite"]


def convert_tflite(
    frozen: Any,
    name: str,
    calibration: np.ndarray | None = None,
    integer_io: str = "uint8",
    *,
    per_channel: bool = True,
) -> bytes:
    """Convert to one of the TFLite formats of bundle.artifacts.

    Args:
        frozen: What `tflite_network.freeze` gives.
        calibration: uint8, shape (n, height, width, 3), for full-integer and int16; its range
            should be 0..255, so that the full-integer model takes raw pixels.
        integer_io: "uint8" or "int8" input and output of the full-integer model.
        per_channel: False gives each convolution one scale, as the first converters did.

    Raises:
        ModelError: The network holds an operation that this format can't express.
    """
    import tensorflow as tf

    with refusing(f"convert the network to {name}"):
        converter = _converter(_split_hard_swish(frozen) if name == INT16.name else frozen, name)
        if name == FULL_INTEGER.name:
            ends = tf.dtypes.as_dtype(integer_io)
            converter.inference_input_type = converter.inference_output_type = ends
        converter._experimental_disable_per_channel = not per_channel
        if calibration is not None and name in (FULL_INTEGER.name, INT16.name):
            converter.representative_dataset = lambda: _representative_dataset(calibration)
        return bytes(converter.convert())


def calibratable(frozen: Any) -> bytes:
    """The float model just before quantization, each tensor with a place for its range.

    Raises:
        ModelError: The network holds an operation that has no integer version.
    """
    images = np.zeros(tuple(frozen.inputs[0].shape), np.uint8)
    with refusing("calibrate the network", "export without --compare and --repair"):
        converter = _converter(frozen, FULL_INTEGER.name)
        converter._experimental_calibrate_only = True
        converter.representative_dataset = lambda: _representative_dataset(images)
        return bytes(converter.convert())


def _representative_dataset(calibration: np.ndarray) -> Iterator[list[np.ndarray]]:
    for tensor in calibration:
        yield [tensor[None].astype(np.float32)]


def _converter(frozen: Any, name: str) -> Any:
    """TensorFlow's converter, set for one of the TFLite formats of bundle.artifacts."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if name != "tflite-float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Per-channel dense layers need FULLY_CONNECTED version 12, which tflite-runtime 2.14, the
    # last one for many boards, does not have. Convolutions stay per channel.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if name == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if name == "tflite-full-integer":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if name == "tflite-int16":
        # Float in and out: int16 could not hold raw pixels one to one.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter


def _split_hard_swish(frozen: Any) -> Any:
    """The same function, in which the TFLite converter finds no hard-swish to fuse.

    x * relu6(x + 3) / 6 becomes one HARD_SWISH operation, which the converter then refuses to
    bring to 16-bit activations. Its pattern asks for a 3 exactly; the next larger float32 leaves
    ADD, RELU6 and MUL, which have 16-bit kernels, and changes the result by less than 1e-6.

    Returns:
        `frozen` itself when there is nothing to split.
    """
    import tensorflow as tf

    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    sums = [nodes.get(node.input[0]) for node in graph.node if node.op == "Relu6"]
    changed = False
    for node in sums:
        if node is None or node.op not in ("Add", "AddV2"):
            continue
        for constant in (nodes[name] for name in node.input if nodes[name].op == "Const"):
            value = tf.make_ndarray(constant.attr["value"].tensor)
            if value.size == 1 and value.dtype == np.float32 and value.item() == 3.0:
                larger = np.nextafter(np.float32(3), np.float32(4)).reshape(value.shape)
                constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(larger))
                changed = True
    if not changed:
        return frozen
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    return wrapped.prune([t.name for t in frozen.inputs], [t.name for t in frozen.outputs])
