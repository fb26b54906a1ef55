"""`edgecnn train`: train on a labelled folder and write a MODEL folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecnn._version import __version__
from edgecnn.bundle.card import Card, picture_key
from edgecnn.camera.scenes import evenly
from edgecnn.errors import EdgecnnError, ModelError, OutputError
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_room, check_writable, remove_left
from edgecnn.images.field_files import find_field
from edgecnn.installed import check_installed
from edgecnn.memory import return_free_memory
from edgecnn.model.lab_replay import replay_file
from edgecnn.model.predict import most_certain
from edgecnn.model.read import LAB_TEST_FILE, LabModel, LabTest
from edgecnn.model.write import write_model_folder
from edgecnn.quiet import load_tensorflow, quiet
from edgecnn.records import Json, Progress
from edgecnn.train.also import check_also
from edgecnn.train.assess import Measured, group_names, measure
from edgecnn.train.augmentation.simulated_field import training_note
from edgecnn.train.field_images import look_at_field
from edgecnn.train.kept_training import KeptTraining, place_of, task_key
from edgecnn.train.options import TrainOptions
from edgecnn.train.plan import make_plan
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.result import TrainResult
from edgecnn.train.task import Task, check_task, read_task, settle_augmentation
from edgecnn.train.unlearned import unlearned_classes

if TYPE_CHECKING:
    from edgecnn.train.learn import Learned
    from edgecnn.train.synthesis.gate import Made

__all__ = ["TrainOptions", "TrainResult", "train"]

_NUM_GOLDEN = 4
# Training images by which a card knows a field that holds them.
_KNOWN = 300
# Test images as tensors take at least this share of their bytes when they are compressed.
_SHRUNK = 0.05


def train(
    lab: Path | str,
    output: Path | str,
    options: TrainOptions | None = None,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train a classifier on a class-per-folder tree and write a MODEL folder (see `model/read.py`).

    Args:
        lab: Folder of class folders, or of train, val and test folders of these.
        output: An older MODEL folder is replaced.
        say: Takes lines about the plan, the probe, the time and, without `progress`, each epoch.

    With TF_CONFIG set, the processes named there train together (see cluster.py), and only the
    first one writes.

    Raises:
        DataError: The images can't be used or split.
        MissingRuntimeError: A library of the lab is not installed.
        ModelError: The options or the user's own network can't be used.
        OutputError: The place can't be written to.
        KeyboardInterrupt: Its text says what is kept for `--resume`.
    """
    options = options or TrainOptions()
    clock, reports = Clock(options.seconds), Reports(progress, say)
    lab, output = Path(lab), Path(output)
    check_installed("training", "tensorflow", "sklearn", "scipy", "matplotlib")
    cluster = check_task(options)
    writes = cluster is None or cluster.is_chief
    if writes:
        check_outside(output, [lab, *options.also, *([options.field] if options.field else [])])
        check_writable(output, marker=LAB_TEST_FILE)
        _check_kept(output, options.resume, reports)
    if options.field:
        find_field([options.field])
    check_also(options.also)
    plan = make_plan(lab, options, alone=cluster is None)
    reports.line(plan.to_text())
    task = read_task(lab, plan.options, cluster, progress)
    if options.field:
        task = replace(task, unlabelled=look_at_field(options.field, task.data.sha256))
    if writes:
        check_room(output, _SHRUNK * len(task.split.test) * prod(task.shape))
    names = group_names(task)
    load_tensorflow(progress)
    with quiet():  # TensorFlow writes to the terminal at any log level
        from edgecnn.train.learn import check_synthesis, learn, start_with_sides

    check_synthesis(task)
    task, frozen, trials, larger = start_with_sides(task, plan, reports, clock)
    # Without what the label check says: how many images it reads hangs on --epochs.
    height, width, _ = task.shape
    kept = KeptTraining(place_of(output), task_key(task), options.resume, (width, height))
    task = settle_augmentation(task)
    with _told_if_interrupted(kept, lab, output, options):
        learned = learn(task, reports, clock, frozen, kept if cluster is None else None, larger)
        quick = learned.split.scores if learned.split else None
        tuned = learned.probe is None or not learned.probe.kept
        measured = measure(learned.model, task, names, larger, quick, tuned=tuned)
        result = _result(output, task, learned, measured, clock.elapsed + kept.earlier_s)
        result = replace(result, sides=trials)
        if writes:
            _write(result, task, learned, measured)
    late = clock.overrun()
    return result if late is None else replace(result, notes=(*result.notes, late))


def _check_kept(output: Path, resume: bool, reports: Reports) -> None:
    """Say before the work what an interrupted training means for this one.

    Raises:
        ModelError: There is none to go on with.
    """
    place = place_of(output)
    remove_left(place)
    if resume and not place.is_file():
        done = ", which replaces the one there" if (output / LAB_TEST_FILE).is_file() else ""
        raise ModelError(
            f"{place} does not exist, so no training into {output} was interrupted; leave --resume "
            f"out to train a new MODEL{done}"
        )
    if place.is_file() and not resume:
        reports.line(f"{place} of an interrupted training is not used; --resume goes on with it.")


