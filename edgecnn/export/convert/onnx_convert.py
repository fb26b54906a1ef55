"""Frozen Keras model -> ONNX: float32, and full integer as static QDQ with integer in and out."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import ONNX_FLOAT32
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec, TensorInfo
from edgecnn.export.convert.onnx_fold import fold_scales, reconnect
from edgecnn.export.convert.onnx_spell_out import spell_out
from edgecnn.export.convert.recipe import refusing
from edgecnn.export.packing.metadata import preprocessing_text
from edgecnn.export.ranges.methods import RANGE_METHODS, observe
from edgecnn.export.ranges.taps import open_tap
from edgecnn.export.readback.kinds import ONNX_WEIGHTED
from edgecnn.model.tflite_network import freeze
from edgecnn.quiet import quiet

__all__ = [
    "convert_onnx",
    "embed_onnx_metadata",
    "onnx_texts",
    "quantization_texts",
    "quantize_onnx",
]

# 17 is read by every onnxruntime since 1.12 (2022).
_OPSET = 17
# Whatever the images hold and the method makes of them, the input takes pixels one to one.
_RAW_PIXELS = {"image": [{"rmin": np.float32(0), "rmax": np.float32(255)}]}


def convert_onnx(network: Any, spec: InputSpec) -> bytes:
    """Convert to float32 ONNX: "image" float32 (1, height, width, 3), "scores" (1, classes).

    Through TensorFlow's graph: tf2onnx's own `from_keras` does not know Keras 3.

    Raises:
        ModelError: The network holds an operation that ONNX can't express.
    """
    with quiet():
        import tf2onnx

        # tf2onnx takes tensors that a network holds beside its variables (the mean of a
        # Normalization, those of a SavedModel) for inputs: frozen, they are constants.
        frozen = freeze(network, spec.shape)
    with refusing("convert the network to ONNX"):
        model, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=[frozen.inputs[0].name],
            output_names=[frozen.outputs[0].name],
            opset=_OPSET,
        )
        spell_out(model)
        _rename(model, model.graph.input[0].name, "image")
        _rename(model, model.graph.output[0].name, "scores")
        model.graph.name = "edgecnn"
        fold_scales(model)
        data = bytes(model.SerializeToString())
        # tf2onnx passes operations on that ONNX does not have; only loading finds them.
        load_runtime(data, ONNX_FLOAT32.file)
    return data


def quantize_onnx(
    data: bytes,
    calibration: np.ndarray,
    integer_io: str = "uint8",
    *,
    per_channel: bool = True,
    method: str = "MinMax",
    float_nodes: Sequence[str] = (),
) -> tuple[bytes, TensorInfo, TensorInfo]:
    """Quantize a float model of `convert_onnx` statically.

    Args:
        calibration: uint8, shape (n, height, width, 3), its range 0..255.
        integer_io: "uint8" or "int8": type of the activations, the input and the output.
        per_channel: False gives each weight tensor one scale.
        method: How ranges come from the images: "MinMax"; onnxruntime's "Percentile" (99.999) or
            "Entropy"; or another one of methods.RANGE_METHODS, for which each tensor's is set.
        float_nodes: Names of nodes that stay in float.

    Returns:
        The model, and the types of its input and output: integer, or float32 at an end where
        the network has no quantized operation.

    Raises:
        ModelError: onnxruntime can't quantize the network.
    """
    with quiet():
        import onnx
        from onnxruntime import quantization
    overrides = dict(_RAW_PIXELS)
    if method in RANGE_METHODS[1:]:
        overrides |= _overrides(data, calibration, method)
        method = "MinMax"
    types = {"uint8": quantization.QuantType.QUInt8, "int8": quantization.QuantType.QInt8}
    what = "convert the network to integer ONNX"
    # Other methods than MinMax print on standard output, which is for --json.
    silent = redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, refusing(what), silent:
        source, target = Path(folder, "float.onnx"), Path(folder, "integer.onnx")
        source.write_bytes(_untie(onnx.load_from_string(data)))
        quantization.quantize_static(
            source,
            target,
            _reader(quantization.CalibrationDataReader, calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=per_channel,
            calibrate_method=quantization.CalibrationMethod[method],
            nodes_to_exclude=list(float_nodes),
            extra_options={"TensorQuantOverrides": overrides},
            activation_type=types[integer_io],
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(target)
    return _with_integer_ends(model, integer_io)


def embed_onnx_metadata(data: bytes, texts: dict[str, str]) -> bytes:
    """Put texts into the model's metadata_props, where any ONNX program finds them."""
    import onnx

    model = onnx.load_from_string(data)
    onnx.helper.set_model_props(model, texts)
    return bytes(model.SerializeToString())


def onnx_texts(labels: tuple[str, ...], spec: InputSpec) -> dict[str, str]:
    """The metadata that every ONNX artifact carries."""
    return {
        "labels": json.dumps(list(labels)),
        "input": json.dumps(spec.to_json()),
        "preprocessing": preprocessing_text(spec),
    }


