"""quantization.json of a bundle: what the export found out about its integer files."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edgecnn.bundle.edgetpu.mapping import predict_edgetpu
from edgecnn.export.readback.anatomy import read_anatomy
from edgecnn.export.targets.edgetpu import Compiled
from edgecnn.records import Json

__all__ = ["QUANTIZATION_FILE", "describe_kinds", "quantization_json"]

QUANTIZATION_FILE = "quantization.json"


def describe_kinds(files: dict[str, bytes], compiled: Compiled | None = None) -> Json:
    """What each artifact really is: see `anatomy.Anatomy`; .tflite also what an Edge TPU takes.

    Args:
        files: The artifacts by name, without the compiled one.
        compiled: The Edge TPU's file, with the compiler's report.
    """
    kinds: Json = {}
    for file, data in files.items():
        kinds[file] = read_anatomy(data).to_json()
        if file.endswith(".tflite"):
            kinds[file]["edgetpu"] = predict_edgetpu(data).to_json()
    if compiled:
        entry = read_anatomy(compiled.data).to_json()
        entry["compiler"] = compiled.report.to_json()
        entry["text"] = f"{compiled.report.to_text()}; not run here: figures are {compiled.twin}'s"
        entry["twin"] = compiled.twin
        kinds[compiled.artifact.file] = entry
    return kinds


def quantization_json(
    kinds: Json,
    layers: Json | None = None,
    compare: Json | None = None,
    repair: Sequence[Json] = (),
) -> str:
    """The file's text: `kinds` and `layers` by artifact, the calibration experiment, the ladder."""
    content = {"kinds": kinds, "layers": layers or {}, "compare": compare, "repair": list(repair)}
    return json.dumps(content, indent=1) + "\n"
