"""An ONNX network of a few operations that tells the strongest channel of a picture."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def strongest_channel(
    side: int,
    *,
    gain: float,
    middle: float,
    low: float,
    first: bool = False,
    bgr: bool = False,
) -> bytes:
    """The logits of blue, green and red are (mean - middle) * gain, from low to -low.

    Args:
        first: Channels come first, as in PyTorch.
        bgr: The network takes B, G, R.
    """
    eye = np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3] if first else [1, 2], keepdims=0),
        helper.make_node("Sub", ["m", "middle"], ["d"]),
        helper.make_node("Mul", ["d", "gain"], ["g"]),
        helper.make_node("Clip", ["g", "low", "high"], ["c"]),
        helper.make_node("MatMul", ["c", "order"], ["y"]),
    ]
    constants = {
        "middle": np.float32(middle),
        "gain": np.float32(gain),
        "low": np.float32(low),
        "high": np.float32(-low),
        "order": eye if bgr else eye[::-1].copy(),
    }
    image = [None, 3, side, side] if first else [None, side, side, 3]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
