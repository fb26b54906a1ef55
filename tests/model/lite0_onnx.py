"""EfficientNet-Lite0 as an ONNX graph, straight from the tensors of the PyTorch file.

Written from the published architecture (Tan and Le 2019, table 1; the Lite changes; padding as
TensorFlow's "same", batch norm's epsilon 1e-3), in PyTorch's own layout and names, so that it
shares nothing with the Keras network but the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# stride, and whether input and output are added, of the sixteen blocks
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


class _Graph:
    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.constants = [
            numpy_helper.from_array(np.array([127], np.float32), "mean"),
            numpy_helper.from_array(np.array([128], np.float32), "scale"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array(6, np.float32), "six"),
        ]

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def tensor(self, name: str) -> str:
        self.constants.append(numpy_helper.from_array(self.tensors[name], name))
        return name

    def conv(self, x: str, name: str, stride: int = 1) -> str:
        kernel = self.tensors[f"{name}.weight"]
        group = len(kernel) if kernel.shape[1] == 1 and "depthwise" in name else 1
        weight = self.tensor(f"{name}.weight")
        return self.op("Conv", x, weight, strides=[stride] * 2, group=group, auto_pad="SAME_UPPER")

    def norm(self, x: str, name: str, relu6: bool = True) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        parameters = [self.tensor(f"{name}.{part}") for part in parts]
        x = self.op("BatchNormalization", x, *parameters, epsilon=1e-3)
        return self.op("Clip", x, "zero", "six") if relu6 else x

    def block(self, x: str, number: int, stride: int) -> str:
        name = f"_blocks.{number}"
        y = x
        if f"{name}._expand_conv.weight" in self.tensors:
            y = self.norm(self.conv(y, f"{name}._expand_conv"), f"{name}._bn0")
        y = self.norm(self.conv(y, f"{name}._depthwise_conv", stride), f"{name}._bn1")
        y = self.norm(self.conv(y, f"{name}._project_conv"), f"{name}._bn2", relu6=False)
        source = self.tensors.get(f"{name}._expand_conv.weight", np.empty((0, 0))).shape[1]
        same = source == len(self.tensors[f"{name}._project_conv.weight"])
        return self.op("Add", x, y) if same and stride == 1 else y


def lite0_onnx(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A model from raw RGB, float32 (1, 3, height, width), to logits (1, 1000)."""
    graph = _Graph(tensors)
    x = graph.op("Div", graph.op("Sub", "image", "mean"), "scale")
    x = graph.norm(graph.conv(x, "_conv_stem", 2), "_bn0")
    for number, stride in enumerate(_STRIDES):
        x = graph.block(x, number, stride)
    x = graph.norm(graph.conv(x, "_conv_head"), "_bn1")
    x = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    weight, bias = graph.tensor("_fc.weight"), graph.tensor("_fc.bias")
    logits = graph.op("Gemm", x, weight, bias, transB=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "lite0",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, None, None))],
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, (1, 1000))],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return model.SerializeToString()
