"""The commands of the lab: data in, a bundle out; then the audit and the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecnn.adapt.options import AdaptOptions, HarvestOptions
from edgecnn.audit.options import AuditOptions
from edgecnn.calibrate.options import CalibrateOptions
from edgecnn.cli.app import Outcome, command
from edgecnn.cli.command import FILES
from edgecnn.cli.progress import progress_bars, say
from edgecnn.errors import OptionError
from edgecnn.export.imported.options import ImportOptions
from edgecnn.export.options import ExportOptions
from edgecnn.inspect.options import InspectOptions
from edgecnn.option import Option
from edgecnn.train.options import TrainOptions

__all__ = [
    "adapt",
    "audit",
    "calibrate",
    "demo",
    "export",
    "harvest",
    "import_model",
    "inspect",
    "train",
]

_NewFolder = Annotated[Path, Option("The folder to write.", FILES, "--output/-o", metavar="FOLDER")]
_NewBundle = Annotated[
    Path, Option("The bundle to write.", FILES, "--output/-o", metavar="NAME.edgecnn")
]


@command("inspect", InspectOptions, ("lab/", "lab/ --field field/ -o inspection.html"))
def inspect(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Images in one folder a class.")],
    options: InspectOptions,
) -> Outcome:
    """Find what is wrong with a data set: broken files, copies, labels, groups, lab and field."""
    from edgecnn.inspect.inspect import inspect

    with progress_bars() as progress:
        inspection = inspect(data, options, progress=progress)
    return inspection, 0 if inspection.ok else 1


@command(
    "calibrate",
    CalibrateOptions,
    ("field/ --lab lab/ -o calibration/", "field/ --lab lab/ --model model/ -o calibration/"),
)
def calibrate(
    field: Annotated[
        list[Path],
        typer.Argument(
            metavar="FIELD...", help="Unlabelled field images, SESSION folders, or videos."
        ),
    ],
    lab: Annotated[Path, Option("The lab images.", FILES, metavar="FOLDER")],
    output: _NewFolder,
    options: CalibrateOptions,
) -> Outcome:
    """Pick representative field images and fit, without labels, the camera that took them."""
    from edgecnn.calibrate.calibrate import calibrate

    with progress_bars() as progress:
        return calibrate(field, lab, output, options, progress=progress), 0


@command(
    "train",
    TrainOptions,
    ("lab/ -o model/", "lab/ -o model/ --camera calibration/ --epochs 40 --resize letterbox"),
)
def train(
    lab: Annotated[Path, typer.Argument(metavar="LAB", help="Images in one folder a class.")],
    output: Annotated[
        Path, Option("The MODEL folder to write.", FILES, "--output/-o", metavar="MODEL")
    ],
    options: TrainOptions,
) -> Outcome:
    """Train a regularized, augmented CNN and measure it on a test split that does not leak."""
    from edgecnn.train.train import train

    with progress_bars() as progress:
        return train(lab, output, options, progress=progress, say=say), 0


@command(
    "export",
    ExportOptions,
    (
        "model/ --calibration calibration/ -o model.edgecnn",
        "model/ --calibration calibration/ -o model.edgecnn --formats tflite-full-integer",
        "own.keras --lab test/ --normalize unit --calibration calibration/ -o own.edgecnn",
    ),
)
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A folder of `edgecnn train`, or a Keras file of your own."
        ),
    ],
    output: _NewBundle,
    calibration: Annotated[
        list[Path],
        Option(
            "Representative field images, or a video; repeat it to join several.",
            FILES,
            metavar="FOLDER",
        ),
    ],
    options: ExportOptions,
) -> Outcome:
    """Write TFLite and ONNX artifacts, quantized on field images and checked against Keras."""
    from edgecnn.export.export import export

    with progress_bars() as progress:
        result = export(model, calibration, output, options, progress=progress)
    return result, 0 if result.ok else 1


@command(
    "import",
    ImportOptions,
    ("net.tflite --labels labels.txt --lab test/ -o net.edgecnn",),
)
def import_model(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .tflite or .onnx file of another tool.")
    ],
    output: _NewBundle,
    lab: Annotated[
        Path,
        Option("Labelled test images that the model was not trained on.", FILES, metavar="FOLDER"),
    ],
    options: ImportOptions,
    labels: Annotated[
        Path | None,
        Option(
            "A text file with one label a line, in the order of the scores.", FILES, metavar="FILE"
        ),
    ] = None,
) -> Outcome:
    """Make a measured bundle of another tool's .tflite or .onnx file."""
    from edgecnn.export.imported.import_model import import_model

    with progress_bars() as progress:
        return import_model(file, labels, lab, output, options, progress=progress), 0


