"""The commands of the device: doctor, evaluate, benchmark, run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.app import (
    ArtifactOption,
    BundleArgument,
    DeviceOption,
    JsonFlag,
    Outcome,
    ThreadsOption,
    command,
    progress_bars,
)

__all__ = ["benchmark", "doctor", "evaluate", "run"]


@command("doctor")
def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="[BUNDLE]", help="Replay its golden frames too.")
    ] = None,
    device: DeviceOption = "cpu",
    json: JsonFlag = False,
) -> Outcome:
    """Check runtimes, OpenCV, cameras and delegates; with a bundle replay its golden frames."""
    from edgecnn.device.doctor.doctor import examine

    diagnosis = examine(bundle, device=device)
    return diagnosis, 0 if diagnosis.ok else 1


@command("evaluate")
def evaluate(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Images in one folder a class.")],
    artifact: ArtifactOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    json: JsonFlag = False,
) -> Outcome:
    """Accuracy on a labelled folder through the device path."""
    from edgecnn.device.evaluate import EvaluateOptions, evaluate

    options = EvaluateOptions(artifact=artifact, device=device, threads=threads)
    with progress_bars() as progress:
        return evaluate(bundle, data, options, progress=progress), 0


@command("benchmark")
def benchmark(
    bundle: BundleArgument,
    data: Annotated[
        Path | None,
        typer.Argument(metavar="[DATA]", help="Labelled images to measure accuracy on."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy against time: a .png, .svg or .pdf.")
    ] = None,
    soak: Annotated[
        float | None,
        typer.Option(
            help="Seconds that one artifact then runs without a pause: first minute against "
            "steady state, temperature, throttling."
        ),
    ] = None,
    artifact: Annotated[
        str | None,
        typer.Option("--artifact", "-a", help="Which --soak runs.", show_default="full integer"),
    ] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    json: JsonFlag = False,
) -> Outcome:
    """Accuracy, size, latency and memory of each artifact, on this machine."""
    from edgecnn.device.benchmark.benchmark import BenchmarkOptions, benchmark

    options = BenchmarkOptions(
        device=device, threads=threads, soak_seconds=soak, soak_artifact=artifact, plot=plot
    )
    with progress_bars() as progress:
        return benchmark(bundle, data, options, progress=progress), 0


@command("run")
def run(
    bundle: BundleArgument,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            "-s",
            help="Camera index, /dev/videoN, picamera2, rtsp:// or http:// URL, video file, "
            "image folder or pattern, GStreamer string.",
        ),
    ],
    truth: Annotated[
        str, typer.Option(help="folder (class = folder of the image), FILE.csv, or none.")
    ] = "none",
    log: Annotated[Path | None, typer.Option(help="SESSION folder to write.")] = None,
    artifact: ArtifactOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    color: Annotated[
        str, typer.Option(help="Channel order that the source delivers: bgr or rgb.")
    ] = "bgr",
    timeout: Annotated[float, typer.Option(help="Seconds that a source may be silent.")] = 5.0,
    window: Annotated[bool, typer.Option("--window", help="Show the frames; q stops.")] = False,
    twin_every: Annotated[
        int,
        typer.Option(help="On an Edge TPU, check every so-manieth frame on the CPU; 0 never."),
    ] = 50,
    json: JsonFlag = False,
) -> Outcome:
    """The capture loop: classify a camera's frames, live accuracy beside lab accuracy."""
    from edgecnn.device.run.panel import panel
    from edgecnn.device.run.run import RunOptions, run

    options = RunOptions(
        truth=truth,
        log=log,
        artifact=artifact,
        device=device,
        threads=threads,
        max_frames=max_frames,
        color=color,
        timeout_s=timeout,
        window=window,
        twin_every=twin_every,
    )
    with panel(sys.stderr) as on_status:
        return run(bundle, source, options, on_status=on_status), 0
