"""The commands of the device: evaluate, benchmark, run, label and doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.app import Outcome, command, result_lines, text_lines
from edgecnn.cli.command import COMMANDS, FILES
from edgecnn.cli.config import FILE, read_config
from edgecnn.cli.progress import is_quiet, progress_bars, tell
from edgecnn.device.label.options import LabelOptions
from edgecnn.device.options import (
    BenchmarkOptions,
    DoctorOptions,
    EvaluateOptions,
    RunOptions,
)
from edgecnn.device.service.options import ServiceOptions
from edgecnn.errors import OptionError
from edgecnn.option import Option

__all__ = ["benchmark", "doctor", "evaluate", "label", "run", "service"]

_BUNDLE = typer.Argument(metavar="BUNDLE", help="A NAME.edgecnn folder or a zip file of one.")
_Bundle = Annotated[Path, _BUNDLE]


@command(
    "evaluate",
    EvaluateOptions,
    ("model.edgecnn test/", "model.edgecnn test/ --manifest test.csv --group site"),
)
def evaluate(
    bundle: _Bundle,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Images in one folder a class.")],
    options: EvaluateOptions,
) -> Outcome:
    """Measure accuracy on a labelled folder, the way the device classifies."""
    from edgecnn.device.evaluate import evaluate

    with progress_bars() as progress:
        return evaluate(bundle, data, options, progress=progress), 0


@command(
    "benchmark", BenchmarkOptions, ("model.edgecnn", "model.edgecnn test/ --plot accuracy.png")
)
def benchmark(
    bundle: _Bundle,
    options: BenchmarkOptions,
    data: Annotated[
        Path | None,
        typer.Argument(metavar="[DATA]", help="Labelled images to measure accuracy on."),
    ] = None,
) -> Outcome:
    """Measure accuracy, size, latency and memory of each artifact on this machine."""
    from edgecnn.device.benchmark.benchmark import benchmark

    with progress_bars() as progress:
        return benchmark(bundle, data, options, progress=progress), 0


@command(
    "run",
    RunOptions,
    ("model.edgecnn --source 0", "model.edgecnn --source film.mp4 --truth truth.csv --log session"),
)
def run(
    options: RunOptions,
    bundle: Annotated[Path | None, _BUNDLE] = None,
    source: Annotated[
        str | None,
        Option(
            "Camera index, /dev/videoN, picamera2, rtsp:// or http:// URL, video file, image "
            "folder or pattern, GStreamer string.",
            FILES,
            "--source/-s",
            may_be_path=True,
            metavar="SOURCE",
        ),
    ] = None,
    show_link: Annotated[
        bool, Option("Print the link to the page and its QR code again, and stop.", "Display")
    ] = False,
) -> Outcome:
    """Classify a camera's frames and show live accuracy beside lab accuracy."""
    if show_link:
        from edgecnn.device.web.door.shown_link import last_link

        return last_link(options.web), 0
    if bundle is None or source is None:
        missing = "BUNDLE" if bundle is None else "--source SOURCE"
        raise OptionError(f"{missing} is missing; see `edgecnn run --help`")
    from edgecnn.device.run.panel import panel
    from edgecnn.device.run.run import run

    with panel(None if is_quiet() else sys.stderr) as on_status:
        lines = result_lines()
        found = run(bundle, source, options, on_status=on_status, on_link=_say_link, on_line=lines)
    status = 0 if found.ok else 1
    if options.output == "jsonl" and text_lines() is not None:
        # A program reads stdout line by line, each as JSON: the text is for who looks on.
        tell(found.to_text().rstrip("\n"))
        raise typer.Exit(status)
    return found, status


def _say_link(link: str) -> None:
    from edgecnn.device.web.door.shown_link import ShownLink

    tell(ShownLink(link).to_text())


@command("label", LabelOptions, ("session/", "images/ -o labelled/ --classes cat,dog"))
def label(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SESSION_OR_FOLDER...",
            help="Folders of `edgecnn run --log` or --log-root, or one folder of images.",
        ),
    ],
    options: LabelOptions,
) -> Outcome:
    """Label recorded frames, or sort a folder of images, on a page in the browser."""
    from edgecnn.device.label.label import label

    return label(paths, options, on_link=_say_link), 0


@command(
    "service",
    ServiceOptions,
    ("install model.edgecnn --source 0", "status"),
)
def service(
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="install, uninstall, status or logs.")
    ],
    options: ServiceOptions,
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="What `install` runs: a NAME.edgecnn folder."),
    ] = None,
) -> Outcome:
    """Run the capture loop as a systemd service that starts with the board."""
    from edgecnn.device.service.service import service

    result = service(action, bundle, options, lambda path: _run_options(path, options))
    return result, 0 if result.ok else 1


def _run_options(bundle: Path, options: ServiceOptions) -> RunOptions:
    """What `run` makes of the config file that it finds when the service starts it.

    Raises:
        OptionError: It refuses the file, or options of it beside those that the unit gives.
    """
    root = options.log_root.absolute()
    # Without --config: beside the bundle, or in the working directory, which the unit sets.
    places = (bundle.absolute().parent / FILE, root / FILE)
    file = options.run_config or next((one for one in places if one.is_file()), None)
    file = None if file is None else file.absolute()  # as the service reads it
    about = COMMANDS["run"]
    values = {} if file is None else read_config(file, "run", about.options, COMMANDS)
    if values.get("show_link"):
        raise OptionError(f"{file}: [run] show-link prints the link and stops; leave it out")
    for one in about.own:
        values.pop(one.name, None)
    try:
        return RunOptions(**values | {"wait": True, "log_root": root})
    except OptionError as error:
        raise OptionError(f"{file}, beside what the service itself gives: {error}") from error


@command("doctor", DoctorOptions, ("", "model.edgecnn"))
def doctor(
    options: DoctorOptions,
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Replay the golden frames of this bundle too."),
    ] = None,
) -> Outcome:
    """Check runtimes, OpenCV, cameras and delegates, and say how to fix what is wrong."""
    from edgecnn.device.doctor.doctor import examine

    write = text_lines()
    diagnosis = examine(
        bundle,
        device=options.device,
        on_check=None if write is None else lambda check: write(check.to_text()),
    )
    return diagnosis, 0 if diagnosis.ok else 1