@command(
    "audit",
    AuditOptions,
    ("session/ -o report.html", "session/ --lab lab/ --max-gap 5"),
)
def audit(
    sessions: Annotated[
        list[Path],
        typer.Argument(
            metavar="SESSION...", help="Folders of `edgecnn run --log`, or of --log-root."
        ),
    ],
    options: AuditOptions,
) -> Outcome:
    """Compare live accuracy with lab accuracy and say where the gap comes from."""
    from edgecnn.audit.audit import audit

    with progress_bars() as progress:
        report = audit(sessions, options, progress=progress)
    return report, 0 if report.ok else 1


@command(
    "harvest",
    HarvestOptions,
    ("session/ --model model/ -n 20 -o picked/", "field/ --bundle digits.edgecnn -o picked/"),
)
def harvest(
    field: Annotated[
        list[Path],
        typer.Argument(metavar="SESSION...", help="Folders of `edgecnn run --log`, or images."),
    ],
    output: _NewFolder,
    options: HarvestOptions,
) -> Outcome:
    """Pick the field images that are most worth a label, each in the folder of what it reads as."""
    from edgecnn.adapt.harvest import harvest

    with progress_bars() as progress:
        return harvest(field, output, options, progress=progress), 0


@command(
    "adapt",
    AdaptOptions,
    (
        "model/ --field session/ -o adapted/",
        "model/ --field field/ --live session/ -o adapted/",
        "model/ --field session/ --labels picked/images/ -o adapted/",
        "model/ --field hall/ --field yard/ --per device -o adapted/",
        "digits.edgecnn --field session/ -o adapted.edgecnn",
        "adapted.edgecnn --undo -o digits.edgecnn",
    ),
)
def adapt(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A folder of `edgecnn train` or `adapt`; or a bundle, on the device.",
        ),
    ],
    output: Annotated[
        Path, Option("The new MODEL folder or bundle.", FILES, "--output/-o", metavar="MODEL2")
    ],
    options: AdaptOptions,
    field: Annotated[
        list[Path] | None,
        Option(
            "Images of one device: a folder, or a SESSION; repeat it to join them.",
            FILES,
            metavar="PATH",
        ),
    ] = None,
    per: Annotated[
        str | None,
        Option(
            "Adapt to each --field by itself, as a device of its own: -o is the folder of what "
            "is written for each.",
            FILES,
            choices=("device",),
            shown="all are one device",
        ),
    ] = None,
    undo: Annotated[
        bool,
        Option(
            "Write the network that MODEL was adapted from, found in a folder beside it.", FILES
        ),
    ] = False,
) -> Outcome:
    """Adapt a network to one camera, without labels or with a few, where evidence supports it."""
    if undo == bool(field):
        given = "both" if undo else "neither"
        raise OptionError(f"{given} of --field and --undo given, expected one")
    if undo and per:
        raise OptionError("--per and --undo don't go together; go back for each device by itself")
    if undo:
        from edgecnn.adapt.go_back import go_back

        return go_back(model, output), 0
    from edgecnn.adapt.adapt import adapt, adapt_each

    with progress_bars() as progress:
        if per == "device":
            each = adapt_each(model, field or [], output, options, progress=progress)
            return each, 0 if each.complete else 1
        result = adapt(model, field or [], output, options, progress=progress)
    return result, 0 if result.accepted else 1


@command("demo", examples=("-o demo/",))
def demo(
    output: _NewFolder = Path("demo"),
) -> Outcome:
    """Go the whole path on data that packages ship: train, export, film, run, audit, adapt."""
    from edgecnn.demo.demo import run_demo

    with progress_bars() as progress:
        return run_demo(output, progress=progress, say=say), 0
