"""The edgecnn command: each function parses, calls one library function and returns its result.

Status 0: done, within tolerance. 1: done, but a gate failed. 2: the user's input or environment
is wrong (one line on stderr). With --json stdout carries one JSON object and nothing else,
whatever the libraries print.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgecnn import __version__
from edgecnn.terminal import Outcome, command, progress_bars, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Why is my Keras CNN less accurate in the field than in the lab, and what can I do?",
    epilog="The path: train -> export -> run -> audit. Start with `edgecnn demo`.",
)


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A NAME.edgecnn folder or a zip of one.")
]
ArtifactOption = Annotated[
    str | None,
    typer.Option(
        "--artifact", "-a", help="File name or kind in the bundle.", show_default="full integer"
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, or a delegate library.")
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, max=64, help="Interpreter threads.")
]


def main() -> None:
    """Entry point of the `edgecnn` command."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edgecnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    del version


@command(app, "doctor")
def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="[BUNDLE]", help="Replay its golden frames too.")
    ] = None,
    parity: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES", help="Compare every file, runtime and thread count on these too."
        ),
    ] = None,
    device: DeviceOption = "cpu",
    json: JsonFlag = False,
) -> Outcome:
    """Check runtimes, OpenCV, cameras and delegates; with a bundle replay its golden frames."""
    from edgecnn.device.doctor import examine

    with progress_bars() as progress:
        diagnosis = examine(bundle, parity, device=device, progress=progress)
    return diagnosis, 0 if diagnosis.ok else 1


