"""`edgecnn import`: a .tflite or .onnx file of another tool in, a measured bundle out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from edgecnn._version import __version__
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import (
    DYNAMIC_RANGE,
    FLOAT16,
    FLOAT32,
    FULL_INTEGER,
    INT16,
    MIXED,
    ONNX_FLOAT32,
    ONNX_FULL_INTEGER,
    ONNX_MIXED,
)
from edgecnn.bundle.card import Artifact, Card, GoldenFrame
from edgecnn.bundle.folder import LabTestRow, write_bundle
from edgecnn.bundle.preprocess import read_bytes, tensor_sha256
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ModelError
from edgecnn.export.foreign.label_list import read_labels
from edgecnn.export.imported.ends import Ending, Ends
from edgecnn.export.imported.onnx_ends import OnnxFile
from edgecnn.export.imported.options import ImportOptions
from edgecnn.export.imported.tflite_ends import TfliteFile
from edgecnn.export.options import Color, Normalize
from edgecnn.export.packing.metadata import embed_tflite_metadata
from edgecnn.export.readback.check import Checked, check_artifact
from edgecnn.export.readback.kinds import read_kind
from edgecnn.files.staging import check_writable
from edgecnn.images.dataset import Dataset, load_dataset
from edgecnn.model.predict import lab_result, most_certain
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Progress, Record
from edgecnn.render.next_lines import next_lines
from edgecnn.render.table import table

__all__ = ["ImportOptions", "ImportResult", "import_model"]

_SEARCHED = 120  # lab images at most that choose what pixels the file wants
_FEWEST = 10  # lab images that must remain to measure with
_GOLDEN = 4
_AS_GOOD = 0.01
_SUM_ERROR = 5e-3
_TFLITE = {
    **{one.kind: one for one in (FLOAT32, FLOAT16, DYNAMIC_RANGE, FULL_INTEGER, INT16)},
}
_ONNX = {"float32": ONNX_FLOAT32, "full_integer": ONNX_FULL_INTEGER}


@dataclass(frozen=True)
class ImportResult(Record):
    """The bundle, its one artifact, and what the file was found to want of pixels."""

    bundle: Path
    artifact: Artifact
    lab: Tally
    normalize: str
    color: str
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """The measured file, and what to do next."""
        a = self.artifact
        rows = [(a.file, a.kind, f"{a.bytes / 1000:.1f}", a.lab.text())]
        color = "" if self.color == "rgb" else f" --color {self.color}"
        return "\n".join(
            [
                table(("file", "kind", "kB", "lab accuracy"), rows),
                f"pixels: --normalize {self.normalize}{color}",
                *(f"note: {note}" for note in self.notes),
                "",
                *next_lines(
                    ("benchmark", self.bundle),
                    ("run", self.bundle, "--source", "0"),
                    wrote=self.bundle,
                ),
            ]
        )


@dataclass(frozen=True)
class _Lab:
    """The lab images as input tensors, and the place of each label among the scores."""

    data: Dataset
    labels: tuple[str, ...]
    truth: np.ndarray


def import_model(
    file: Path | str,
    labels: Path | None,
    lab: Path | str,
    output: Path | str,
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ImportResult:
    """Make a bundle of another tool's model, measured on labelled images.

    The file gets what it lacks, as operations of its own: its normalization in front, and a
    softmax behind logits. Integer inputs are met by their scale and zero point.

    Args:
        file: A .tflite or .onnx file.
        labels: A text file with one label a line, in the order of the scores; None: the class
            folders, sorted.
        lab: Labelled images that the model was not trained on.

    Raises:
        ModelError, ArtifactError: The file is damaged or no classifier of one image.
        DataError: The images can't be used.
        OutputError: The output place is taken, read-only or full.
    """
    file, output, options = Path(file), Path(output), options or ImportOptions()
    check_writable(output, marker="SHA256SUMS")
    foreign = _open(file)
    size_hw = _size(file, foreign, options)
    spec = InputSpec(size_hw[1], size_hw[0], options.resize, options.interpolation)
    manifest = options.manifest
    data = load_dataset(Path(lab), spec, minimum=1, manifest=manifest, progress=progress)
    names = read_labels(file, foreign.num_scores(size_hw), data, labels)
    place = np.array([names.index(label) for label in data.labels], np.int32)
    seen = _Lab(data, names, place[data.classes])
    with quiet():
        ends, rows, notes = _choose_ends(file, foreign, size_hw, seen, options)
    payload = foreign.between(ends, size_hw)
    target = _format(payload, foreign.suffix)
    if foreign.suffix == "tflite":
        payload = embed_tflite_metadata(payload, file.stem, names, spec)
    test = _lab_test(payload, target, seen, rows)
    checked = check_artifact(payload, target, test, None, progress)
    checked = replace(checked, artifact=replace(checked.artifact, agreement=1.0))
    origin = {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "normalize": ends.normalize,
        "color": ends.color,
        "ending": ends.ending,
    }
    card = Card(
        name=file.stem,
        labels=names,
        input=spec,
        lab=lab_result(test.keras_scores, test.labels),
        prior=(1 / len(names),) * len(names),
        edgecnn=__version__,
        artifacts=(checked.artifact,),
        training={"imported": origin},
    )
    _write(output, card, checked, test, [data.files[k].path for k in rows])
    lab_tally = checked.artifact.lab
    said = (*data.notes, *notes)
    return ImportResult(output, checked.artifact, lab_tally, ends.normalize, ends.color, said)


def _open(file: Path) -> TfliteFile | OnnxFile:
    suffix = file.suffix.lower()
    if suffix not in (".tflite", ".lite", ".onnx"):
        raise ModelError(
            f"{file} is neither a .tflite nor an .onnx file; a Keras file goes through "
            "`edgecnn export --lab`"
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read {file}: {error.strerror}; check the path") from error
    return OnnxFile(data, file.name) if suffix == ".onnx" else TfliteFile(data, file.name)


def _size(file: Path, foreign: TfliteFile | OnnxFile, options: ImportOptions) -> tuple[int, int]:
    height, width, channels = foreign.shape
    if channels not in (1, 3, None):
        raise ModelError(f"{file} takes images of {channels} channels, expected 1 or 3")
    if (channels == 1) != (options.color == "grey"):
        raise ModelError(
            f"{file} takes {channels} channels; "
            + ("add --color grey" if channels == 1 else "leave --color grey out")
        )
    height, width = height or options.height, width or options.width
    if not height or not width or min(height, width) < 1:
        raise ModelError(f"{file} takes images of any size; fix it with --width and --height")
    return int(height), int(width)


def _choose_ends(
    file: Path,
    foreign: TfliteFile | OnnxFile,
    size_hw: tuple[int, int],
    lab: _Lab,
    options: ImportOptions,
) -> tuple[Ends, np.ndarray, list[str]]:
    """What goes around the file, the images to measure with, and lines for the user.

    A search chooses on up to 120 images, at most half of all, and these are not measured with.
    """
    rows = np.arange(len(lab.data))
    if options.normalize != "search":
        ends = Ends(options.normalize, options.color)
        scores = _scores(foreign, ends, size_hw, lab.data.tensors[rows[:_SEARCHED]])
        return replace(ends, ending=_ending(file, scores)), rows, []
    count = min(_SEARCHED, len(rows) // 2)
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    rest = np.setdiff1d(rows, chosen)
    if len(rest) < _FEWEST:
        raise ModelError(
            f"{len(rows)} lab images are too few to find what {file.name} wants of pixels and to "
            "measure it; add images, or say it with --normalize"
        )
    colors: tuple[Color, ...] = ("grey",) if options.color == "grey" else ("rgb", "bgr")
    found: dict[Ends, tuple[float, np.ndarray]] = {}
    for normalize, color in product(get_args(Normalize), colors):
        ends = Ends(normalize, color)
        scores = _scores(foreign, ends, size_hw, lab.data.tensors[chosen])
        right = _top1(scores) == lab.truth[chosen]
        found[ends] = (float(right.mean()), scores)
    most = max(accuracy for accuracy, _ in found.values())
    # Of ways that are as good the plainest, which comes first.
    best = next(ends for ends, (accuracy, _) in found.items() if most - accuracy < _AS_GOOD)
    accuracy, scores = found[best]
    alike = [e.text() for e, (a, _) in found.items() if most - a < _AS_GOOD and e != best]
    notes = [
        f"{best.text()} reads {100 * accuracy:.1f} % of {len(chosen)} lab images best; they chose "
        f"it, so that accuracy is measured on the {len(rest)} others"
    ]
    if alike:
        notes.append(f"as good within a point: {', '.join(alike)}; say what the training used")
    return replace(best, ending=_ending(file, scores)), rest, notes


def _scores(
    foreign: TfliteFile | OnnxFile, ends: Ends, size_hw: tuple[int, int], tensors: np.ndarray
) -> np.ndarray:
    """The file's own answers, float32 (n, outputs), to uint8 (n, h, w, 3)."""
    runtime = load_runtime(foreign.between(ends, size_hw), f"model_float32.{foreign.suffix}")
    return np.stack([runtime.invoke(tensor) for tensor in tensors])


