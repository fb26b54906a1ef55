"""`edgecnn adapt`: from unlabelled field images, or a few labels, to a better network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.adapt.data import FieldSet, check_session, labels_of, read_field
from edgecnn.adapt.gate import AdaptStep, refusal
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.parent_bundle import ParentBundle
from edgecnn.adapt.parent_model import ParentModel
from edgecnn.adapt.proposals import Student
from edgecnn.adapt.result import AdaptResult
from edgecnn.bundle.card import Card
from edgecnn.bundle.folder import is_bundle
from edgecnn.errors import ModelError
from edgecnn.files.staging import check_writable
from edgecnn.quiet import quiet
from edgecnn.records import Progress
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
        model: MODEL folder of `edgecnn train` or of an earlier `adapt`; or a bundle, whose last
            layer alone is adapted, without TensorFlow.
        field: Image folders or SESSION folders of one device.
        output: The new MODEL folder or bundle; not written when no step is accepted.

    Raises:
        DataError: The field images or the labels can't be used.
        ModelError: The MODEL folder can't be used, or ends in no layer that can be adapted.
        BundleError: The bundle can't be used, or was exported without what adapting needs.
        OutputError: The output place is taken, read-only or full.
    """
    options = options or AdaptOptions()
    model, output = Path(model), Path(output)
    roots = [Path(field)] if isinstance(field, str | Path) else [Path(root) for root in field]
    kind = ParentBundle if is_bundle(model) else ParentModel
    check_writable(output, marker=kind.marker)
    if output.resolve() == model.resolve():
        raise ModelError(
            f"{output} is the model that would be adapted; choose another -o, so that the old "
            "one stays"
        )
    parent = kind(model)
    card = parent.card
    given = labels_of(options.labels, card, options.manifest) if options.labels else None
    images = read_field(roots, card, given, progress)
    live = _live(options, card)
    note = "" if live or any(is_session(root) for root in roots) else _UNCHECKED
    with quiet():
        student = Student(parent.split, parent.replay, images, options, parent.from_scratch)
        why = refusal(student.scores, images, live)
        if why:
            return _result(model, images, (), note, why)
        steps = (student.try_framing(), student.try_batch_norm(), student.try_last_layer())
    result = replace(
        _result(model, images, steps, note),
        teacher=student.teacher.name if student.teacher else None,
        suspects=_suspects(student, card),
        val=student.lab,
    )
    if not any(step.accepted for step in steps):
        return result
    return parent.write(result, output, student)


def _live(options: AdaptOptions, card: Card) -> FieldSet | None:
    """The newest frames of the session that the field set is compared with."""
    if options.live is None:
        return None
    check_session(options.live, card)
    return read_field([options.live], card).newest(_NEWEST)


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
        passed_over=images.passed_over,
    )
