"""`edgecnn import`: a .tflite or .onnx file of another tool in, a measured bundle out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn._version import __version__
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
from edgecnn.bundle.card import Card, GoldenFrame
from edgecnn.bundle.folder import LabTestRow, write_bundle
from edgecnn.bundle.preprocess import read_bytes, tensor_sha256
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ModelError
from edgecnn.export.foreign.label_list import read_labels
from edgecnn.export.foreign.mismatch import Examined, all_alike, explain_misreading
from edgecnn.export.imported.endings import are_shares
from edgecnn.export.imported.ends import Ends
from edgecnn.export.imported.onnx_ends import OnnxFile
from edgecnn.export.imported.onnx_weights import with_own_weights
from edgecnn.export.imported.options import ImportOptions
from edgecnn.export.imported.result import ImportResult
from edgecnn.export.imported.tflite_ends import TfliteFile
from edgecnn.export.imported.ways import SEARCHED, FedFile, LabImages, WantedPixels, find_wanted
from edgecnn.export.packing.metadata import embed_tflite_metadata, own_program
from edgecnn.export.readback.check import Checked, check_artifact
from edgecnn.export.readback.kinds import read_kind
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_writable
from edgecnn.images.dataset import load_dataset
from edgecnn.installed import check_installed
from edgecnn.model.networks.adopt import NO_SHARES, NO_SIGMOIDS, are_parts
from edgecnn.model.predict import lab_result, most_certain
from edgecnn.model.read import LabTest
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["ImportOptions", "ImportResult", "import_model"]

_GOLDEN = 4
_CUT_OFF = 0.1  # of the values of lab images: healthy calibration images leave out less
_TFLITE = {one.kind: one for one in (FLOAT32, FLOAT16, DYNAMIC_RANGE, FULL_INTEGER, INT16)}
_ONNX = {"float32": ONNX_FLOAT32, "full_integer": ONNX_FULL_INTEGER}


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
        MissingRuntimeError: A library of the lab is not installed.
        OutputError: The output place is taken, read-only or full.
    """
    file, output, options = Path(file), Path(output), options or ImportOptions()
    check_installed("importing", "onnx", "onnxruntime", "scipy")
    read = (file, Path(lab), labels, options.manifest)
    check_outside(output, [one for one in read if one is not None])
    check_writable(output, marker="SHA256SUMS")
    foreign = _open(file)
    _check_pixels(file, foreign, options)
    size_hw = _size(file, foreign, options)
    spec = InputSpec(size_hw[1], size_hw[0], options.resize, options.interpolation)
    manifest = options.manifest
    data = load_dataset(Path(lab), spec, minimum=1, manifest=manifest, progress=progress)
    _check_answers(file, foreign, size_hw)
    # One score, that of the second class, becomes two.
    names = read_labels(file, max(2, foreign.num_scores(size_hw)), data, labels)
    sigmoids = foreign.num_scores(size_hw) > 1 and foreign.leave_out_sigmoid()
    place = np.array([names.index(label) for label in data.labels], np.int32)
    seen, fed = LabImages(data, names, place[data.classes]), FedFile(file.name, foreign, size_hw)
    with quiet():
        wanted = find_wanted(fed, seen, options)
    ends, rows = wanted.ends, wanted.rows
    payload = foreign.between(ends, size_hw)
    target = _format(payload, foreign.suffix)
    if foreign.suffix == "tflite":
        payload = embed_tflite_metadata(payload, file.stem, names, spec)
    test = _lab_test(payload, target, seen, rows, options.things)
    with quiet():
        warnings = _doubts(fed, wanted, test, names, searched=options.normalize == "search")
    checked = check_artifact(payload, target, test, None, progress)
    checked = replace(checked, artifact=replace(checked.artifact, agreement=1.0))
    card = _card(file, ends, spec, names, test, checked)
    _write(output, card, checked, test, [data.files[k].path for k in rows])
    return ImportResult(
        bundle=output,
        artifact=checked.artifact,
        lab=checked.artifact.lab,
        normalize=ends.normalize,
        color=ends.color,
        notes=(*data.notes, *wanted.notes, *([NO_SIGMOIDS.format(file.name)] if sigmoids else [])),
        warnings=tuple(warnings),
    )


def _card(
    file: Path,
    ends: Ends,
    spec: InputSpec,
    names: tuple[str, ...],
    test: LabTest,
    checked: Checked,
) -> Card:
    return Card(
        name=file.stem,
        labels=names,
        input=spec,
        lab=lab_result(test.keras_scores, test.labels, test.things),
        prior=(1 / len(names),) * len(names),
        edgecnn=__version__,
        artifacts=(checked.artifact,),
        training={"imported": _origin(file, ends)},
        things=test.rule,
    )


def _origin(file: Path, ends: Ends) -> dict[str, str]:
    """What the card keeps of where the model came from."""
    return {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "normalize": ends.normalize,
        "color": ends.color,
        "ending": ends.ending,
    }


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
    if suffix == ".onnx":
        return OnnxFile(with_own_weights(data, file), file.name)
    return TfliteFile(data, file.name)


