"""Whether a TFLite runtime really works here: the part of `doctor` in a process of its own.

tflite-runtime 2.14 imports beside numpy 2 and fails only when a model is loaded, so a model of one
ReLU is loaded and run. `python -m edgecnn.device.doctor.probe` reads {"module": NAME}.
"""

from __future__ import annotations

import base64
import json
import sys
from importlib import import_module

import numpy as np

from edgecnn.device.machine.isolated import answer
from edgecnn.records import Json

__all__ = ["probe"]

# A TFLite flatbuffer with one RELU from a float32 tensor of shape [1] to another.
_ONE_RELU = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAAtAAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAM"
    "ABQAEAAMAAgABAAMAAAAEAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEA"
    "AAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAAIAAAAAQAAADu////BAAAAAEAAAABAAAAAAAGAAgABAAGAAAABAAA"
    "AAEAAAABAAAAAQAAABAAAAAMAAwACwAAAAAABAAMAAAAEwAAAAAAABM="
)


def probe(module: str) -> Json:
    """{"works": bool, "why": str}: whether `module.Interpreter` runs a model."""
    try:
        interpreter = import_module(module).Interpreter(model_content=_ONE_RELU)
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], np.full(1, -1, np.float32)
        )
        interpreter.invoke()
        value = float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    except SystemError:
        return {"works": False, "why": f"it is built on numpy 1 and this is numpy {np.__version__}"}
    except (ImportError, AttributeError, RuntimeError, ValueError) as error:
        return {"works": False, "why": " ".join(str(error).split())[:200]}
    return {"works": value == 0.0, "why": f"max(0, -1) came out as {value}"}


if __name__ == "__main__":
    answer(probe(json.load(sys.stdin)["module"]))
