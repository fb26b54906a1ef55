"""`edgecnn export`: a model and calibration images in, a checked bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from edgecnn.export.calibration.choice import choose_calibration
from edgecnn.export.convert.makers import Makers
from edgecnn.export.foreign.foreign import load_any_model
from edgecnn.export.formats import convert_all, least_bytes
from edgecnn.export.options import DEFAULT_FORMATS, FORMATS, ExportOptions
from edgecnn.export.packing.pack import pack
from edgecnn.export.readback.check import check_files
from edgecnn.export.readback.drop import explain_drops
from edgecnn.export.readback.times import slow_files, with_times
from edgecnn.export.repair.repair import repair_files
from edgecnn.export.result import ExportResult
from edgecnn.export.targets.targets import make_targets
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_room, check_writable
from edgecnn.images.video_frames import as_folders
from edgecnn.installed import check_installed
from edgecnn.records import Progress

__all__ = ["DEFAULT_FORMATS", "FORMATS", "ExportOptions", "ExportResult", "export"]


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
            A video gives its frames. Several folders make one set; with `options.compare` the
            advised one is taken.
        output: The bundle folder to write, NAME.edgecnn.

    Returns:
        The artifacts as they are in the bundle's card. `ok` is False when one loses more than
        `options.max_drop`; the bundle is written all the same, with that artifact marked.

    Raises:
        ModelError: The MODEL folder or the network can't be used.
        CalibrationError: The calibration images would ruin the integer models.
        MissingRuntimeError: A library of the lab is not installed.
        OptionError: A step of videos and no video.
        OutputError: The output place is taken, among the images, read-only or full.
    """
    options = options or ExportOptions()
    onnx = any(name.startswith("onnx") for name in options.formats)
    more = ("onnx", "tf2onnx", "onnxruntime") if onnx else ()
    check_installed("exporting", "tensorflow", "scipy", "matplotlib", *more)
    given = [calibration] if isinstance(calibration, Path | str) else calibration
    target, folders = Path(output), [Path(one) for one in given]
    read = [folder for folder in (*folders, options.lab, options.field) if folder is not None]
    check_outside(target, read)
    check_writable(target, marker="SHA256SUMS")
    with as_folders(folders, options.video_step, "no --calibration") as folders:
        return _export(Path(model), folders, target, options, progress)


def _export(
    model: Path,
    folders: Sequence[Path],
    target: Path,
    options: ExportOptions,
    progress: Progress | None,
) -> ExportResult:
    lab = load_any_model(model, options, progress)
    check_room(target, least_bytes(lab.network.count_params(), options.artifacts))
    makers = Makers(lab.card, options.name, options.integer_io)
    chosen = choose_calibration(lab, makers, folders, options, progress)
    converted = convert_all(lab, makers, chosen, options, progress)
    repaired = repair_files(lab, makers, chosen, converted, options, progress)
    checked = check_files(lab, repaired, options.max_drop, progress)
    drops = explain_drops(lab, makers, chosen, checked, repaired=options.repair)
    checked = with_times(checked, lab.test.tensors[0])
    targets = make_targets(lab, checked, options, progress)
    contents = pack(lab, chosen, repaired, checked, targets, options.name)
    contents.write(target)

    slow = slow_files(contents.card.artifacts)
    warned = (repaired.warnings(), converted.warnings, checked.warnings, drops, slow)
    return ExportResult(
        bundle=target,
        lab=lab.test.tally(lab.test.keras_top1),
        artifacts=contents.card.artifacts,
        warnings=(*lab.notes, *chosen.images.warnings, *chain(*warned), *targets.warnings),
        micro=targets.micro,
        kinds=contents.kinds,
        comparison=chosen.comparison,
        layers=checked.layers,
        repairs=repaired.repairs,
    )
