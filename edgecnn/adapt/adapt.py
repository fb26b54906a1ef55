"""`edgecnn adapt`: from unlabelled field images, or a few labels, to a better network.

`adapt_each` makes one for each of several devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import join

import numpy as np

from edgecnn.accuracy.confidence import calibrated_scores
from edgecnn.adapt.data import (
    FieldSet,
    labels_of,
    live_before,
    read_field,
    recorded_views,
    sessions_of,
)
from edgecnn.adapt.exchanged_labels import exchanged_labels
from edgecnn.adapt.gate import AdaptStep, doubt, nothing_new, refusal, worse_classes
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.parent_bundle import ParentBundle
from edgecnn.adapt.parent_model import ParentModel
from edgecnn.adapt.result import AdaptEachResult, AdaptResult
from edgecnn.adapt.steps.all_layers import try_all_layers
from edgecnn.adapt.steps.batch_norm import try_batch_norm
from edgecnn.adapt.steps.refit_last_layer import try_last_layer
from edgecnn.adapt.steps.surest_margins import try_framing
from edgecnn.adapt.student import Student
from edgecnn.bundle.card import CARD_FILE, Card
from edgecnn.bundle.folder import is_bundle
from edgecnn.errors import DataError, ModelError, OptionError, SessionError, listed
from edgecnn.export.foreign.keras_file import is_keras_file
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_writable
from edgecnn.images.field_files import find_field
from edgecnn.installed import check_installed
from edgecnn.quiet import load_tensorflow, quiet
from edgecnn.records import Progress
from edgecnn.session.layout import is_session
from edgecnn.session.read import Session
from edgecnn.session.reading.devices import of_each_device
from edgecnn.words import number

__all__ = ["AdaptEachResult", "AdaptOptions", "AdaptResult", "adapt", "adapt_each"]

_NEWEST = 100  # frames of --live
_UNCHECKED = (
    "Whether the images are of the device that will run the bundle is not checked: "
    "name a session of it with --live."
)
_UNCHECKED_EACH = (
    "Whether the images of a folder are of the device that will run the bundle is not checked: "
    "give a session of each device as --field."
)


def adapt(
    model: Path | str,
    field: Sequence[Path | str] | Path | str,
    output: Path | str,
    options: AdaptOptions | None = None,
    *,
    progress: Progress | None = None,
) -> AdaptResult:
    """Adapt a network to one camera; a step that the evidence does not support is undone.

    Of the lab test only the files' digests are read before all steps are decided: it is for the
    report. Field images that are in it or that the network was trained on are left out.

    Args:
        model: MODEL folder of `edgecnn train` or of an earlier `adapt`; or a bundle, whose last
            layer alone is adapted, without TensorFlow.
        field: Image folders or SESSION folders of one device; or a folder of its SESSIONs.
        output: The new MODEL folder or bundle; not written when no step is accepted.

    Raises:
        DataError: The field images or the labels can't be used.
        ModelError: The MODEL folder can't be used, or ends in no layer that can be adapted.
        BundleError: The bundle can't be used, or was exported without what adapting needs.
        MissingRuntimeError: A MODEL folder is given, and TensorFlow is not installed.
        OutputError: The output place is taken, read-only or full.
    """
    roots = [Path(field)] if isinstance(field, str | Path) else [Path(root) for root in field]
    return _adapt(Path(model), roots, Path(output), options or AdaptOptions(), progress)


def adapt_each(
    model: Path | str,
    fields: Sequence[Path | str],
    output: Path | str,
    options: AdaptOptions | None = None,
    *,
    progress: Progress | None = None,
) -> AdaptEachResult:
    """Adapt a network to several devices, to each by itself.

    A device with no accepted step, or whose images can't be used, gets no network; the others get
    theirs. A label counts for the device whose images hold the same file.

    Args:
        model: As for `adapt`.
        fields: The image folder or SESSION of each device; its name is the device's.
        output: The folder that will hold a MODEL folder or bundle for each device.

    Raises:
        OptionError: Two devices have one name, or `options.live` is given.
        EdgecnnError: As for `adapt`.
    """
    options = options or AdaptOptions()
    model, output = Path(model), Path(output)
    if options.live is not None:
        raise OptionError(
            f"--live {options.live} is of one device; leave it out, and give each device's own "
            "session as --field"
        )
    devices = _named(fields)
    places = _places(model, output, devices)
    older = {name: place for name, place in places.items() if (place / CARD_FILE).exists()}
    found: dict[str, AdaptResult] = {}
    for name, root in devices.items():

        def said(what: str, done: int, total: int, name: str = name) -> None:
            if progress:
                progress(f"{what} of {name}", done, total)

        one = _adapt(model, [root], places[name], options, said, one_of_several=True)
        if options.labels and not one.labelled:
            one = replace(one, notes=(*one.notes, f"{name}: no label is of one of its images"))
        if len(devices) == 1 and not is_session(root) and any(p.is_dir() for p in root.iterdir()):
            alone = f"{root} and the folders in it count as one device; each --field is one"
            one = replace(one, notes=(*one.notes, alone))
        found[name] = one
    older = {name: place for name, place in older.items() if not found[name].accepted}
    return AdaptEachResult(model, output, found, older)


def _named(fields: Sequence[Path | str]) -> dict[str, Path]:
    """The folder of each device by its name; all of them are there."""
    named: dict[str, Path] = {}
    for root in map(Path, fields):
        name = root.resolve().name
        if name in named:
            raise OptionError(
                f"two devices are called {name!r} ({named[name]} and {root}), expected folders of "
                "different names; rename one"
            )
        find_field([root])
        named[name] = root
    return named


def _places(model: Path, output: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where each device's network goes; all of them can be written to."""
    if any((output / kind.marker).exists() for kind in (ParentBundle, ParentModel)):
        raise OptionError(
            f"{output} is a network itself, expected a folder for those of all devices; choose "
            "another -o"
        )
    suffix, kind = (".edgecnn", ParentBundle) if is_bundle(model) else ("", ParentModel)
    places = {name: output / f"{name}{suffix}" for name in names}
    for place in places.values():
        check_writable(place, marker=kind.marker)
    return places


