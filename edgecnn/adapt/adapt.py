"""`edgecnn adapt`: from unlabelled field images, or a few labels, to a better MODEL folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn._version import __version__
from edgecnn.accuracy.confidence import fit_temperature
from edgecnn.adapt.data import FieldSet, check_session, labels_of, read_field
from edgecnn.adapt.gate import AdaptStep, refusal
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.proposals import Student
from edgecnn.adapt.result import AdaptResult
from edgecnn.adapt.union import CALIBRATION_FOLDER, calibration_files
from edgecnn.bundle.card import CARD_FILE, Card
from edgecnn.errors import ModelError
from edgecnn.files.staging import check_writable
from edgecnn.model.embedding import split_network
from edgecnn.model.lab_replay import REPLAY_FILE, read_replay
from edgecnn.model.predict import lab_result
from edgecnn.model.read import load_lab_model, load_model
from edgecnn.model.write import write_adapted_folder
from edgecnn.quiet import quiet
from edgecnn.records import Json, Progress
from edgecnn.session.layout import is_session

__all__ = ["AdaptOptions", "AdaptResult", "adapt"]

_NEWEST = 100  # frames of --live
_UNCHECKED = (
    "Whether the images are of the device that will run the bundle is not checked: name a session "
    "of it with --live."
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

    The lab test is not opened before all steps are decided: it is for the report.

    Args:
        model: MODEL folder of `edgecnn train` or of an earlier `adapt`.
        field: Image folders or SESSION folders of one device.
        output: The new MODEL folder; not written when no step is accepted.

    Raises:
        DataError: The field images or the labels can't be used.
        ModelError: The MODEL folder can't be used, or ends in no layer that can be adapted.
        OutputError: The output place is taken, read-only or full.
    """
    options = options or AdaptOptions()
    model, output = Path(model), Path(output)
    roots = [Path(field)] if isinstance(field, str | Path) else [Path(root) for root in field]
    check_writable(output, marker=CARD_FILE)
    if output.resolve() == model.resolve():
        raise ModelError(
            f"{output} is the model that would be adapted; choose another -o, so that the old "
            "one stays"
        )
    with quiet():
        network, card = load_model(model)
        split = split_network(network)
    replay = read_replay(model, card)
    labels = labels_of(options.labels, card) if options.labels else {}
    images = read_field([*options.labels, *roots], card, labels, progress)
    live = _live(options, card)
    note = "" if live or any(is_session(root) for root in roots) else _UNCHECKED
    with quiet():
        student = Student(split, replay, images, options, _is_from_scratch(card))
        why = refusal(student.scores, images, live)
        if why:
            return _result(model, images, (), note, why)
        steps = (student.try_batch_norm(), student.try_last_layer())
    result = replace(
        _result(model, images, steps, note),
        teacher=student.teacher.name if student.teacher else None,
        suspects=_suspects(student, card),
        val=student.lab,
    )
    if not any(step.accepted for step in steps):
        return result
    return _write(result, output, student, card)


def _live(options: AdaptOptions, card: Card) -> FieldSet | None:
    """The newest frames of the session that the field set is compared with."""
    if options.live is None:
        return None
    check_session(options.live, card)
    return read_field([options.live], card).newest(_NEWEST)


def _is_from_scratch(card: Card) -> bool:
    """Whether no weight came from elsewhere; of a user's own network nobody knows."""
    return bool(card.training.get("network", {}).get("weights") == "none")


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
    model: Path, images: FieldSet, steps: tuple[AdaptStep, ...], note: str, why: str = ""
) -> AdaptResult:
    notes = [f"{images.broken} files could not be read"] if images.broken else []
    if images.repeated:
        notes.append(f"{images.repeated} files were there twice")
    return AdaptResult(
        model=None,
        parent=model,
        images=len(images),
        labelled=len(images.labelled),
        groups=len(np.unique(images.groups)),
        steps=steps,
        refusal=why,
        notes=(*notes, *([note] if note else [])),
    )


def _write(result: AdaptResult, output: Path, student: Student, card: Card) -> AdaptResult:
    """Measure the adapted network on the lab test and write its MODEL folder."""
    parent = load_lab_model(result.parent)
    network = student.split.network
    adapted = replace(parent, path=output, network=network)
    scores = adapted.scores(parent.test.tensors)
    lab = lab_result(scores, parent.test.labels)
    result = replace(
        result,
        model=output,
        lab_before=parent.card.lab.tally,
        lab=lab.tally,
        calibration=output / CALIBRATION_FOLDER,
    )
    new = replace(
        parent.card,
        lab=lab,
        edgecnn=__version__,
        temperature=_temperature(student, card),
        reject=None,  # it was chosen for the answers of another network
        adaptation=_summary(result, student.images),
        parent=hashlib.sha256((result.parent / CARD_FILE).read_bytes()).hexdigest(),
    )
    adapted = replace(adapted, card=new, test=replace(parent.test, keras_scores=scores))
    files = {
        REPLAY_FILE: student.new_replay().to_bytes(),
        **calibration_files(student.replay.val_tensors, student.images),
    }
    write_adapted_folder(adapted, result.parent, files)
    return result


def _temperature(student: Student, card: Card) -> float:
    """The parent's temperature, times what the steps changed it on the validation images.

    How sure the answers are changes with the last layer, so the temperature has to follow.
    """
    labels = student.replay.val_labels
    before, after = (fit_temperature(one, labels) for one in student.val_scores)
    return float(np.clip(card.temperature * after / before, 0.01, 100))


def _summary(result: AdaptResult, images: FieldSet) -> Json:
    """What the card keeps: no path of this machine."""
    data = result.to_json()
    digest = hashlib.sha256("\n".join(sorted(images.sha256)).encode()).hexdigest()
    kept = ("images", "labelled", "groups", "teacher", "steps", "val")
    return {"field_sha256": digest, **{key: data[key] for key in kept}}
