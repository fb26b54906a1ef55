"""`edgecnn export`: a model and calibration images in, a checked bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgecnn._version import __version__
from edgecnn.bundle.artifacts import FULL_INTEGER, HEALTHY_AGREEMENT, by_name
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import LabTestRow, write_bundle
from edgecnn.errors import ModelError
from edgecnn.export.calibration.choice import Chosen, choose_calibration
from edgecnn.export.calibration.images import Calibration
from edgecnn.export.foreign.foreign import load_any_model
from edgecnn.export.formats import convert_all
from edgecnn.export.golden import make_golden
from edgecnn.export.options import FORMATS, MICRO, ExportOptions
from edgecnn.export.quantization_report import QUANTIZATION_FILE, describe_kinds, quantization_json
from edgecnn.export.readback.check import Checked, check_artifact
from edgecnn.export.readback.layers import LayerReport
from edgecnn.export.readback.layers_plot import LAYERS_PLOT, plot_layers
from edgecnn.export.repair.ladder import RepairOptions
from edgecnn.export.repair.repair import layer_reports, repair_files
from edgecnn.export.repair.result import Repair
from edgecnn.export.result import ExportResult
from edgecnn.export.targets.edgetpu import Compiled, compile_twin
from edgecnn.export.targets.micro import Micro, make_micro
from edgecnn.export.targets.micro_model import to_int8_io
from edgecnn.files.staging import check_writable
from edgecnn.model.read import LabModel
from edgecnn.records import Json, Progress

__all__ = ["FORMATS", "ExportOptions", "ExportResult", "export"]

# The program that every bundle carries, as it stands in this package.
_PROGRAM = {
    name: (Path(__file__).parent / "packing" / name).read_text(encoding="utf-8")
    for name in ("classify.py",)
}


def export(
    model: Path | str,
    calibration: Path | str | Sequence[Path | str],
    output: Path | str,
    options: ExportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ExportResult:
    """Convert a trained model to TFLite and ONNX, check every artifact, write a bundle.

    Args:
        model: The MODEL folder of `edgecnn train`; or a .keras or .h5 file or a SavedModel folder
            of your own, with `options.lab`.
        calibration: Representative field images: the integer models are only as good as these.
            Of several folders the union; with `options.compare` the one that it advises.
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
    lab = load_any_model(Path(model), options.foreign, progress)
    given = [calibration] if isinstance(calibration, Path | str) else calibration
    folders = [Path(one) for one in given]
    chosen = choose_calibration(lab, folders, options.experiment, progress, lenient=options.repair)
    files, converting = convert_all(lab, chosen, options, progress)
    files, repairs = _repair(lab, chosen, files, options, progress)
    layers = layer_reports(lab, files, repairs, progress)
    checked = _check(lab, files, repairs, options, progress)
    warnings = [
        *lab.notes,
        *chosen.images.warnings,
        *(line for found in repairs for line in found.warnings()),
        *converting,
        *_doubts(checked),
    ]
    artifacts = list(checked.values())
    micro = _make_micro(files, lab, progress) if MICRO in options.formats else None
    compiled = _compile(artifacts, options, warnings)
    kinds = describe_kinds({c.artifact.file: c.data for c in artifacts}, compiled)
    more: dict[str, str | bytes] = {
        **_PROGRAM,
        **(micro.files if micro else {}),
        **chosen.files(),
        **({LAYERS_PLOT: plot_layers(layers)} if layers else {}),
        QUANTIZATION_FILE: _quantization(kinds, layers, chosen, repairs),
    }
    return ExportResult(
        target,
        lab.test.tally(lab.test.keras_top1),
        _write(target, lab, chosen.images, artifacts, options, more, compiled),
        tuple(warnings),
        micro,
        kinds,
        chosen.comparison,
        tuple(layers),
        tuple(repairs),
    )