def _adapt(
    model: Path,
    roots: Sequence[Path],
    output: Path,
    options: AdaptOptions,
    progress: Progress | None,
    *,
    one_of_several: bool = False,
) -> AdaptResult:
    """Adapt to the images of these folders.

    Args:
        one_of_several: Of --labels take those of these images alone, and no other images.
    """
    check_outside(output, [*roots, *options.labels])
    parent = _open_parent(model, output, progress)
    card = parent.card
    given = labels_of(options.labels, card, options.manifest) if options.labels else None
    if given is not None and one_of_several:
        given = replace(given, roots=())
    try:
        images = read_field(roots, card, given, progress).without(parent.lab_test)
        images = images.untrained(card.trained_pictures, parent.lab_tensors)
    except (DataError, SessionError) as error:
        if not one_of_several:
            raise
        return AdaptResult(None, model, 0, 0, 0, (), refusal=str(error))
    live, sessions = _live(options, card), sessions_of(roots)
    checked = live is not None or bool(sessions)
    note = "" if checked else (_UNCHECKED_EACH if one_of_several else _UNCHECKED)
    with quiet():
        student = Student(
            parent.split, parent.replay, images, options, card.is_from_scratch, card.adapting_loss
        )
        scores = student.scores
        sure = calibrated_scores(scores, card.temperature)
        notes = tuple(filter(None, (doubt(sure, images), note, _joined(sessions))))
        why = nothing_new(images, card.learned_pictures) or refusal(scores, images, live)
        why = why or exchanged_labels(images.labels, scores, card.labels)
        if why:
            return _result(model, images, (), notes, why)
        steps = _take_steps(student, progress)
    result = replace(
        _result(model, images, steps, (*notes, *worse_classes(steps, card.labels))),
        teacher=student.teacher.name if student.teacher else None,
        suspects=_suspects(student, card),
        val=student.lab,
        live_before=live_before(sessions, card),
    )
    if not any(step.accepted for step in steps):
        return result
    views = recorded_views([*sessions, *sessions_of(given.roots if given else ())])
    if any(views):
        whose = f"{roots[0].resolve().name}: " if one_of_several else ""
        view = views[0] if len(views) == 1 else ()
        result = replace(result, notes=(*result.notes, whose + _seen(views)), run_with=view)
    return parent.write(result, output, student)