@command(app, "train")
def train(
    lab: Annotated[Path, typer.Argument(metavar="LAB", help="Images in one folder a class.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The MODEL folder to write.")],
    width: Annotated[
        int | None, typer.Option(help="Input width; from the images by default.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="Input height.")] = None,
    resize: Annotated[str, typer.Option(help="stretch, letterbox or center_crop.")] = "stretch",
    interpolation: Annotated[
        str, typer.Option(help="halving, linear, area, cubic or nearest.")
    ] = "halving",
    epochs: Annotated[int, typer.Option(help="At most; early stopping may end sooner.")] = 30,
    seconds: Annotated[
        float | None, typer.Option(help="Time budget; the schedule ends with it.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", show_default="64, small sets less")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 3e-3,
    patience: Annotated[int, typer.Option(help="Epochs without gain before stopping.")] = 12,
    network: Annotated[
        str | None,
        typer.Option(help="Your Keras 3 model: module:function(input_shape, num_classes)."),
    ] = None,
    network_width: Annotated[float, typer.Option(help="Multiplies the filters.")] = 1.0,
    dropout: Annotated[float, typer.Option(help="Before the classifier.")] = 0.3,
    l1: Annotated[float, typer.Option(help="L1 penalty of the kernels.")] = 0.0,
    l2: Annotated[float, typer.Option(help="L2 penalty of the kernels.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Decoupled (AdamW).")] = 0.01,
    label_smoothing: Annotated[float, typer.Option(help="Spoils confidence: off.")] = 0.0,
    imbalance: Annotated[
        str, typer.Option(help="none, class_weights or balanced_sampling.")
    ] = "none",
    augment: Annotated[str, typer.Option(help="none, light or default.")] = "default",
    manifest: Annotated[Path | None, typer.Option(help="CSV with a column of groups.")] = None,
    group: Annotated[str, typer.Option(help="Its column: equal values share a split.")] = "device",
    val_share: Annotated[float, typer.Option(help="Of the images, for early stopping.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Of the images, for lab accuracy.")] = 0.2,
    near_duplicate: Annotated[
        float, typer.Option(help="Pictures of this correlation or more share a split.")
    ] = 0.97,
    burst_seconds: Annotated[
        float, typer.Option(help="So do pictures taken this close in time (by file name).")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Of weights, shuffling and split.")] = 0,
    json: JsonFlag = False,
) -> Outcome:
    """Train a regularized, augmented CNN and measure it on a test split that does not leak."""
    chosen = {k: v for k, v in locals().items() if k not in ("lab", "output", "json")}
    from edgecnn.model.train import TrainOptions, train

    with progress_bars() as progress:
        return train(lab, output, TrainOptions(**chosen), progress=progress), 0


@command(app, "export")
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A folder of `edgecnn train`; or with --lab a .keras, .h5 or SavedModel.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle: NAME.edgecnn.")],
    calibration: Annotated[
        list[Path],
        typer.Option(
            help="Representative FIELD images (a folder); nothing is taken by default. "
            "Given several times: the union."
        ),
    ],
    formats: Annotated[
        str | None,
        typer.Option(
            help="Some of tflite-float32, tflite-float16, tflite-dynamic-range, "
            "tflite-full-integer, tflite-int16, onnx-float32, onnx-full-integer; all by default. "
            "And micro, a C array for TFLite Micro."
        ),
    ] = None,
    integer_io: Annotated[
        str, typer.Option(help="Full integer input and output: uint8 or int8.")
    ] = "uint8",
    max_drop: Annotated[
        float | None,
        typer.Option(help="Status 1 when an artifact loses more points of lab accuracy."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Try each calibration set and their union, and take the best."
        ),
    ] = False,
    field: Annotated[
        Path | None,
        typer.Option(
            help="Unlabelled field images that --compare judges by; else some of each set."
        ),
    ] = None,
    compare_counts: Annotated[
        str, typer.Option(help="Numbers of images that --compare tries.")
    ] = "50,100,200,500",
    edgetpu: Annotated[
        str, typer.Option(help="auto runs edgetpu_compiler if it is on PATH; or off.")
    ] = "auto",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend integer files, and calibration sets that would be refused; says how.",
        ),
    ] = False,
    lab: Annotated[
        Path | None,
        typer.Option(
            help="For a Keras file of your own: labelled images, one folder a class, that it was "
            "not trained on. The options below go with it."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="One label a line, in the order of the scores.", show_default="sorted"),
    ] = None,
    normalize: Annotated[
        str, typer.Option(help="What it wants: none, unit, minus_one_one, imagenet or caffe.")
    ] = "none",
    color: Annotated[str, typer.Option(help="Its channel order: rgb or bgr.")] = "rgb",
    grey: Annotated[bool, typer.Option("--grey", help="It takes one grey channel.")] = False,
    width: Annotated[int | None, typer.Option(help="Input width, if it leaves it open.")] = None,
    height: Annotated[int | None, typer.Option(help="Input height, if it leaves it open.")] = None,
    resize: Annotated[str, typer.Option(help="stretch, letterbox or center_crop.")] = "stretch",
    interpolation: Annotated[
        str, typer.Option(help="halving, linear, area, cubic or nearest.")
    ] = "halving",
    custom: Annotated[
        str | None, typer.Option(help="The module that defines its own layers.")
    ] = None,
    json: JsonFlag = False,
) -> Outcome:
    """Write TFLite and ONNX artifacts, quantized on field images and checked against Keras."""
    from edgecnn.export.build import ExportOptions, export

    options = ExportOptions(
        integer_io=integer_io, max_drop=max_drop, edgetpu=edgetpu, repair=repair
    )
    if compare:
        from edgecnn.export.compare_result import CompareOptions, parse_counts

        counts = parse_counts(compare_counts)
        options = replace(options, compare=CompareOptions(counts, field))
    if formats:
        options = replace(options, formats=tuple(formats.split(",")))
    from edgecnn.export.foreign import foreign_options

    about = (labels, normalize, "grey" if grey else color, width, height, resize, interpolation)
    options = replace(options, foreign=foreign_options(lab, *about, custom))
    with progress_bars() as progress:
        result = export(model, calibration, output, options, progress=progress)
    return result, 0 if result.ok else 1


@command(app, "evaluate")
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


@command(app, "benchmark")
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
    from edgecnn.device.benchmark import BenchmarkOptions, benchmark

    options = BenchmarkOptions(
        device=device, threads=threads, soak_seconds=soak, soak_artifact=artifact, plot=plot
    )
    with progress_bars() as progress:
        return benchmark(bundle, data, options, progress=progress), 0


@command(app, "run")
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
    from edgecnn.device.loop import RunOptions, run
    from edgecnn.device.panel import panel

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


@command(app, "audit")
def audit(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION...", help="Folders of `edgecnn run --log`.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle that ran; as the session names it by default.")
    ] = None,
    lab: Annotated[
        Path | None,
        typer.Option(help="Lab images, or the SESSION of a run over them on the device itself."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="An HTML report.")] = None,
    max_gap: Annotated[
        float | None, typer.Option(help="Status 1 when the gap is wider, in points.")
    ] = None,
    json: JsonFlag = False,
) -> Outcome:
    """Live accuracy against lab accuracy, and the gap split into causes, in points."""
    from edgecnn.audit.compare import AuditOptions, audit

    options = AuditOptions(bundle=bundle, lab=lab, report=output, max_gap=max_gap)
    with progress_bars() as progress:
        report = audit(sessions, options, progress=progress)
    return report, 0 if report.ok else 1


@command(app, "demo")
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the files go.")] = Path(
        "demo"
    ),
    json: JsonFlag = False,
) -> Outcome:
    """The whole path on data that packages ship: train, export, film, run, audit."""
    from edgecnn.demo import run_demo

    with progress_bars() as progress:
        return run_demo(output, progress=progress, say=say), 0
