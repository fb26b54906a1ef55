"""The step that fits the last layer to labels, to a teacher and to class centres."""

from __future__ import annotations

from dataclasses import replace

from edgecnn.adapt.gate import AdaptStep, broke_labels, nothing_sure
from edgecnn.adapt.student import Student
from edgecnn.bundle.head import Head
from edgecnn.bundle.last_layer import UNLABELLED, LastLayer, find_suspects
from edgecnn.bundle.onboard.lab_memory import LabMemory
from edgecnn.bundle.teacher import Teacher, able_teachers, choose_teacher
from edgecnn.camera.scenes import evenly
from edgecnn.model.embedding import SplitNetwork
from edgecnn.model.networks.margins import margins_of
from edgecnn.records import Progress

__all__ = ["try_last_layer"]

_NAME = "last layer"
_FITTING = "fitting the last layer"
_MOST_BROKEN = 0.15  # of the field set, against the teacher
_CENTRED = (0.5, 0.25, 0.0)  # of the way to the class centres
_OF_LAB = 200  # validation images on which the teachers are tried


def try_last_layer(student: Student, progress: Progress | None = None) -> AdaptStep:
    """Fit the last layer to labels and to what the teacher makes of the other images."""
    before, images = student.scores, student.images
    student.teacher = teacher = _choose_teacher(student)
    student.suspects = find_suspects(images.labels, teacher.scores)
    labels = student.trusted_labels()
    layer = LastLayer(
        student.split.head,
        student.embedding,
        labels,
        teacher.scores,
        student.taken_for(teacher.scores, None),
        ~images.hard,
        images.groups,
        student.lab_lessons,
        student.options.threshold,
        student.options.pull,
    )
    if progress:
        progress(_FITTING, 0, 1)
    layer, head = _fit(student, layer)
    if progress:
        progress(_FITTING, 1, 1)
    if layer.centres:
        student.teacher = replace(teacher, name=f"{teacher.name}, then the nearest class centre")
    if head is None:
        return AdaptStep(_NAME, False, nothing_sure(student.options.threshold))
    pair, why = layer.cross_validate(progress), ""
    if pair is None:
        why = layer.nothing_held_out()
    elif (labels != UNLABELLED).any():
        why = broke_labels(pair)
    elif pair.lost - pair.won > _MOST_BROKEN * len(images):
        why = (
            f"{pair.lost} held-out images got another answer than the teacher gives, and "
            f"{pair.won} got its answer: it learns nothing that holds for other images"
        )
    step = student.judged(_NAME, before, head, why, pair)
    if step.accepted:
        student.split.set_head(head)
        student.layer = layer
    return step


def _fit(student: Student, layer: LastLayer) -> tuple[LastLayer, Head | None]:
    """The same with class centres, where there are any and as far as the validation images allow;
    and its fit, None where there is nothing to learn from.
    """
    centres = student.class_centres()
    if centres is not None:
        classes = student.taken_for(layer.teacher, centres)
        centred = replace(layer, centres=centres, classes=classes)
        ends = centred.ends()
        if ends is None:
            return layer, None
        for share in _CENTRED:
            head = ends[0].towards(ends[1], share)
            if student.lab_with(head).loss_points <= student.allowed_loss:
                return replace(centred, centred=share), head
    return layer, layer.fit()


def _choose_teacher(student: Student) -> Teacher:
    split, lab, images = student.split, student.replay, student.images
    if isinstance(lab, LabMemory):
        able = lab.teachers
    elif isinstance(split, SplitNetwork) and margins_of(split.network):
        able = ()  # what is left without the margins is the object: views would cut into it
    else:
        rows = evenly(len(lab.val_labels), _OF_LAB)
        able = able_teachers(split.embed, split.head, lab.val_tensors[rows], lab.val_labels[rows])
    return choose_teacher(split.embed, split.head, images.tensors, able, ~images.hard)
