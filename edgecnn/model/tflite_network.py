"""A network in the TFLite runtime of the lab: Keras's answers in less than half of its time.

Keras runs each layer as an operation of its own; the converter folds batch norm into the
convolutions, and the runtime has quicker kernels. The answers agree within 1e-4.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgecnn.bundle.runtime.tflite_interpreter import open_interpreter
from edgecnn.images.tensors import Tensors
from edgecnn.memory import return_free_memory
from edgecnn.quiet import quiet

__all__ = ["TfliteNetwork", "freeze"]

_FILE = "network.tflite"
_READ = 64  # images at a time: tensors may lie in a file
_MOST = 8  # interpreters


class TfliteNetwork:
    """Answers images of any size that the network takes, on all cores.

    It keeps the weights that the network has when this is made.

    Args:
        network: A Keras model with one input, images, and one output; its sides may be open.
    """

    def __init__(self, network: Any) -> None:
        with quiet():
            import tensorflow as tf

            frozen = freeze(network, network.input_shape[1:])
            return_free_memory()
            data = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
        self._data = bytes(data)
        del frozen, data
        return_free_memory()
        self._size_hw: tuple[int, int] | None = None
        self._runs: list[_Run] = []

    def __call__(self, tensors: Tensors) -> np.ndarray:
        """The output, float32 (n, k), for n tensors, uint8 (n, height, width, 3) RGB; n > 0."""
        height, width = tensors.shape[1:3]
        if self._size_hw != (height, width):
            runs = min(_MOST, os.cpu_count() or 1)
            self._runs = [_Run(self._data, (1, height, width, 3)) for _ in range(runs)]
            self._size_hw = height, width
        parts: list[np.ndarray] = []
        with ThreadPoolExecutor(len(self._runs)) as pool:
            for start in range(0, len(tensors), _READ):
                shares = np.array_split(tensors[start : start + _READ], len(self._runs))
                parts += pool.map(lambda run, share: run(share), self._runs, shares)
        return np.concatenate(parts)


class _Run:
    """An interpreter on one core."""

    def __init__(self, data: bytes, shape: tuple[int, ...]) -> None:
        self._interpreter, _ = open_interpreter(data, _FILE, shape=shape, num_threads=1)
        (image,) = self._interpreter.get_input_details()
        (output,) = self._interpreter.get_output_details()
        self._in, self._out, self._size = image["index"], output["index"], output["shape"][1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        found = np.empty((len(images), self._size), np.float32)
        for row, one in enumerate(images):
            self._interpreter.set_tensor(self._in, one[None].astype(np.float32))
            self._interpreter.invoke()
            found[row] = self._interpreter.get_tensor(self._out)[0]
        return found


def freeze(network: Any, shape: tuple[int | None, ...]) -> Any:
    """The Keras model as a concrete function with constants for variables, batch size 1.

    Not `from_keras_model`, and not with the variables left in: with Keras 3 those lose track of
    the variables, and calibration then fails.

    Args:
        shape: (height, width, 3) of an image.
    """
    with quiet():
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        signature = tf.TensorSpec((1, *shape), tf.float32, name="image")
        function = tf.function(
            lambda image: network(image, training=False), input_signature=[signature]
        )
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        return _without_casts(frozen)


def _without_casts(frozen: Any) -> Any:
    """The same function without a cast of its pixels to another type and back.

    So a Keras `Input(dtype="uint8")` comes out. Each of these types holds pixels as they are, and
    the casts would leave a file that computes in float what lies between them.

    Returns:
        `frozen` itself where there are none.
    """
    import tensorflow as tf

    exact = (tf.uint8, tf.uint16, tf.int16, tf.int32, tf.int64, tf.float16)
    casts = [one for one in frozen.graph.get_operations() if one.type == "Cast"]
    if not any(one.outputs[0].dtype in exact for one in casts):
        return frozen  # without a copy of its weights, which the graph's definition holds
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}

    def behind(name: str) -> Any:
        node = nodes.get(name.partition(":")[0])
        return behind(node.input[0]) if node is not None and node.op == "Identity" else node

    changed = False
    for node in (one for one in graph.node if one.op == "Cast"):
        narrow = behind(node.input[0])
        if node.attr["DstT"].type != tf.float32 or node.attr["SrcT"].type not in exact:
            continue
        if narrow.op != "Cast" or behind(narrow.input[0]).op != "Placeholder":
            continue
        node.op, node.input[:] = "Identity", [narrow.input[0]]
        node.attr.clear()
        node.attr["T"].type = tf.float32.as_datatype_enum
        changed = True
    if not changed:
        return frozen
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    return wrapped.prune([t.name for t in frozen.inputs], [t.name for t in frozen.outputs])