def quantization_texts(source: TensorInfo, target: TensorInfo) -> dict[str, str]:
    """Scale and zero point of integer inputs and outputs: ONNX itself has no place for them."""
    texts = {}
    for side, info in (("input", source), ("output", target)):
        if info.scale > 0:
            texts[f"{side}_scale"] = repr(info.scale)
            texts[f"{side}_zero_point"] = str(info.zero_point)
    return texts


def _overrides(data: bytes, images: np.ndarray, method: str) -> dict[str, Any]:
    """The range of each tensor by a method that onnxruntime does not have."""
    tap = open_tap(data, ONNX_FLOAT32.file)
    names = sorted(tap.names)
    limits = observe(tap, names, "image", images).limits(method)
    return {
        name: [{"rmin": low, "rmax": high}] for name, (low, high) in zip(names, limits, strict=True)
    }


def _reader(base: Any, calibration: np.ndarray) -> Any:
    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image[None].astype(np.float32)}

    return Reader()


def _with_integer_ends(model: Any, integer_io: str) -> tuple[bytes, TensorInfo, TensorInfo]:
    """The file that takes and gives integers, where its ends are quantized, and their types."""
    model.graph.name = "edgecnn"
    target = _integer_output(model)
    if target.scale > 0:
        _quantized_input(model, integer_io)
    source = _integer_input(model)
    _slim(model)
    return bytes(model.SerializeToString()), source, target


def _quantized_input(model: Any, integer_io: str) -> None:
    """Where the first operations stay in float, let the graph take integers all the same.

    Pixels are integers already, so nothing is rounded.
    """
    import onnx

    graph = model.graph
    source = graph.input[0].name
    if any(n.op_type == "QuantizeLinear" for n in graph.node if source in n.input):
        return
    zero = np.array(0 if integer_io == "uint8" else -128, integer_io)
    for name, value in (("pixel_scale", np.float32(1)), ("pixel_zero", zero)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    reconnect(graph.node, {source: "pixels"})
    for kind, before, after in (
        ("DequantizeLinear", "pixel_steps", "pixels"),
        ("QuantizeLinear", source, "pixel_steps"),
    ):
        node = onnx.helper.make_node(kind, [before, "pixel_scale", "pixel_zero"], [after])
        graph.node.insert(0, node)


def _integer_input(model: Any) -> TensorInfo:
    """Drop the QuantizeLinear behind the input, so that the graph takes integers."""
    graph = model.graph
    users = [n for n in graph.node if graph.input[0].name in n.input]
    if len(users) != 1 or users[0].op_type != "QuantizeLinear":
        return TensorInfo("float32")
    node = users[0]
    info, element = _parameters(graph, node)
    graph.node.remove(node)
    reconnect(graph.node, {node.output[0]: graph.input[0].name})
    graph.input[0].type.tensor_type.elem_type = element
    return info


def _integer_output(model: Any) -> TensorInfo:
    """Drop the DequantizeLinear before the output, so that the graph gives integers."""
    graph = model.graph
    name = graph.output[0].name
    node = next(n for n in graph.node if name in n.output)
    if node.op_type != "DequantizeLinear":
        return TensorInfo("float32")
    info, element = _parameters(graph, node)
    source = node.input[0]
    graph.node.remove(node)
    _rename(model, source, name)
    graph.output[0].type.tensor_type.elem_type = element
    return info


def _untie(model: Any) -> bytes:
    """Give each operation weights of its own, where a layer that is called twice shares them.

    With exact sums (see runtime.py) onnxruntime rewrites the integer weights of each operation,
    and fails at the second that has the same ones ("Attempt to replace the existing tensor").
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    used: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type not in ONNX_WEIGHTED:
            continue
        for k, name in enumerate(node.input):
            used[name] += name in stored
            if used[name] > 1:
                copy = model.graph.initializer.add()
                copy.CopyFrom(stored[name])
                node.input[k] = copy.name = f"{name}__use_{used[name]}"
    return bytes(model.SerializeToString())


def _slim(model: Any) -> None:
    """Shorten the names that repeat: they take a third of a small integer file.

    Tensors keep their names, which say what layer they belong to; their scales and zero points
    are named by number, nodes not at all, and the shapes in between are left to the runtime.
    """
    graph = model.graph
    names: dict[str, str] = {}
    for node in graph.node:
        node.ClearField("name")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            for kind, name in zip("sz", node.input[1:], strict=False):
                names.setdefault(name, f"{kind}{len(names)}")
    reconnect(graph.node, names)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    graph.ClearField("value_info")


def _parameters(graph: Any, node: Any) -> tuple[TensorInfo, int]:
    """Scale, zero point and ONNX element type of a (De)QuantizeLinear node."""
    from onnx import numpy_helper

    values = {t.name: t for t in graph.initializer}
    scale = numpy_helper.to_array(values[node.input[1]])
    zero_point = numpy_helper.to_array(values[node.input[2]])
    info = TensorInfo(zero_point.dtype.name, float(scale), int(zero_point))
    return info, int(values[node.input[2]].data_type)


def _rename(model: Any, old: str, new: str) -> None:
    graph = model.graph
    reconnect(graph.node, {old: new})
    for node in graph.node:
        for k, name in enumerate(node.output):
            node.output[k] = new if name == old else name
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
