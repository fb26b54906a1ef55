"""Test for `doctor`, in its own process, whether a TFLite runtime really works here.

tflite-runtime 2.14 can be imported with numpy 2 and fails only when it loads a model, so the test
runs a model of one ReLU. `python -m edgecnn.device.doctor.probe` reads {"module": NAME}.
"""

from __future__ import annotations

import base64
from importlib import import_module

import numpy as np

from edgecnn.device.machine.isolated import serve
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
    """Run a model with `module.Interpreter` and return {"works": bool, "why": str}."""
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
    serve(lambda request: probe(request["module"]))
