"""The step that fine-tunes all layers to field images, beside the lab images.

The last layer alone can't undo what the layers below it lose of a camera's pictures. Half of each
batch is of the field and half of the lab, lightly augmented, so that a few hundred field images
are not learned by heart; batch norm keeps its statistics. The steps and rates were chosen on the
demo's film and on groceries (docs/results/adapt.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.paired import Paired, PairedClasses
from edgecnn.adapt.gate import ALL_LAYERS, AdaptStep, broke_labels, nothing_sure
from edgecnn.adapt.student import IN_THE_LAB, Stand, Student, no_lab_tensors
from edgecnn.bundle.last_layer import UNLABELLED, fold_of_groups, lessons_of
from edgecnn.model.lab_replay import Replay
from edgecnn.model.networks.margins import margins_of
from edgecnn.records import Progress

if TYPE_CHECKING:
    import keras

__all__ = ["Pictures", "fine_tune", "try_all_layers"]

_SHARES = (1.0, 0.75, 0.5, 0.25)  # of the way to the fine-tuned weights
_SURE = 0.7  # from which score on an answer is learned
# How often an image is drawn. Drawn more often, a network learns its own mistakes.
_DRAWS_UNLABELLED, _DRAWS_LABELLED = 6, 48
_MOST_CHANGED = 0.15  # of the answers, without labels

_STEPS, _WARM_UP = 120, 5
_BATCH, _RATE = 64, 5e-4
_PRETRAINED_BATCH, _PRETRAINED_RATE = 32, 2e-4
_STRENGTH = "light"


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a network learns from: uint8 tensors (n, height, width, 3), their classes (n,), and how
    often each is to be drawn, float (n,).
    """

    tensors: np.ndarray
    classes: np.ndarray
    draws: np.ndarray

    def part(self, rows: np.ndarray) -> Pictures:
        """Only these rows."""
        return replace(
            self,
            tensors=self.tensors[rows],
            classes=self.classes[rows],
            draws=self.draws[rows],
        )

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Tensors and classes of some, in these proportions, with repetition."""
        rows = rng.choice(len(self.classes), count, p=self.draws / self.draws.sum())
        return self.tensors[rows], self.classes[rows]


def try_all_layers(student: Student, progress: Progress | None = None) -> AdaptStep:
    """Fine-tune all layers to labels and to the network's own sure answers."""
    if student.whole is None:
        return AdaptStep(ALL_LAYERS, False, IN_THE_LAB)
    split, replay = student.whole
    if why := no_lab_tensors(replay):
        return AdaptStep(ALL_LAYERS, False, why)
    images, before, labels = student.images, student.scores, student.trusted_labels()
    classes = student.taken_for(before, student.class_centres())
    sure = ~images.hard & (before.max(axis=1) >= _SURE)
    classes, weights = lessons_of(labels, classes, sure)
    known = labels != UNLABELLED
    if not weights.any():
        return AdaptStep(ALL_LAYERS, False, nothing_sure(_SURE))
    draws = weights * np.where(known, _DRAWS_LABELLED, _DRAWS_UNLABELLED)
    field = Pictures(images.tensors, classes, draws)
    around = margins_of(split.network).around(replay.train_tensors)
    lab = Pictures(around, replay.train_labels, np.ones(len(around)))

    def tune(rows: np.ndarray) -> None:
        lessons, pretrained = field.part(rows[draws[rows] > 0]), not student.from_scratch
        if len(lessons.classes):
            fine_tune(split.network, lessons, lab, pretrained=pretrained, progress=progress)

    start = student.stand()
    tune(np.arange(len(classes)))
    share = _as_far_as_the_lab_allows(student, start, replay)
    end, pair = student.stand(), None
    if known.any():
        pair = _on_held_out_labels(student, start, replay, labels, tune, share)
        student.stand_at(end)
    why = broke_labels(pair) if pair else ""
    step = student.judged(ALL_LAYERS, before, student.split.head, why, pair)
    if pair is None and step.accepted and (step.changed or 0) > _MOST_CHANGED:
        why = (
            f"{100 * (step.changed or 0):.0f} % of the answers changed, allowed without labels "
            f"are {100 * _MOST_CHANGED:.0f} %"
        )
        step = replace(step, accepted=False, reason=why)
    if not step.accepted:
        student.stand_at(start)
        return step
    student.remember_lab(around)
    return replace(step, reason=f"accepted, {100 * share:.0f} % of the way")