def _open_parent(
    model: Path, output: Path, progress: Progress | None
) -> ParentBundle | ParentModel:
    """What is adapted, once it is known that the new one can be written beside it."""
    if not model.exists():
        raise ModelError(
            f"{model} does not exist, expected a MODEL folder of `edgecnn train`, or a bundle"
        )
    kind = ParentBundle if is_bundle(model) else ParentModel
    if kind is ParentModel and is_keras_file(model):
        raise ModelError(
            f"{model} is no MODEL folder and no bundle; of a Keras model `edgecnn export` with "
            "--lab makes a bundle that can be adapted"
        )
    check_writable(output, marker=kind.marker)
    if output.resolve() == model.resolve():
        raise ModelError(
            f"{output} is the model that would be adapted; choose another -o, so that the old "
            "one stays"
        )
    if kind is ParentModel and model.is_dir():
        check_installed("adapting a MODEL folder", "tensorflow")
        load_tensorflow(progress)
    return kind(model)


def _take_steps(student: Student, progress: Progress | None) -> tuple[AdaptStep, ...]:
    """Try every step that the options ask for."""
    steps = [try_framing(student), try_batch_norm(student), try_last_layer(student, progress)]
    if student.options.all_layers:
        steps.append(try_all_layers(student, progress))
        if steps[-1].accepted and not len(student.images.labelled):  # the teacher knows more now
            steps.append(replace(try_last_layer(student, progress), name="last layer again"))
    return tuple(steps)


def _live(options: AdaptOptions, card: Card) -> FieldSet | None:
    """The newest frames of the session that the field set is compared with."""
    if options.live is None:
        return None
    images = read_field([options.live], card)
    return (images.sample if len(images.sample) else images).newest(_NEWEST)


def _joined(sessions: Sequence[Session]) -> str:
    """That sessions of several devices are taken for those of one; empty where they are of one."""
    names = list(of_each_device(sessions))
    if len(names) < 2:
        return ""
    return (
        f"the sessions are of {len(names)} devices ({listed(names)}), and are taken for those of "
        "one; --per device adapts to each --field by itself"
    )


def _seen(views: Sequence[tuple[str, ...]]) -> str:
    """What the sessions' views ask of who runs the new bundle.

    Args:
        views: See `recorded_views`.
    """
    shown = "; ".join(join(words) or "whole frames" for words in views)
    if len(views) > 1:
        return (
            f"recorded with unlike views ({shown}), and adapted to all of them: run the new bundle "
            "with one of these"
        )
    return (
        f"recorded with {shown}: run the new bundle with the same, else it sees other pictures "
        "than those that it was adapted to"
    )


def _suspects(student: Student, card: Card) -> tuple[tuple[str, str, str], ...]:
    if student.teacher is None:
        return ()
    read = student.teacher.scores.argmax(axis=1)
    images, labels = student.images, card.labels
    return tuple(
        (str(images.files[k].path), labels[images.labels[k]], labels[read[k]])
        for k in student.suspects
    )


def _result(
    model: Path,
    images: FieldSet,
    steps: tuple[AdaptStep, ...],
    notes: tuple[str, ...],
    why: str = "",
) -> AdaptResult:
    found = [f"{number(images.broken, 'file')} that can't be read"] if images.broken else []
    if images.repeated:
        found.append(f"{number(images.repeated, 'file')} there twice")
    return AdaptResult(
        model=None,
        parent=model,
        images=len(images),
        labelled=len(images.labelled),
        groups=len(np.unique(images.groups)),
        steps=steps,
        refusal=why,
        notes=(*found, *notes),
        passed_over=images.passed_over,
        hard=int(images.hard.sum()),
    )
