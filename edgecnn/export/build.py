"""`edgecnn export`: a MODEL folder and calibration images in, a checked bundle out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn import __version__
from edgecnn.bundle import LabTestRow, write_bundle
from edgecnn.errors import ModelError
from edgecnn.export.calibration import Calibration, load_calibration
from edgecnn.export.check import Checked, check_artifact
from edgecnn.export.golden import make_golden
from edgecnn.export.lab import LabModel, float_scores, load_lab_model
from edgecnn.export.metadata import embed_tflite_metadata
from edgecnn.export.onnx_format import (
    ONNX_FILES,
    convert_onnx,
    embed_onnx_metadata,
    onnx_texts,
    quantization_texts,
    quantize_onnx,
)
from edgecnn.export.tflite import TFLITE_FILES, convert_tflite, freeze
from edgecnn.records import Artifact, Json, Progress, Tally
from edgecnn.staging import check_writable
from edgecnn.text import table

__all__ = ["FORMATS", "ExportOptions", "ExportResult", "export"]

FORMATS = {**TFLITE_FILES, **ONNX_FILES}
_AGREE = 0.95  # below this the calibration or a kernel is wrong, whatever the accuracy says


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    formats: names of FORMATS. Of the whole set, one that the network can't be brought to is
        left out with a warning; in a choice of your own it is an error.
    integer_io: "uint8" or "int8", the input and output of the full-integer models.
    max_drop: points that an artifact may lose against the Keras model on the lab test images.
    name: the card's name; None keeps the model's.
    """

    formats: tuple[str, ...] = tuple(FORMATS)
    integer_io: str = "uint8"
    max_drop: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        unknown = [f for f in self.formats if f not in FORMATS]
        if unknown or not self.formats:
            raise ModelError(
                f"unknown format {', '.join(unknown) or 'list (empty)'}; "
                f"expected some of {', '.join(FORMATS)}"
            )
        if self.integer_io not in ("uint8", "int8"):
            raise ModelError(f"integer io is {self.integer_io!r}, expected 'uint8' or 'int8'")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ModelError(f"max drop is {self.max_drop}, expected points from 0 to 100")


@dataclass(frozen=True)
class ExportResult:
    """What was exported, and how it compares with the Keras model (`lab`)."""

    bundle: Path
    lab: Tally
    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """No artifact loses more than `max_drop` points."""
        return all(artifact.ok for artifact in self.artifacts)

    def drop(self, artifact: Artifact) -> float:
        """Points of lab accuracy that an artifact loses against the Keras model."""
        return 100 * (self.lab.correct - artifact.lab.correct) / self.lab.total

    def to_json(self) -> Json:
        """`export --json`."""
        return {
            "bundle": str(self.bundle),
            "lab": self.lab.to_json(),
            "artifacts": [
                {**a.to_json(), "drop_points": round(self.drop(a), 3)} for a in self.artifacts
            ],
            "warnings": list(self.warnings),
        }

    def to_text(self) -> str:
        """The export table, the warnings and what to do next."""
        rows = [self._row(artifact) for artifact in self.artifacts]
        headers = ("file", "kind", "kB", "lab accuracy", "95 %", "agreement", "error", "drop", "")
        lines = [f"Keras model: {self.lab.text()}", "", table(headers, rows), ""]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [
            f"wrote {self.bundle}; next:",
            f"  edgecnn evaluate {self.bundle} FOLDER_OF_LABELLED_IMAGES",
            f"  edgecnn benchmark {self.bundle}",
            f"  edgecnn run {self.bundle} --source 0",
        ]
        return "\n".join(lines)

    def _row(self, artifact: Artifact) -> tuple[str, ...]:
        low, high = artifact.lab.interval
        return (
            artifact.file,
            artifact.kind,
            f"{artifact.bytes / 1000:.1f}",
            f"{100 * (artifact.lab.accuracy or 0):.2f} %",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"{100 * artifact.agreement:.2f} %",
            f"{artifact.max_output_error:.4f}",
            f"{self.drop(artifact):+.2f}",
            "" if artifact.ok else "drop too large",
        )


