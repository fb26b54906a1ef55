"""The steps that `adapt` tries, one after the other, each with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.adapt.data import FieldSet
from edgecnn.adapt.gate import ALL_LAYERS, AdaptStep, LabCheck
from edgecnn.adapt.options import AdaptOptions
from edgecnn.adapt.steps.all_layers import Pictures, fine_tune
from edgecnn.adapt.steps.batch_norm import batch_norms, reestimate
from edgecnn.adapt.steps.surest_margins import find_margins
from edgecnn.bundle.head import Head, entropy
from edgecnn.bundle.last_layer import (
    UNLABELLED,
    LastLayer,
    find_suspects,
    fold_of_groups,
    lab_lessons,
    lessons_of,
)
from edgecnn.bundle.onboard.lab_memory import LabMemory
from edgecnn.bundle.onboard.stored_network import StoredNetwork
from edgecnn.bundle.teacher import Teacher, able_teachers, choose_teacher, steadiness
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ModelError
from edgecnn.model.embedding import SplitNetwork, split_network
from edgecnn.model.lab_replay import Replay
from edgecnn.model.networks.margins import Margins, framed, margins_of
from edgecnn.records import Progress

__all__ = ["Student"]

_MOST_BROKEN = 0.15  # of the field set, against the teacher
_OF_LAB = 200  # validation images on which the teachers are tried
# Batch norm may leave the answers less sure by this factor where shifted and cropped images get the
# answer of the whole one more often: new statistics can take away sureness that was unfounded.
_AS_SURE, _STEADY_ON = 1.1, 200
_BROKEN_LABELS = 2  # more than it fixes
_SHARES = (1.0, 0.75, 0.5, 0.25)  # of the way to the fine-tuned weights
_SURE = 0.7  # from which score on fine-tuning learns an answer
# How often fine-tuning draws an image. Drawn more often, a network learns its own mistakes.
_DRAWS_UNLABELLED, _DRAWS_LABELLED = 6, 48
_MOST_CHANGED = 0.15  # of the answers, by fine-tuning without labels
_FRAMING, _BATCH_NORM, _LAST_LAYER = "framing", "batch norm", "last layer"
_IN_THE_LAB = "not tried: it needs a MODEL folder, in the lab"


@dataclass(frozen=True, eq=False)
class _Stand:
    """Where a network stood: its weights, and what it saw of lab, validation and field images."""

    weights: list[np.ndarray]
    split: SplitNetwork
    lab: np.ndarray
    val: np.ndarray
    field: np.ndarray


@dataclass(eq=False)
class Student:
    """A network that is being adapted: what it knows of lab and field, and how far it came.

    Args:
        split: The network; accepted steps change it in place, rejected ones leave it as it was.
        replay: Its lab images; of a bundle's network their embeddings alone.
        images: The field set.
        from_scratch: Whether its weights come from these lab images alone.
    """

    split: SplitNetwork | StoredNetwork
    replay: Replay | LabMemory
    images: FieldSet
    options: AdaptOptions
    from_scratch: bool
    teacher: Teacher | None = None
    suspects: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        lab = self.replay
        self._lab = lab.train_embeddings
        if isinstance(lab, LabMemory):
            self._val = lab.val_embeddings
        else:
            self._val = self.split.embed(lab.val_tensors)
        self._field = self.split.embed(self.images.tensors)
        self._base_val = self.split.head.scores(self._val)
        self._base_right = self._reads_val(self.split.head)
        self._layer: LastLayer | None = None  # where it was accepted

    @property
    def scores(self) -> np.ndarray:
        """Of the field images, as the network is now: float32 (n, classes)."""
        return self.split.head.scores(self._field)

    @property
    def embedding(self) -> np.ndarray:
        """Of the field images, as the network is now: float32 (n, d)."""
        return self._field

    @property
    def lab_embedding(self) -> np.ndarray:
        """Of the replayed lab images: what the last layer is to learn of them, float32 (n, d)."""
        return self._lab

    @property
    def logit_range(self) -> tuple[float, float]:
        """The lowest and highest score before the softmax, of lab and field as they are now."""
        head, seen = self.split.head, np.concatenate([self._lab, self._val, self._field])
        logits = seen @ head.weights + head.bias
        return float(logits.min()), float(logits.max())

    @property
    def val_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the validation images, before all steps and now: float32 (m, classes)."""
        return self._base_val, self.split.head.scores(self._val)

    @property
    def lab(self) -> LabCheck:
        """The validation images before all steps and now."""
        return LabCheck.of(self._base_right, self._reads_val(self.split.head))

    @property
    def framing(self) -> str | None:
        """What the network cuts off; None where nothing, or where its files don't show it."""
        split = self.split
        margins = margins_of(split.network) if isinstance(split, SplitNetwork) else Margins()
        return margins.text() if margins else None

    def try_framing(self) -> AdaptStep:
        """Cut margins off where the answers become surer without them."""
        split, replay = self.split, self.replay
        if isinstance(replay, LabMemory) or isinstance(split, StoredNetwork):
            return AdaptStep(_FRAMING, False, _IN_THE_LAB)
        if why := self._no_framing(split, replay):
            return AdaptStep(_FRAMING, False, why)
        before, start = self.scores, self._stand()

        def allowed(margins: Margins) -> bool:
            read = split.scores(margins.cut(replay.val_tensors)).argmax(axis=1)
            lab = LabCheck.of(self._base_right, read == replay.val_labels)
            return lab.loss_points <= self._allowed_loss

        margins = find_margins(split.scores, self.images.sample, allowed)
        if not margins:
            why = "without margins the answers become surer by less than a fifth, or by chance"
            return AdaptStep(_FRAMING, False, why)
        try:
            network = framed(split.network, margins)
        except ModelError as error:  # one of the user's own that can't be copied
            return AdaptStep(_FRAMING, False, f"not tried: {error}")
        # The replayed lab images stay whole: the lab frames its objects well.
        self._see_through(split_network(network), replay)
        step = self._judged(_FRAMING, before, self.split.head, "")
        if not step.accepted:
            self._stand_at(start)
        return replace(step, reason=f"{step.reason} ({margins.text()})")

    def try_batch_norm(self) -> AdaptStep:
        """Give batch norm the field's statistics; keep them if the answers become surer."""
        split, replay = self.split, self.replay
        if isinstance(replay, LabMemory) or isinstance(split, StoredNetwork):
            return AdaptStep(_BATCH_NORM, False, _IN_THE_LAB)
        if why := self._no_batch_norm(split, replay):
            return AdaptStep(_BATCH_NORM, False, why)
        before, start = self.scores, self._stand()
        steady = self._steadiness()
        reestimate(split.network, self.images.sample.tensors)
        self._see_through(split, replay)
        self._lab = split.embed(replay.train_tensors)
        was, now = self._unsure(before), self._unsure(self.scores)
        surer = now < was or (now <= _AS_SURE * was and self._steadiness() > steady)
        why = "" if surer else "the answers to the field images became less sure"
        step = self._judged(_BATCH_NORM, before, self.split.head, why)
        if not step.accepted:
            self._stand_at(start)
        return step

    def try_last_layer(self) -> AdaptStep:
        """Fit the last layer to labels and to the teacher's sure answers."""
        before = self.scores
        self.teacher = self._choose_teacher()
        self.suspects = find_suspects(self.images.labels, self.teacher.scores)
        labels = self._trusted_labels()
        layer = self._last_layer(labels, self.teacher.scores)
        head, pair = layer.fit(), layer.cross_validate()
        if head is None:
            return AdaptStep(_LAST_LAYER, False, self._nothing_sure(self.options.threshold))
        labelled = bool((labels != UNLABELLED).any())
        why = ""
        if pair is None:
            why = "all images are near-duplicates of each other, so nothing can be held out"
        elif labelled:
            why = _broke_labels(pair)
        elif pair.lost - pair.won > _MOST_BROKEN * len(self._field):
            why = (
                f"{pair.lost} held-out images got another answer than the teacher gives, and "
                f"{pair.won} got its answer: it learns nothing that holds for other images"
            )
        step = self._judged(_LAST_LAYER, before, head, why, pair)
        if step.accepted:
            self.split.set_head(head)
            self._layer = layer
        return step

    def try_all_layers(self, progress: Progress | None = None) -> AdaptStep:
        """Fine-tune all layers to labels and to the network's own sure answers."""
        split, replay = self.split, self.replay
        if isinstance(replay, LabMemory) or isinstance(split, StoredNetwork):
            return AdaptStep(ALL_LAYERS, False, _IN_THE_LAB)
        if why := self._no_lab_tensors(replay):
            return AdaptStep(ALL_LAYERS, False, why)
        before, labels = self.scores, self._trusted_labels()
        classes, weights = lessons_of(labels, before, ~self.images.hard, _SURE)
        known = labels != UNLABELLED
        if not weights.any():
            return AdaptStep(ALL_LAYERS, False, self._nothing_sure(_SURE))
        draws = weights * np.where(known, _DRAWS_LABELLED, _DRAWS_UNLABELLED)
        field = Pictures(self.images.tensors, classes, draws)
        around = margins_of(split.network).around(replay.train_tensors)
        lab = Pictures(around, replay.train_labels, np.ones(len(around)))

        def tune(rows: np.ndarray) -> None:
            lessons, pretrained = field.part(rows[draws[rows] > 0]), not self.from_scratch
            if len(lessons.classes):
                fine_tune(split.network, lessons, lab, pretrained=pretrained, progress=progress)

        start = self._stand()
        tune(np.arange(len(classes)))
        share = self._as_far_as_the_lab_allows(start)
        end, pair = self._stand(), None
        if known.any():
            pair = self._try_on_held_out_labels(start, known, labels, tune, share)
            self._stand_at(end)
        step = self._judged(
            ALL_LAYERS, before, self.split.head, _broke_labels(pair) if pair else "", pair
        )
        if pair is None and step.accepted and (step.changed or 0) > _MOST_CHANGED:
            why = (
                f"{100 * (step.changed or 0):.0f} % of the answers changed, allowed without labels "
                f"are {100 * _MOST_CHANGED:.0f} %"
            )
            step = replace(step, accepted=False, reason=why)
        if not step.accepted:
            self._stand_at(start)
            return step
        self._lab = self.split.embed(around)
        return replace(step, reason=f"accepted, {100 * share:.0f} % of the way")

    def _as_far_as_the_lab_allows(self, start: _Stand) -> float:
        """Go back until the lab is read well enough; returns which share of the way is left."""
        end = start.split.network.get_weights()
        for share in _SHARES:
            self._go(start, end, share)
            lab = LabCheck.of(self._base_right, self._reads_val(self.split.head))
            if lab.loss_points <= self._allowed_loss:
                break
        return share

    def _try_on_held_out_labels(
        self,
        start: _Stand,
        known: np.ndarray,
        labels: np.ndarray,
        tune: Callable[[np.ndarray], None],
        share: float,
    ) -> Paired:
        """Twofold cross-validation by group: fine-tuned, against the last layer alone."""
        folds = fold_of_groups(self.images.groups, known, 2)
        before, after = (np.zeros(len(folds), bool) for _ in range(2))
        for fold in range(folds.max() + 1):
            held, rows = folds == fold, np.flatnonzero(folds != fold)
            self._stand_at(start)
            # The last layer as it comes out without the labels that are held out.
            head = self._layer.fit(rows) if self._layer else None
            if head is not None:
                start.split.set_head(head)
            begin = start.split.network.get_weights()
            before[held] = self.scores[held].argmax(axis=1) == labels[held]
            tune(rows)
            self._go(replace(start, weights=begin), start.split.network.get_weights(), share)
            after[held] = self.scores[held].argmax(axis=1) == labels[held]
        return Paired.of(before[known], after[known])

    def _stand(self) -> _Stand:
        assert isinstance(self.split, SplitNetwork)
        weights = self.split.network.get_weights()
        return _Stand(weights, self.split, self._lab, self._val, self._field)

    def _stand_at(self, where: _Stand) -> None:
        """Bring a network back to where it stood."""
        where.split.network.set_weights(where.weights)
        self.split, self._lab = where.split, where.lab
        self._val, self._field = where.val, where.field

    def _go(self, start: _Stand, end: list[np.ndarray], share: float) -> None:
        """Set all weights to a share of the way from one to the other."""
        split, replay = start.split, self.replay
        split.network.set_weights(
            [a + share * (b - a) for a, b in zip(start.weights, end, strict=True)]
        )
        assert isinstance(replay, Replay)
        self._see_through(split.in_tflite() if split.quick else split, replay)

    def _unsure(self, scores: np.ndarray) -> float:
        """Mean entropy of the field's sample."""
        return float(entropy(scores[~self.images.hard]).mean())

    def _steadiness(self) -> float:
        sample = self.images.sample.tensors
        some = sample[evenly(len(sample), _STEADY_ON)]
        return steadiness(self.split.embed, self.split.head, some)

    def _see_through(self, split: SplitNetwork, replay: Replay) -> None:
        """Embed field and validation images anew, by a network that sees them in another way."""
        self.split = split
        self._field = split.embed(self.images.tensors)
        self._val = split.embed(replay.val_tensors)

    def _choose_teacher(self) -> Teacher:
        split, lab = self.split, self.replay
        if isinstance(lab, LabMemory):
            able = lab.teachers
        elif isinstance(split, SplitNetwork) and margins_of(split.network):
            able = ()  # what is left without the margins is the object: views would cut into it
        else:
            rows = evenly(len(lab.val_labels), _OF_LAB)
            able = able_teachers(
                split.embed, split.head, lab.val_tensors[rows], lab.val_labels[rows]
            )
        return choose_teacher(split.embed, split.head, self.images.tensors, able, ~self.images.hard)

    def _last_layer(self, labels: np.ndarray, teacher: np.ndarray) -> LastLayer:
        return LastLayer(
            self.split.head,
            self._field,
            labels,
            teacher,
            ~self.images.hard,
            self.images.groups,
            lab_lessons(self._lab, self.replay.train_labels),
            self.options.threshold,
            self.options.pull,
        )

    def _judged(
        self,
        name: str,
        before: np.ndarray,
        head: Head,
        why_not: str,
        pair: Paired | None = None,
    ) -> AdaptStep:
        """The step with all its figures; the lab has a veto."""
        after = head.scores(self._field)
        moved = before.argmax(axis=1) != after.argmax(axis=1)
        lab = LabCheck.of(self._base_right, self._reads_val(head))
        allowed = self._allowed_loss
        if not why_not and lab.loss_points > allowed:
            why_not = (
                f"loses {lab.loss_points:.1f} points of {lab.before.total} validation images, "
                f"allowed are {allowed:g}"
            )
        return AdaptStep(
            name,
            not why_not,
            why_not or "accepted",
            self._unsure(before),
            self._unsure(after),
            float(moved[~self.images.hard].mean()),
            pair.won if pair else None,
            pair.lost if pair else None,
            lab,
        )

    @property
    def _allowed_loss(self) -> float:
        """In points, on the validation images."""
        return 100.0 if self.options.for_this_camera_only else self.options.max_loss

    def _reads_val(self, head: Head) -> np.ndarray:
        return np.asarray(head.scores(self._val).argmax(axis=1) == self.replay.val_labels)

    def _no_framing(self, split: SplitNetwork, replay: Replay) -> str:
        """Why it is not tried; empty when it is."""
        if not self.options.framing:
            return "not tried: --no-framing"
        if not self.from_scratch:
            return "not tried: measured for networks that were trained from scratch only"
        if margins := margins_of(split.network):
            return (
                f"not tried: the network cuts margins off already ({margins.text()}); for a camera "
                "that frames its object otherwise adapt the MODEL that it comes from"
            )
        return self._no_lab_tensors(replay)

    def _no_batch_norm(self, split: SplitNetwork, replay: Replay) -> str:
        """Why it is not tried; empty when it is."""
        if not self.options.batch_norm:
            return "not tried: --no-batch-norm"
        if not self.from_scratch:
            return "not tried: it ruins networks that were not trained from scratch"
        if not batch_norms(split.network):
            return "not tried: the network has none"
        return self._no_lab_tensors(replay)

    def _no_lab_tensors(self, replay: Replay) -> str:
        large = not len(replay.train_tensors)
        return "not tried: the replayed lab images are too large to keep" if large else ""

    def _nothing_sure(self, threshold: float) -> str:
        return f"no image has a label, and no answer is {100 * threshold:.0f} % sure"

    def _trusted_labels(self) -> np.ndarray:
        """The labels without the suspects, int64 (n,)."""
        labels = self.images.labels.copy()
        labels[self.suspects] = UNLABELLED
        return labels


def _broke_labels(pair: Paired) -> str:
    """Why held-out labels speak against a step; empty where they don't. One is no evidence."""
    if pair.lost - pair.won < _BROKEN_LABELS:
        return ""
    return f"of held-out labelled images it fixed {pair.won} and broke {pair.lost}"
