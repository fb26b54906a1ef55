"""`train`: a labelled folder in, a MODEL folder out."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from edgecnn import __version__
from edgecnn.errors import MissingRuntimeError
from edgecnn.images.dataset import Dataset, load_dataset, suggest_size
from edgecnn.images.groups import GroupOptions
from edgecnn.images.split import Split, split_dataset
from edgecnn.images.tensors import ChosenTensors, StoreOptions
from edgecnn.model.adopt import as_float32
from edgecnn.model.backbones import BACKBONES, SIDE, build_backbone, check_backbone
from edgecnn.model.field import FieldTensors, read_camera, training_note
from edgecnn.model.folder import MARKER, write_model_folder
from edgecnn.model.options import TrainOptions
from edgecnn.model.quiet import quiet
from edgecnn.model.result import TrainResult
from edgecnn.records import Card, Json, LabResult, Progress
from edgecnn.staging import check_writable

if TYPE_CHECKING:
    import keras

    from edgecnn.camera.fitted import CameraFit
    from edgecnn.model.fit import Fit

__all__ = ["TrainOptions", "TrainResult", "train"]


def train(
    lab: Path | str,
    output: Path | str,
    options: TrainOptions | None = None,
    *,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier on a class-per-folder tree and write a MODEL folder.

    The folder holds model.keras, card.json, history.csv, training.png, confusion.png,
    lab_test.npz (tensors, labels, keras_scores, files, sha256 of the test split) and golden/.

    Args:
        lab: Folder of class folders, or of train, val and test folders of these.
        output: The MODEL folder; an older MODEL folder is replaced.
        options: See TrainOptions.
        progress: Called with (what, done, total).

    Raises:
        DataError: The images can't be used or split.
        ModelError: The options or the user's own network can't be used.
        OutputError: The place can't be written to.
    """
    start = monotonic()
    options = options or TrainOptions()
    lab, output = Path(lab), Path(output)
    _check_installed()
    if options.network in BACKBONES:
        side = min(options.width or SIDE, options.height or SIDE)
        check_backbone(options.network, side, options.weights)
    check_writable(output, marker=MARKER)
    camera = read_camera(options.camera) if options.camera else None
    data, split = _read(lab, options, progress)
    model, fit, network = _fit(data, split, options, camera, progress)
    scores, labs, confidence = _measure(model, data, split)
    result = TrainResult(
        model=output,
        lab=labs["test"].tally,
        train=labs["train"].tally,
        val=labs["val"].tally,
        seconds=round(monotonic() - start, 1),
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        stopped_by=fit.stopped_by,
        splits=split.counts(),
        largest_group=split.groups.largest,
        near_duplicates=split.groups.near,
        skipped=data.skipped,
        notes=(*split.notes, *([training_note(camera)] if camera else [])),
        temperature=confidence["temperature"],
        confidence_error=confidence["error"],
        network=network,
    )
    card = _card(result, labs["test"], data, split, options)
    card = replace(card, camera=camera.to_json()) if camera else card
    write_model_folder(output, model, card, fit, data, split.test, scores)
    return result


def _check_installed() -> None:
    missing = [n for n in ("tensorflow", "sklearn", "scipy", "matplotlib") if not find_spec(n)]
    if missing:
        raise MissingRuntimeError(
            f"training needs {', '.join(missing)}, which is not installed; pip install edgecnn[lab]"
        )


def _read(lab: Path, options: TrainOptions, progress: Progress | None) -> tuple[Dataset, Split]:
    if options.width and options.height:
        size_wh = (options.width, options.height)
    elif options.network in BACKBONES:
        size_wh = (SIDE, SIDE)
    else:
        size_wh = suggest_size(lab)
    store = StoreOptions(options.memory_mb, Path(options.cache) if options.cache else None)
    data = load_dataset(lab, options.input_spec(size_wh), progress=progress, store=store)
    groups = GroupOptions(
        Path(options.manifest) if options.manifest else None,
        options.group,
        options.near_duplicate,
        options.burst_seconds,
    )
    split = split_dataset(
        data,
        val_share=options.val_share,
        test_share=options.test_share,
        seed=options.seed,
        options=groups,
    )
    return data, split


