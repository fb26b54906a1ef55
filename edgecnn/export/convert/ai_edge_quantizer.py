"""ai-edge-quantizer, where it is installed: another maker of full-integer .tflite files.

Its min-max quantizes as the converter does; its OCTAV clips the weights where that lowers their
squared error (Sakr et al. 2022, arXiv:2206.06501). Its own "MSE" leaves operations in float.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from edgecnn.export.convert.recipe import refusing

__all__ = ["AEQ_METHODS", "has_aeq", "quantize_aeq"]

AEQ_METHODS = {"MinMax": "MIN_MAX_UNIFORM_QUANT", "OCTAV": "OCTAV"}


def has_aeq() -> bool:
    """Whether it is installed; edgecnn does without."""
    return find_spec("ai_edge_quantizer") is not None


def quantize_aeq(data: bytes, ranges: Mapping[str, Sequence[float]], method: str) -> bytes:
    """Quantize a float .tflite file to int8 weights and activations, int8 in and out.

    Args:
        ranges: Smallest and largest value by tensor name, instead of calibration images.
        method: One of AEQ_METHODS.

    Raises:
        ModelError: It can't quantize the network.
    """
    silent = redirect_stdout(io.StringIO())  # it reports there
    with silent, refusing("quantize with ai-edge-quantizer", "uninstall it to compare without"):
        quantizer = import_module("ai_edge_quantizer.quantizer")
        recipe = import_module("ai_edge_quantizer.recipe")
        algorithm = import_module("ai_edge_quantizer.algorithm_manager").AlgorithmName
        found = {
            name: {"min": np.float32(low), "max": np.float32(high)}
            for name, (low, high) in ranges.items()
        }
        maker = quantizer.Quantizer(
            bytearray(data), recipe.static_wi8_ai8(algorithm[AEQ_METHODS[method]])
        )
        return bytes(maker.quantize(found).quantized_model)