def _size(file: Path, foreign: TfliteFile | OnnxFile, options: ImportOptions) -> tuple[int, int]:
    height, width, channels = foreign.shape
    if channels not in (1, 3, None):
        raise ModelError(f"{file} takes images of {channels} channels, expected 1 or 3")
    if (channels == 1) != (options.color == "grey"):
        raise ModelError(
            f"{file} takes {channels} channels; "
            + ("add --color grey" if channels == 1 else "leave --color grey out")
        )
    fixed = [(height, options.height), (width, options.width)]
    if any(found and given not in (None, found) for found, given in fixed):
        raise ModelError(
            f"{file} takes images of {width or 'any'}x{height or 'any'} pixels and no others; "
            "leave --width and --height out"
        )
    height, width = height or options.height, width or options.width
    if not height or not width or min(height, width) < 1:
        raise ModelError(f"{file} takes images of any size; fix it with --width and --height")
    return int(height), int(width)


def _check_pixels(file: Path, foreign: TfliteFile | OnnxFile, options: ImportOptions) -> None:
    """Refuse values that the file's input can't hold."""
    if foreign.whole is None:
        return
    if foreign.whole == "int8":
        raise ModelError(
            f"{file} takes int8 without a scale and zero point, which can't hold the pixels 128 to "
            "255, expected uint8, float32 or a quantized input; convert it again"
        )
    if options.normalize not in ("search", "none"):
        raise ModelError(
            f"{file} takes {foreign.whole} without a scale and zero point, which would cut the "
            f"values of --normalize {options.normalize} to whole numbers, expected pixels as they "
            "are; leave it out"
        )


def _check_answers(file: Path, foreign: TfliteFile | OnnxFile, size_hw: tuple[int, int]) -> None:
    """Refuse a file that answers with a class instead of scores."""
    if foreign.counts and foreign.num_scores(size_hw) == 1:
        raise ModelError(
            f"{file} answers one whole number an image (that of a class, as ArgMax gives it), "
            "expected one score a class; convert it again without its last operation"
        )


def _doubts(
    fed: FedFile, wanted: WantedPixels, test: LabTest, labels: tuple[str, ...], *, searched: bool
) -> list[str]:
    """Lines on scores that are no shares, and on a file that may be fed or labelled wrongly."""
    ends, lines = wanted.ends, []
    answers = wanted.answers
    if ends.ending == "softmax" and (are_shares(answers) or are_parts(answers)):
        lines.append(NO_SHARES.format(fed.name))
    lines += _cut_off(fed, ends, test)
    # A search has tried every other way already.
    others = {**({} if searched else fed.others(ends)), **fed.swapped(ends)}
    examined = Examined(fed.name, "import", ends.options() + fed.size_text(), others)
    return lines + explain_misreading(examined, test, labels)


def _cut_off(fed: FedFile, ends: Ends, test: LabTest) -> list[str]:
    """A line on pixels that an integer input can't hold: those of its converter were others.

    Raises:
        ModelError: So that each image gets the same scores.
    """
    share = fed.cut_off(ends, test.tensors[evenly(len(test.labels), SEARCHED)])
    if fed.foreign.reach is None or share < _CUT_OFF:
        return []
    low, high, _ = fed.foreign.reach
    line = (
        f"the quantized input of {fed.name} holds values from {low:.3g} to {high:.3g}: with "
        f"{ends.options()} {100 * share:.0f} % of those of the lab images are cut off; give the "
        "--normalize of the training, or convert it again with images of its task: those that it "
        "was calibrated with were too dark or too dull"
    )
    if all_alike(test):
        raise ModelError(f"{fed.name} gives every image the same scores: {line}")
    return [line]


def _format(data: bytes, suffix: str) -> str:
    """The name of the artifact: that of edgecnn's own file of the same kind."""
    kind = read_kind(data)
    if suffix == "onnx":
        return _ONNX.get(kind, ONNX_MIXED).file
    return _TFLITE.get(kind, MIXED).file


def _lab_test(payload: bytes, file: str, lab: LabImages, rows: np.ndarray, rule: str) -> LabTest:
    """The lab test, with the file's own scores as the reference: there is no other."""
    with quiet():
        runtime = load_runtime(payload, file)
    scores = np.stack([runtime.invoke(lab.data.tensors[int(k)]) for k in rows])
    return replace(LabTest.of(lab.data, rows, scores, rule), labels=lab.truth[rows])


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
            {file: float(checked.confidence[k])},
        )
        for k in range(len(test.labels))
    ]
    report = (json.dumps({"imported": card.training["imported"]}, indent=1) + "\n").encode()
    program = own_program() if builtin else {}
    contents = {file: checked.data, **program, "quantization.json": report}
    write_bundle(output, card, contents, golden, images, rows)