def _fit(
    data: Dataset,
    split: Split,
    options: TrainOptions,
    camera: CameraFit | None,
    progress: Progress | None,
) -> tuple[keras.Model, Fit, Json]:
    with quiet():  # TensorFlow greets the terminal whatever its log level is
        import keras
        import tensorflow as tf

        from edgecnn.model.batches import Examples
        from edgecnn.model.fit import fit_network
        from edgecnn.model.imbalance import adjust_scores, check_adjustable
        from edgecnn.model.transfer import fine_tune

        tf.config.list_physical_devices()

    keras.utils.set_random_seed(options.seed)
    model, network = _network(data, options)
    check_adjustable(model, options)
    train_images, val_images = (
        Examples(ChosenTensors(data.tensors, rows), data.classes[rows])
        for rows in (split.train, split.val)
    )
    if camera:
        seen = FieldTensors(train_images.tensors, camera, options.seed, options.resize)
        train_images = replace(train_images, tensors=seen)
    run = fine_tune if options.pretrained else fit_network
    fit = run(model, train_images, val_images, options, progress)
    model = as_float32(model)
    adjust_scores(model, train_images.classes, options)
    return model, fit, network


def _network(data: Dataset, options: TrainOptions) -> tuple[keras.Model, Json]:
    """The network, and what the card says of where it and its weights come from."""
    from edgecnn.model.network import NetworkOptions, build_network, load_network

    _, height, width, channels = data.tensors.shape
    shape = (height, width, channels)
    if options.network in BACKBONES:
        num_classes = len(data.labels)
        return build_backbone(options.network, shape, num_classes, options.weights, options.dropout)
    if options.network is not None:
        model = load_network(options.network, shape, len(data.labels))
        return model, {"name": options.network, "weights": "the user's own"}
    size = NetworkOptions(options.network_width, options.dropout, options.l1, options.l2)
    return build_network(shape, len(data.labels), size), {"name": "built-in", "weights": "none"}


def _measure(
    model: keras.Model, data: Dataset, split: Split
) -> tuple[np.ndarray, dict[str, LabResult], Json]:
    """The scores of the test images, the result on each split's clean images, and the temperature
    (of the validation split) with what it makes of the confidence on the test split."""
    from edgecnn.model.predict import keras_scores, lab_result
    from edgecnn.model.temperature import confidence_error, fit_temperature

    results = {}
    temperature = 1.0
    for name, index in (("train", split.train), ("val", split.val), ("test", split.test)):
        scores = keras_scores(model, ChosenTensors(data.tensors, index))
        results[name] = lab_result(scores, data.classes[index])
        if name == "val":
            temperature = fit_temperature(scores, data.classes[index])
    error = confidence_error(scores, data.classes[split.test], temperature)
    return scores, results, {"temperature": temperature, "error": error}


def _card(
    result: TrainResult, lab: LabResult, data: Dataset, split: Split, options: TrainOptions
) -> Card:
    from edgecnn.model.imbalance import implied_prior

    prior = implied_prior(data.classes[split.train], len(data.labels), options)
    return Card(
        name=result.model.name,
        labels=data.labels,
        input=options.input_spec((data.tensors.shape[2], data.tensors.shape[1])),
        lab=lab,
        prior=tuple(map(float, prior)),
        edgecnn=__version__,
        temperature=result.temperature,
        training=_summary(result, options, split),
    )


def _summary(result: TrainResult, options: TrainOptions, split: Split) -> Json:
    """What card.json keeps of the run; paths of this machine stay out of it."""
    data = result.to_json()
    for name in ("model", "lab", "skipped"):
        del data[name]
    settings = options.to_json()
    settings["manifest"] = Path(options.manifest).name if options.manifest else None
    settings["camera"] = Path(options.camera).name if options.camera else None
    del settings["cache"]
    settings["weights"] = Path(options.weights).name
    return {
        **data,
        "skipped": len(result.skipped),
        "groups": split.groups.count,
        "duplicates": split.groups.duplicates,
        "near_duplicate_threshold": split.groups.threshold,
        "devices": split.groups.devices,
        "options": settings,
    }
