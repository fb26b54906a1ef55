"""`train`: a labelled folder in, a MODEL folder out."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from edgecnn import __version__
from edgecnn.errors import MissingRuntimeError, ModelError
from edgecnn.images.dataset import Dataset, load_dataset, suggest_size
from edgecnn.images.groups import GroupOptions
from edgecnn.images.split import Split, split_dataset
from edgecnn.images.tensors import ChosenTensors, StoreOptions
from edgecnn.model.adopt import as_float32
from edgecnn.model.backbones import BACKBONES, SIDE, build_backbone, check_backbone
from edgecnn.model.bias import Breakdown, break_down, group_names
from edgecnn.model.cluster import Cluster, local_copy, movable, read_cluster, strategy_of
from edgecnn.model.field import FieldTensors, read_camera, training_note
from edgecnn.model.folder import MARKER, LabTest, write_model_folder
from edgecnn.model.options import TrainOptions
from edgecnn.model.quiet import quiet
from edgecnn.model.result import TrainResult
from edgecnn.model.verdict import Verdict
from edgecnn.records import Card, Json, LabResult, Progress
from edgecnn.staging import check_writable

if TYPE_CHECKING:
    import keras

    from edgecnn.camera.fitted import CameraFit
    from edgecnn.model.fit import Fit
    from edgecnn.model.synthesis import Made

__all__ = ["TrainOptions", "TrainResult", "train"]

_FIELD_SEED = 20_000  # not that of the copies which stop the training


def train(
    lab: Path | str,
    output: Path | str,
    options: TrainOptions | None = None,
    *,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier on a class-per-folder tree and write a MODEL folder.

    The folder holds model.keras, card.json, history.csv, training.png, confusion.png,
    augmented.png, lab_test.npz (tensors, labels, keras_scores, files, sha256 of the test split)
    and golden/.

    Args:
        lab: Folder of class folders, or of train, val and test folders of these.
        output: The MODEL folder; an older MODEL folder is replaced.
        options: See TrainOptions.
        progress: Called with (what, done, total).

    With TF_CONFIG set, the processes that it names train together (see cluster.py), and all but
    the first return without writing.

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
    cluster = _cluster(options)
    if cluster is None or cluster.is_chief:
        check_writable(output, marker=MARKER)
    camera = read_camera(options.camera) if options.camera else None
    data, split = _read(lab, options, progress)
    names = group_names(data, options)
    made = _synthesize(data, split, options, progress) if options.synthesize else None
    model, fit, network = _fit(data, split, options, camera, cluster, made, progress)
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
        class_counts=_class_counts(data, split),
        synthesis=made.decision if made else None,
        verdict=Verdict(labs["train"].tally, labs["test"].tally, labs["field"].tally),
        breakdowns=_break_down(data, split, names, scores),
        worker=cluster.to_text() if cluster and not cluster.is_chief else "",
    )
    if result.worker:
        return result
    card = _card(result, labs["test"], data, split, made, options)
    card = replace(card, camera=camera.to_json()) if camera else card
    pictures = {"augmented.png": _augmented(data, split, options)}
    if made and made.picture:
        pictures["synthetic.png"] = made.picture
    write_model_folder(output, model, card, fit, LabTest(data, split.test, scores), pictures)
    return result


def _augmented(data: Dataset, split: Split, options: TrainOptions) -> bytes:
    """Training images as the augmentation makes them, before any are mixed."""
    from edgecnn.model.augment import build_augmentation
    from edgecnn.model.augment_sheet import augmented_sheet

    layers = build_augmentation(options.augment, options.seed, options.without)
    images = ChosenTensors(data.tensors, split.train)
    return augmented_sheet(images, data.classes[split.train], data.labels, layers, options.seed)


def _cluster(options: TrainOptions) -> Cluster | None:
    cluster = read_cluster()
    if cluster and options.seconds is not None:
        raise ModelError(
            f"seconds is {options.seconds} and TF_CONFIG names {len(cluster.members)} workers, "
            "which would stop at different steps; expected --epochs alone"
        )
    if cluster and options.synthesize:
        raise ModelError(
            "synthesize trains a generator in one process, but TF_CONFIG names "
            f"{len(cluster.members)} workers; expected one of the two"
        )
    return cluster


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
    cluster: Cluster | None,
    made: Made | None,
    progress: Progress | None,
) -> tuple[keras.Model, Fit, Json]:
    with quiet():  # TensorFlow greets the terminal whatever its log level is
        import keras
        import tensorflow as tf

        from edgecnn.model.batches import Examples
        from edgecnn.model.fit import fit_network
        from edgecnn.model.imbalance import adjust_scores, check_adjustable
        from edgecnn.model.synthesis import join
        from edgecnn.model.transfer import fine_tune

        strategy = strategy_of(cluster)
        tf.config.list_physical_devices()

    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model, network = _network(data, options)
    check_adjustable(model, options)
    train_images, val_images = (
        Examples(ChosenTensors(data.tensors, rows), data.classes[rows])
        for rows in (split.train, split.val)
    )
    if made and made.extra:
        train_images = join(train_images, made.extra)
    if camera:
        seen = FieldTensors(train_images.tensors, camera, options.seed, options.resize)
        train_images = replace(train_images, tensors=seen)
    run = fine_tune if options.pretrained else fit_network
    model = movable(model) if cluster else model
    with strategy.scope():
        fit = run(model, train_images, val_images, options, progress)
    model = as_float32(local_copy(model) if cluster else model)
    adjust_scores(model, train_images.classes, options)
    return model, fit, network


def _synthesize(
    data: Dataset, split: Split, options: TrainOptions, progress: Progress | None
) -> Made:
    with quiet():
        import keras

        from edgecnn.model.batches import Examples
        from edgecnn.model.fit import fit_network
        from edgecnn.model.imbalance import adjust_scores, check_adjustable
        from edgecnn.model.synthesis import synthesize
        from edgecnn.model.transfer import fine_tune

    train_images, val_images = (
        Examples(ChosenTensors(data.tensors, rows), data.classes[rows])
        for rows in (split.train, split.val)
    )

    def trained(images: Examples, short: TrainOptions) -> keras.Model:
        keras.utils.set_random_seed(short.seed)
        model, _ = _network(data, short)
        check_adjustable(model, short)
        run = fine_tune if short.pretrained else fit_network
        run(model, images, val_images, short)
        model = as_float32(model)
        adjust_scores(model, images.classes, short)
        return model

    return synthesize(train_images, val_images, data.labels, options, trained, progress)


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
    """The scores of the test images; the result on each split's clean images and on the test
    images in a simulated field; and the temperature (of the validation split) with what it makes
    of the confidence on the test split."""
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
    test = ChosenTensors(data.tensors, split.test)
    field = keras_scores(model, FieldTensors(test, None, _FIELD_SEED, share=1.0))
    results["field"] = lab_result(field, data.classes[split.test])
    return scores, results, {"temperature": temperature, "error": error}


def _class_counts(data: Dataset, split: Split) -> dict[str, int]:
    counts = np.bincount(data.classes[split.train], minlength=len(data.labels))
    return dict(zip(data.labels, counts.tolist(), strict=True))


def _break_down(
    data: Dataset, split: Split, names: dict[str, list[str | None]], scores: np.ndarray
) -> tuple[Breakdown, ...]:
    classes = data.classes[split.test]
    groups = {column: [found[k] for k in split.test] for column, found in names.items()}
    return break_down([data.labels[k] for k in classes], groups, scores.argmax(axis=1) == classes)


def _card(
    result: TrainResult,
    lab: LabResult,
    data: Dataset,
    split: Split,
    made: Made | None,
    options: TrainOptions,
) -> Card:
    from edgecnn.model.imbalance import implied_prior

    classes = data.classes[split.train]
    if made and made.extra:
        classes = np.concatenate([classes, made.extra.classes])
    prior = implied_prior(classes, len(data.labels), options)
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
