"""The lab's commands: data in, a bundle out. Each parses, calls one library function, returns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.app import JsonFlag, Outcome, command, progress_bars

__all__ = ["calibrate", "export", "inspect", "train"]


@command("inspect")
def inspect(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Images in one folder a class.")],
    field: Annotated[
        Path | None, typer.Option(help="Field images to compare with; labels are not needed.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV with a column of groups.")] = None,
    group: Annotated[str, typer.Option(help="Its column: device, site, day, ...")] = "device",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="An HTML page.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Status 1 when a problem is found.")
    ] = False,
    json: JsonFlag = False,
) -> Outcome:
    """What is wrong with a data set: broken files, copies, labels, groups, lab against field."""
    from edgecnn.inspect.inspect import InspectOptions, inspect

    options = InspectOptions(field, manifest, group, output, strict)
    with progress_bars() as progress:
        inspection = inspect(data, options, progress=progress)
    return inspection, 0 if inspection.ok else 1


@command("calibrate")
def calibrate(
    field: Annotated[
        list[Path],
        typer.Argument(metavar="FIELD...", help="Unlabelled field images, or SESSION folders."),
    ],
    lab: Annotated[Path, typer.Option(help="Lab images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    model: Annotated[
        Path | None, typer.Option(help="A MODEL folder: its classes and embedding are covered.")
    ] = None,
    bundle: Annotated[Path | None, typer.Option(help="A bundle that does the same.")] = None,
    count: Annotated[int, typer.Option(help="Images to pick, at most.")] = 200,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="A folder for evaluation: nothing of it is picked.")
    ] = None,
    spacing: Annotated[
        float, typer.Option(help="Seconds between two images of a folder, at least.")
    ] = 10.0,
    fit: Annotated[bool, typer.Option("--fit/--no-fit", help="Fit the field's camera.")] = True,
    seed: Annotated[int, typer.Option(help="Of the picks and the fit.")] = 0,
    json: JsonFlag = False,
) -> Outcome:
    """Pick representative field images and fit, without labels, the camera that took them."""
    from edgecnn.calibrate.calibrate import CalibrateOptions, calibrate

    excluded = tuple(exclude or ())
    options = CalibrateOptions(model, bundle, count, excluded, spacing, fit, seed)
    with progress_bars() as progress:
        return calibrate(field, lab, output, options, progress=progress), 0


@command("train")
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
    epochs: Annotated[int, typer.Option(help="At most; early stopping may end sooner.")] = 70,
    seconds: Annotated[
        float | None, typer.Option(help="Time budget; the schedule ends with it.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", show_default="64, small sets less")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Peak of the cosine schedule.")] = 3e-3,
    patience: Annotated[int, typer.Option(help="Epochs without gain before stopping.")] = 25,
    network: Annotated[
        str | None,
        typer.Option(
            help="efficientnet-lite0, mobilenet-v2 or mobilenet-v3-small (224x224 by default), or "
            "your Keras 3 model: module:function(input_shape, num_classes)."
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Of a named network: imagenet, none, or a file.")
    ] = "imagenet",
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune/--no-fine-tune",
            help="Train all of a pretrained network, or its new classifier only.",
        ),
    ] = True,
    network_width: Annotated[float, typer.Option(help="Multiplies the filters.")] = 1.0,
    dropout: Annotated[float, typer.Option(help="Before the classifier.")] = 0.1,
    l1: Annotated[float, typer.Option(help="L1 penalty of the kernels.")] = 0.0,
    l2: Annotated[float, typer.Option(help="L2 penalty of the kernels.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Decoupled (AdamW).")] = 0.01,
    label_smoothing: Annotated[float, typer.Option(help="Spoils confidence: off.")] = 0.0,
    ema: Annotated[
        float, typer.Option(help="Momentum of averaged weights, 0.995 say; 0: none.")
    ] = 0.0,
    imbalance: Annotated[
        str,
        typer.Option(
            help="For rare classes: none, class_weights, balanced_sampling, effective_number, "
            "balanced_softmax or logit_adjustment."
        ),
    ] = "none",
    imbalance_beta: Annotated[float, typer.Option(help="Of effective_number.")] = 0.999,
    imbalance_tau: Annotated[
        float, typer.Option(help="Of balanced_softmax and logit_adjustment.")
    ] = 1.0,
    synthesize: Annotated[
        str | None,
        typer.Option(
            help="Make images of this rare class (or of the rarest), and keep them only if it is "
            "then recognized better."
        ),
    ] = None,
    synthesis_steps: Annotated[int, typer.Option(help="Of the training of the generator.")] = 2000,
    augment: Annotated[str, typer.Option(help="none, light or default.")] = "default",
    label_check: Annotated[
        bool, typer.Option(help="Check that the augmentation's operations keep the label.")
    ] = True,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Operation of the augmentation to leave out: invert, say, or grey."),
    ] = None,
    add_augmentation: Annotated[
        list[str] | None,
        typer.Option(
            help="After it: perspective, augmix, randaugment, mixup, cutmix or erasing; repeatable."
        ),
    ] = None,
    camera: Annotated[
        Path | None,
        typer.Option(help="Of `calibrate` (folder or camera.json): train for the fitted camera."),
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="CSV with a column of groups.")] = None,
    group: Annotated[str, typer.Option(help="Its column: equal values share a split.")] = "device",
    by: Annotated[
        list[str] | None, typer.Option(help="Another column to tell accuracy by.")
    ] = None,
    val_share: Annotated[float, typer.Option(help="Of the images, for early stopping.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Of the images, for lab accuracy.")] = 0.2,
    near_duplicate: Annotated[
        float, typer.Option(help="Pictures of this correlation or more share a split.")
    ] = 0.97,
    burst_seconds: Annotated[
        float, typer.Option(help="So do pictures taken this close in time (by file name).")
    ] = 10.0,
    memory_mb: Annotated[
        float, typer.Option(help="Image tensors of more MiB than this lie in a temporary file.")
    ] = 1024.0,
    cache: Annotated[
        Path | None, typer.Option(help="The folder of that file.", show_default="TMPDIR")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, shuffling and split.")] = 0,
    json: JsonFlag = False,
) -> Outcome:
    """Train a regularized, augmented CNN and measure it on a test split that does not leak."""
    chosen = {k: v for k, v in locals().items() if k not in ("lab", "output", "json")}
    chosen |= {"by": tuple(by or ()), "without": tuple(without or ())}
    chosen["add_augmentation"] = tuple(add_augmentation or ())
    from edgecnn.train.train import TrainOptions, train

    with progress_bars() as progress:
        return train(lab, output, TrainOptions(**chosen), progress=progress), 0


@command("export")
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
    integer_only: Annotated[
        bool,
        typer.Option(
            "--integer-only",
            help="With --repair: no step that leaves layers in float or 16 bits, as an Edge TPU "
            "needs.",
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
    from edgecnn.export.export import ExportOptions, export

    options = ExportOptions(
        integer_io=integer_io,
        max_drop=max_drop,
        edgetpu=edgetpu,
        repair=repair,
        integer_only=integer_only,
    )
    if compare:
        from edgecnn.export.calibration.result import CompareOptions, parse_counts

        counts = parse_counts(compare_counts)
        options = replace(options, compare=CompareOptions(counts, field))
    if formats:
        options = replace(options, formats=tuple(formats.split(",")))
    from edgecnn.export.foreign.foreign import foreign_options

    about = (labels, normalize, "grey" if grey else color, width, height, resize, interpolation)
    options = replace(options, foreign=foreign_options(lab, *about, custom))
    with progress_bars() as progress:
        result = export(model, calibration, output, options, progress=progress)
    return result, 0 if result.ok else 1