def _top1(scores: np.ndarray) -> np.ndarray:
    if scores.shape[1] > 1:
        return np.asarray(scores.argmax(axis=1))
    shares = bool((scores >= 0).all() and (scores <= 1 + _SUM_ERROR).all())
    return np.asarray(scores[:, 0] > (0.5 if shares else 0.0)).astype(int)


def _ending(file: Path, scores: np.ndarray) -> Ending:
    if not np.isfinite(scores).all():
        raise ModelError(f"{file} answers NaN or infinity to images; check --normalize")
    shares = bool((scores >= -_SUM_ERROR).all() and (scores <= 1 + _SUM_ERROR).all())
    if scores.shape[1] == 1:
        return "two_scores" if shares else "two_logits"
    # Integer scores miss a sum of 1 by up to half a step each.
    error = _SUM_ERROR + scores.shape[1] / 512
    return "scores" if shares and np.abs(scores.sum(axis=1) - 1).max() <= error else "softmax"


def _format(data: bytes, suffix: str) -> str:
    """The name of the artifact: that of edgecnn's own file of the same kind."""
    kind = read_kind(data)
    if suffix == "onnx":
        return _ONNX.get(kind, ONNX_MIXED).file
    return _TFLITE.get(kind, MIXED).file


def _lab_test(payload: bytes, file: str, lab: _Lab, rows: np.ndarray) -> LabTest:
    """The lab test, with the file's own scores as the reference: there is no other."""
    with quiet():
        runtime = load_runtime(payload, file)
    scores = np.stack([runtime.invoke(lab.data.tensors[int(k)]) for k in rows])
    return replace(LabTest.of(lab.data, rows, scores), labels=lab.truth[rows])


def _write(output: Path, card: Card, checked: Checked, test: LabTest, files: list[Path]) -> None:
    file = checked.artifact.file
    builtin = None
    if file.endswith(".tflite"):
        with quiet():
            builtin = load_runtime(checked.data, file, kernels="builtin")
    golden, images = [], {}
    for k, row in enumerate(most_certain(test.keras_scores, _GOLDEN)):
        name = f"{k}_lab{files[row].suffix.lower()}"
        images[name] = read_bytes(files[row])
        tensor = test.tensors[row]
        scores = {file: tuple(map(float, checked.runtime.invoke(tensor)))}
        plain = {file: tuple(map(float, builtin.invoke(tensor)))} if builtin else {}
        golden.append(GoldenFrame(name, tensor_sha256(tensor), scores, plain))
    answers = checked.top1
    rows = [
        LabTestRow(
            str(test.files[k]),
            str(test.sha256[k]),
            card.labels[test.labels[k]],
            {file: card.labels[answers[k]]},
        )
        for k in range(len(test.labels))
    ]
    report = (json.dumps({"imported": card.training["imported"]}, indent=1) + "\n").encode()
    contents = {file: checked.data, "quantization.json": report}
    write_bundle(output, card, contents, golden, images, rows)