def export(
    model: Path | str,
    calibration: Path | str,
    output: Path | str,
    options: ExportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ExportResult:
    """Convert a trained model to TFLite and ONNX, check every artifact, write a bundle.

    Args:
        model: The MODEL folder of `edgecnn train`.
        calibration: Representative field images; never defaulted, because the integer models
            are only as good as these.
        output: The bundle folder to write, NAME.edgecnn.
        options: Formats, integer type, gate.
        progress: Called as the work goes on.

    Returns:
        The artifacts as they are in the bundle's card. `ok` is False when one loses more than
        `options.max_drop`; the bundle is written all the same, with that artifact marked.

    Raises:
        ModelError: The MODEL folder or the network can't be used.
        CalibrationError: The calibration images would ruin the integer models.
        OutputError: The output place is taken, read-only or full.
    """
    options = options or ExportOptions()
    target = Path(output)
    check_writable(target, marker="SHA256SUMS")
    lab = load_lab_model(Path(model))
    images = _load_calibration(lab, Path(calibration), progress)
    files, warnings = _convert(lab, images, options, progress)
    checked = [
        check_artifact(data, FORMATS[name], lab.test, options.max_drop, progress)
        for name, data in files.items()
    ]
    warnings = [*images.warnings, *warnings, *_doubts(checked)]
    _write(target, lab, images, checked, options)
    artifacts = tuple(c.artifact for c in checked)
    return ExportResult(target, lab.test.tally(lab.test.keras_top1), artifacts, tuple(warnings))


def _load_calibration(lab: LabModel, folder: Path, progress: Progress | None) -> Calibration:
    def predict(tensors: np.ndarray) -> np.ndarray:
        return float_scores(lab.network, tensors)

    card = lab.card
    lab_sha256 = frozenset(map(str, lab.test.sha256))
    return load_calibration(folder, card.input, card.labels, predict, lab_sha256, progress)


def _convert(
    lab: LabModel, images: Calibration, options: ExportOptions, progress: Progress | None
) -> tuple[dict[str, bytes], list[str]]:
    """The bytes of each format, and a warning for each that could not be made."""
    makers = _makers(lab, images, options)
    files, warnings = {}, []
    for k, name in enumerate(options.formats):
        if progress:
            progress(f"converting to {name}", k, len(options.formats))
        try:
            files[name] = makers[name]()
        except ModelError as error:
            if set(options.formats) != set(FORMATS):
                raise
            warnings.append(str(error))
    if not files:
        raise ModelError(warnings[0])
    return files, warnings


def _makers(
    lab: LabModel, images: Calibration, options: ExportOptions
) -> dict[str, Callable[[], bytes]]:
    spec, labels, pinned = lab.card.input, lab.card.labels, images.pinned()
    frozen = freeze(lab.network, spec)
    texts = onnx_texts(labels, spec)
    title = options.name or lab.card.name

    def tflite(name: str) -> Callable[[], bytes]:
        def make() -> bytes:
            data = convert_tflite(frozen, name, pinned, options.integer_io)
            return embed_tflite_metadata(data, title, labels, spec)

        return make

    def onnx_float() -> bytes:
        return embed_onnx_metadata(convert_onnx(lab.network, spec), texts)

    def onnx_integer() -> bytes:
        data = convert_onnx(lab.network, spec)
        data, *infos = quantize_onnx(data, pinned, options.integer_io)
        return embed_onnx_metadata(data, {**texts, **quantization_texts(*infos)})

    return {
        **{name: tflite(name) for name in TFLITE_FILES},
        "onnx-float32": onnx_float,
        "onnx-full-integer": onnx_integer,
    }


def _doubts(checked: list[Checked]) -> list[str]:
    return [
        f"{c.artifact.file} agrees with the Keras model on only "
        f"{100 * c.artifact.agreement:.1f} % of the lab test images; look at the calibration images"
        for c in checked
        if c.artifact.agreement < _AGREE
    ]


def _write(
    target: Path,
    lab: LabModel,
    images: Calibration,
    checked: list[Checked],
    options: ExportOptions,
) -> None:
    card = replace(
        lab.card,
        name=options.name or lab.card.name,
        edgecnn=__version__,
        artifacts=tuple(c.artifact for c in checked),
        calibration=images.to_json(),
    )
    golden, golden_images = make_golden(lab.golden, images, checked, card.input)
    data = {c.artifact.file: c.data for c in checked}
    write_bundle(target, card, data, golden, golden_images, _lab_test_rows(lab, checked))


def _lab_test_rows(lab: LabModel, checked: list[Checked]) -> list[LabTestRow]:
    test, labels = lab.test, lab.card.labels
    answers = {"keras": test.keras_top1, **{c.artifact.file: c.top1 for c in checked}}
    return [
        LabTestRow(
            str(test.files[k]),
            str(test.sha256[k]),
            labels[test.labels[k]],
            {name: labels[top1[k]] for name, top1 in answers.items()},
        )
        for k in range(len(test.labels))
    ]