def _quantization(
    kinds: Json, layers: Sequence[LayerReport], chosen: Chosen, repairs: Sequence[Repair]
) -> str:
    return quantization_json(
        kinds,
        layers={report.file: report.to_json() for report in layers},
        compare=chosen.comparison.to_json() if chosen.comparison else None,
        repair=[found.to_json() for found in repairs],
    )


def _repair(
    lab: LabModel,
    chosen: Chosen,
    files: dict[str, bytes],
    options: ExportOptions,
    progress: Progress | None,
) -> tuple[dict[str, bytes], list[Repair]]:
    if not options.repair:
        return files, []
    limits = RepairOptions(integer_only=options.integer_only)
    if options.max_drop is not None:
        limits = replace(limits, max_drop=options.max_drop)
    settings = (options.name or lab.card.name, options.integer_io, limits)
    return repair_files(lab, chosen, files, settings, progress)


def _check(
    lab: LabModel,
    files: Mapping[str, bytes],
    repairs: Sequence[Repair],
    options: ExportOptions,
    progress: Progress | None,
) -> dict[str, Checked]:
    """By format. An artifact that could not be repaired is not `ok`, whatever it loses."""
    failed = {found.file for found in repairs if not found.ok}
    checked = {}
    for name, data in files.items():
        file, temperature = by_name(name).file, lab.card.temperature
        one = check_artifact(
            data, file, lab.test, options.max_drop, progress, temperature=temperature
        )
        if file in failed:
            one = replace(one, artifact=replace(one.artifact, ok=False))
        checked[name] = one
    return checked


def _compile(
    checked: list[Checked], options: ExportOptions, warnings: list[str]
) -> Compiled | None:
    """The Edge TPU's file; where its compiler fails, the bundle is whole without it."""
    try:
        return compile_twin(checked, options.edgetpu)
    except ModelError as error:
        warnings.append(str(error))
        return None


def _make_micro(files: dict[str, bytes], lab: LabModel, progress: Progress | None) -> Micro:
    if "tflite-full-integer" not in files:
        raise ModelError(
            "micro is made of tflite-full-integer, which this network can't be brought to; leave "
            "micro out of --formats, or change the network"
        )
    data = to_int8_io(files["tflite-full-integer"])
    file = FULL_INTEGER.file.replace(".tflite", "_int8.tflite")
    return make_micro(check_artifact(data, file, lab.test, None, progress), lab.card)


def _doubts(checked: dict[str, Checked]) -> list[str]:
    """What is odd about the artifacts, by format."""
    warnings = []
    for name, result in checked.items():
        artifact = result.artifact
        expected = by_name(name).kind
        if expected is not None and artifact.kind != expected:
            warnings.append(
                f"{artifact.file} is {artifact.kind} inside, not {expected}: some operations "
                "of this network have no such version, or are too small to gain by it"
            )
        if artifact.agreement < HEALTHY_AGREEMENT:
            warnings.append(
                f"{artifact.file} agrees with the Keras model on only "
                f"{100 * artifact.agreement:.1f} % of the lab test images; look at the "
                "calibration images and at the network's largest weights"
            )
    return warnings


def _write(
    target: Path,
    lab: LabModel,
    images: Calibration,
    checked: list[Checked],
    options: ExportOptions,
    more: Mapping[str, str | bytes],
    compiled: Compiled | None,
) -> tuple[Artifact, ...]:
    """Write the bundle; its artifacts, as they are in the card."""
    artifacts = tuple(c.artifact for c in checked)
    card = replace(
        lab.card,
        name=options.name or lab.card.name,
        edgecnn=__version__,
        artifacts=(*artifacts, compiled.artifact) if compiled else artifacts,
        calibration=images.to_json(),
    )
    golden, golden_images = make_golden(lab.golden, images, checked, card.input, lab.network)
    data = {c.artifact.file: c.data for c in checked}
    if compiled:
        golden = compiled.golden(golden)
        data[compiled.artifact.file] = compiled.data
    data |= {n: t.encode() if isinstance(t, str) else t for n, t in more.items()}
    write_bundle(target, card, data, golden, golden_images, _lab_test_rows(lab, checked))
    return card.artifacts


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