def _as_far_as_the_lab_allows(student: Student, start: Stand, replay: Replay) -> float:
    """Go back until the lab is read well enough; returns which share of the way is left."""
    end = start.split.network.get_weights()
    for share in _SHARES:
        _go(student, start, end, share, replay)
        if student.lab.loss_points <= student.allowed_loss:
            break
    return share


def _on_held_out_labels(
    student: Student,
    start: Stand,
    replay: Replay,
    labels: np.ndarray,
    tune: Callable[[np.ndarray], None],
    share: float,
) -> Paired:
    """Twofold cross-validation by group: fine-tuned, against the last layer alone."""
    known = labels != UNLABELLED
    folds = fold_of_groups(student.images.groups, known, 2)
    before, after = (np.zeros(len(folds), bool) for _ in range(2))
    for fold in range(folds.max() + 1):
        held, rows = folds == fold, np.flatnonzero(folds != fold)
        student.stand_at(start)
        # The last layer as it comes out without the labels that are held out.
        head = student.layer.fit(rows) if student.layer else None
        if head is not None:
            start.split.set_head(head)
        begin = start.split.network.get_weights()
        before[held] = student.scores[held].argmax(axis=1) == labels[held]
        tune(rows)
        end = start.split.network.get_weights()
        _go(student, replace(start, weights=begin), end, share, replay)
        after[held] = student.scores[held].argmax(axis=1) == labels[held]
    return PairedClasses.of_classes(before[known], after[known], labels[known])


def _go(
    student: Student, start: Stand, end: list[np.ndarray], share: float, replay: Replay
) -> None:
    """Set all weights to a share of the way from one to the other."""
    split = start.split
    pairs = zip(start.weights, end, strict=True)
    split.network.set_weights([a + share * (b - a) for a, b in pairs])
    student.see_through(split.in_tflite() if split.quick else split, replay)


def fine_tune(
    network: keras.Model,
    field: Pictures,
    lab: Pictures,
    *,
    pretrained: bool,
    progress: Progress | None = None,
) -> None:
    """Train all weights in place, by Adam on a cosine; the same images are drawn every time.

    Args:
        field: Its draws make the number of steps, 120 at most.
        lab: As many draws as of the field, in the proportions given.
    """
    import keras

    from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
    from edgecnn.train.augmentation.pipeline import build_augmentation

    size, highest = (_PRETRAINED_BATCH, _PRETRAINED_RATE) if pretrained else (_BATCH, _RATE)
    steps = min(_STEPS, 1 + int(field.draws.sum() / (size // 2)))
    rng = np.random.default_rng(0)
    augmentation = build_augmentation(_STRENGTH, seed=0)
    assert augmentation is not None
    optimizer = keras.optimizers.Adam(highest)
    step = _step(network, optimizer)
    with opencv_on_one_thread():
        for number in range(steps):
            done = (number + 0.5) / steps
            rate = min(1.0, (number + 1) / _WARM_UP) * (1 + cos(pi * done)) / 2
            optimizer.learning_rate = highest * rate
            parts = [one.draw(size // 2, rng) for one in (field, lab)]
            images, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
            step(augmentation.change(images, rng).astype(np.float32), classes.astype(np.int64))
            if progress:
                progress("fine-tuning all layers", number + 1, steps)


def _step(
    network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A step of training on a batch, with the network as it answers: nothing is dropped."""
    import keras
    import tensorflow as tf

    weights = network.trainable_variables

    @tf.function  # type: ignore[untyped-decorator]
    def slopes(images: tf.Tensor, classes: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            scores = network(images, training=False)
            loss = keras.losses.sparse_categorical_crossentropy(classes, scores)
        return list(tape.gradient(loss, weights))

    def step(images: np.ndarray, classes: np.ndarray) -> None:
        found = slopes(tf.constant(images), tf.constant(classes))
        optimizer.apply_gradients(zip(found, weights, strict=True))

    return step