@contextmanager
def _told_if_interrupted(
    kept: KeptTraining, lab: Path, output: Path, options: TrainOptions
) -> Iterator[None]:
    """Say what an interrupted training leaves; one that ends otherwise leaves nothing."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept.hint(lab, output, options)) from None
    except OutputError as error:  # nothing is wrong with the training itself
        hint = kept.hint(lab, output, options)
        raise OutputError(f"{error}; {hint}" if hint else str(error)) from error
    except EdgecnnError:
        if kept.epoch and not kept.resume:  # of this run
            kept.discard()
        raise
    kept.discard()


def _write(result: TrainResult, task: Task, learned: Learned, measured: Measured) -> None:
    return_free_memory()  # pictures are drawn below, and training has left much of it
    data, rows = task.data, task.split.test
    model = LabModel(
        result.model,
        _card(result, task, learned, measured),
        learned.model,
        LabTest.of(data, rows, measured.scores, task.options.things),
        _golden(task, measured),
    )
    train, val = ((task.tensors(part), task.classes(part)) for part in ("train", "val"))
    replay = replay_file(learned.model, train, val, learned.split)
    files = _pictures(task, learned.made) | replay
    write_model_folder(model, learned.fit.history, files)


def _golden(task: Task, measured: Measured) -> tuple[Path, ...]:
    """Files of the images that become golden frames.

    Raises:
        OutputError: None of them is there any more.
    """
    data, rows = task.data, task.split.test
    sure = most_certain(measured.scores, _NUM_GOLDEN)
    there = [path for k in sure if (path := data.files[rows[k]].path).is_file()]
    if not there:
        raise OutputError(
            f"the images of {data.root} are gone since they were read, and some of them belong "
            "into the MODEL folder; put them back"
        )
    return tuple(there)


def _result(
    output: Path, task: Task, learned: Learned, measured: Measured, seconds: float
) -> TrainResult:
    split, cluster, fit = task.split, task.cluster, learned.fit
    counts = np.bincount(task.classes("train"), minlength=len(task.data.labels))
    camera_note = [training_note(task.camera)] if task.camera else []
    return TrainResult(
        model=output,
        lab=measured.lab.tally,
        train=measured.train,
        val=measured.val,
        seconds=round(seconds, 1),
        epochs=fit.epochs,
        best_epoch=fit.best_epoch,
        stopped_by=fit.stopped_by,
        splits=split.counts(),
        largest_group=split.groups.largest,
        near_duplicates=split.groups.near,
        skipped=task.data.skipped,
        notes=(*task.data.notes, *split.notes, *task.notes, *camera_note),
        temperature=measured.temperature,
        confidence_error=measured.confidence_error,
        reject=measured.reject,
        network=learned.network,
        probe=learned.probe,
        class_counts=dict(zip(task.data.labels, counts.tolist(), strict=True)),
        synthesis=learned.made.decision if learned.made else None,
        not_learned=unlearned_classes(measured.lab, task.data.labels),
        verdict=measured.verdict,
        label_checks=task.checks,
        breakdowns=measured.breakdowns,
        also=task.also,
        read=task.data.root,
        unlabelled=task.options.field,
        worker=cluster.to_text() if cluster and not cluster.is_chief else "",
    )


def _pictures(task: Task, made: Made | None) -> dict[str, bytes]:
    """Draw augmented training images, and synthetic ones if there are any."""
    from edgecnn.train.augmentation.pipeline import augmented_sheet, layers_of

    seed = task.options.seed
    layers = layers_of(task.options.augmentation, seed)
    images, classes = task.tensors("train"), task.classes("train")
    pictures = {"augmented.png": augmented_sheet(images, classes, task.data.labels, layers, seed)}
    if made and made.picture:
        pictures["synthetic.png"] = made.picture
    return pictures


def _card(result: TrainResult, task: Task, learned: Learned, measured: Measured) -> Card:
    from edgecnn.train.fitting.imbalance import implied_prior

    prior = implied_prior(learned.classes, len(task.data.labels), task.options)
    height, width, _ = task.shape
    return Card(
        name=result.model.name,
        labels=task.data.labels,
        input=task.options.input_spec((width, height)),
        lab=measured.lab,
        prior=tuple(map(float, prior)),
        edgecnn=__version__,
        temperature=result.temperature,
        reject=result.reject,
        training=_summary(result, task),
        camera=task.camera.to_json() if task.camera else None,
        things=task.options.things,
    )


def _pictures_of(task: Task) -> list[str]:
    """Some of the lab's training images, by which a field that holds them is known."""
    rows = task.rows("train")
    rows = rows[rows < task.lab_images]
    return [picture_key(task.data.sha256[k]) for k in rows[evenly(len(rows), _KNOWN)]]


def _summary(result: TrainResult, task: Task) -> Json:
    """Summarize the run for card.json, without paths of this machine."""
    options, split = task.options, task.split
    data = result.to_json()
    for name in ("model", "lab", "reject", "skipped"):
        del data[name]
    settings = options.to_json()
    for name in ("manifest", "camera", "field"):
        place = getattr(options, name)
        settings[name] = place.name if place else None
    settings["also"] = [place.name for place in options.also]
    if task.also is not None:
        data["also"]["pictures"] = task.also.pictures
    del settings["cache"], settings["resume"]
    settings["weights"] = Path(options.weights).name
    return {
        **data,
        "skipped": len(result.skipped),
        "pictures": _pictures_of(task),
        "groups": split.groups.count,
        "duplicates": split.groups.duplicates,
        "near_duplicate_threshold": split.groups.threshold,
        "devices": split.groups.devices,
        "options": settings,
    }
