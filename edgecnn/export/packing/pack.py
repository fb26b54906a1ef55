"""Everything that a bundle holds, before it is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn._version import __version__
from edgecnn.bundle.artifacts import FLOAT32
from edgecnn.bundle.card import Card, GoldenFrame
from edgecnn.bundle.edgetpu.mapping import predict_edgetpu
from edgecnn.bundle.folder import LabTestRow, write_bundle
from edgecnn.bundle.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.bundle.runtime.load import Runtime, load_runtime
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.calibration.images import Calibration
from edgecnn.export.packing.cut_head import head_files
from edgecnn.export.packing.metadata import own_program
from edgecnn.export.packing.remember import memory_file
from edgecnn.export.readback.anatomy import read_anatomy
from edgecnn.export.readback.check import Checked, CheckedFiles
from edgecnn.export.readback.layers import LAYERS_PLOT, plot_layers
from edgecnn.export.repair.repair import Repaired
from edgecnn.export.targets.edgetpu import Compiled
from edgecnn.export.targets.targets import Targets
from edgecnn.model.predict import most_certain
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet
from edgecnn.records import Json

__all__ = ["BundleContents", "pack"]

_QUANTIZATION_FILE = "quantization.json"
_OF_EACH = 4  # golden frames from lab and field


@dataclass(frozen=True)
class BundleContents:
    """What a bundle holds. kinds: what each file really is, by file."""

    card: Card
    files: dict[str, bytes]
    golden: list[GoldenFrame]
    golden_images: dict[str, bytes]
    lab_test: list[LabTestRow]
    kinds: Json

    def write(self, target: Path) -> None:
        """Write the bundle folder, whole or not at all.

        Raises:
            OutputError: The place is taken, read-only or full.
        """
        write_bundle(target, self.card, self.files, self.golden, self.golden_images, self.lab_test)


def pack(
    lab: LabModel,
    chosen: Chosen,
    repaired: Repaired,
    checked: CheckedFiles,
    targets: Targets,
    name: str | None = None,
) -> BundleContents:
    """Put card, files, golden frames and lab test answers together.

    Args:
        name: The card's; None keeps the model's.

    Raises:
        ImageError: A golden image can't be decoded.
    """
    compiled = targets.compiled
    artifacts = tuple(one.artifact for one in checked.artifacts)
    card = replace(
        lab.card,
        name=name or lab.card.name,
        edgecnn=__version__,
        artifacts=(*artifacts, compiled.artifact) if compiled else artifacts,
        calibration=chosen.images.to_json(),
    )
    golden, golden_images = _make_golden(lab, chosen.images, checked.artifacts, compiled)
    kinds = _describe_kinds(checked.data(), compiled)
    report = {
        "kinds": kinds,
        "layers": {layers.file: layers.to_json() for layers in checked.layers},
        "compare": chosen.comparison.to_json() if chosen.comparison else None,
        "repair": [found.to_json() for found in repaired.repairs],
    }
    micro = targets.micro.files if targets.micro else {}
    files = {
        **checked.data(),
        **({compiled.artifact.file: compiled.data} if compiled else {}),
        **_adaptable(lab, checked.data()),
        **own_program(),
        **{file: text.encode() for file, text in micro.items()},
        **chosen.files(),
        **({LAYERS_PLOT: plot_layers(checked.layers)} if checked.layers else {}),
        _QUANTIZATION_FILE: (json.dumps(report, indent=1) + "\n").encode(),
    }
    rows = _lab_test_rows(lab, checked)
    return BundleContents(card, files, golden, golden_images, rows, kinds)


def _adaptable(lab: LabModel, files: dict[str, bytes]) -> dict[str, bytes]:
    """Embedding, last layer and the lab's embeddings, where there is a float32 file to cut."""
    head = head_files(files[FLOAT32.file]) if FLOAT32.file in files else {}
    return {**head, **memory_file(lab, {**files, **head})}


def _lab_test_rows(lab: LabModel, checked: CheckedFiles) -> list[LabTestRow]:
    test, labels = lab.test, lab.card.labels
    answers = {"keras": test.keras_top1}
    answers |= {one.artifact.file: one.top1 for one in checked.artifacts}
    sure = {one.artifact.file: one.confidence for one in checked.artifacts}
    return [
        LabTestRow(
            str(test.files[k]),
            str(test.sha256[k]),
            labels[test.labels[k]],
            {name: labels[top1[k]] for name, top1 in answers.items()},
            {name: float(values[k]) for name, values in sure.items()},
        )
        for k in range(len(test.labels))
    ]


def _describe_kinds(files: dict[str, bytes], compiled: Compiled | None) -> Json:
    """What each artifact really is: see `anatomy.Anatomy`; .tflite also what an Edge TPU takes."""
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


def _make_golden(
    lab: LabModel,
    calibration: Calibration,
    checked: Sequence[Checked],
    compiled: Compiled | None,
) -> tuple[list[GoldenFrame], dict[str, bytes]]:
    """Up to 4 lab and 4 calibration images, with the scores of each artifact by either kernels.

    The Keras model's own scores are among them, under the name "keras".

    Returns:
        The frames, and the encoded images by file name.
    """
    field = [calibration.files[k] for k in most_certain(calibration.scores, _OF_EACH)]
    sources = [("lab", p) for p in lab.golden[:_OF_EACH]] + [("field", p) for p in field]
    with quiet():
        builtin = {
            c.artifact.file: load_runtime(c.data, c.artifact.file, kernels="builtin")
            for c in checked
            if c.artifact.file.endswith(".tflite")
        }
    frames, images = [], {}
    for k, (origin, path) in enumerate(sources):
        name = f"{k}_{origin}{path.suffix.lower()}"
        images[name] = path.read_bytes()
        tensor = to_tensor(decode(images[name], str(path)), lab.card.input)
        scores = {c.artifact.file: _scores(c.runtime, tensor) for c in checked}
        scores["keras"] = tuple(map(float, lab.scores(tensor[None])[0]))
        plain = {file: _scores(runtime, tensor) for file, runtime in builtin.items()}
        for found in (scores, plain):
            if compiled and compiled.twin in found:  # what its twin gives is expected of it
                found[compiled.artifact.file] = found[compiled.twin]
        frames.append(GoldenFrame(name, tensor_sha256(tensor), scores, plain))
    return frames, images


def _scores(runtime: Runtime, tensor: np.ndarray) -> tuple[float, ...]:
    return tuple(float(score) for score in runtime.invoke(tensor))
