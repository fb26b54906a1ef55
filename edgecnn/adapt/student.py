"""A network that is being adapted: how far it came, and what it knows of lab and field."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgecnn.accuracy.confidence import log_losses
from edgecnn.accuracy.paired import Paired, PairedClasses
from edgecnn.adapt.data import FieldSet
from edgecnn.adapt.gate import AdaptStep, LabCheck, few_classes
from edgecnn.adapt.options import AdaptOptions
from edgecnn.bundle.head import Head, Lessons, entropy
from edgecnn.bundle.last_layer import UNLABELLED, LastLayer, lab_lessons
from edgecnn.bundle.onboard.centres import ClassCentres
from edgecnn.bundle.onboard.lab_memory import LabMemory
from edgecnn.bundle.onboard.stored_network import StoredNetwork
from edgecnn.bundle.teacher import Teacher, reads_lab
from edgecnn.model.embedding import SplitNetwork
from edgecnn.model.lab_replay import Replay
from edgecnn.model.networks.margins import Margins, margins_of

__all__ = ["IN_THE_LAB", "Stand", "Student", "no_lab_tensors"]

_BY_CHANCE = 2  # validation images
_MOST_BY_CHANCE = 5.0  # points: of a few images two are much
_ROUNDED = 1e-4  # points that a card's rounding may add to what was lost; an image is 0.1 at least

# By so many standard errors the lab's centres must tell the classes better than the last layer.
_CLEARLY, _ABOUT_AS_WELL = 2.0, -1.0

IN_THE_LAB = "not tried: it needs a MODEL folder, in the lab"
"""Why a bundle's network takes no step below its last layer."""


@dataclass(frozen=True, eq=False)
class Stand:
    """Where a network stood: its weights, and what it saw of lab, validation and field images."""

    weights: list[np.ndarray]
    split: SplitNetwork
    lab: np.ndarray
    val: np.ndarray
    field: np.ndarray


@dataclass(eq=False)
class Student:
    """What the steps change, and judge themselves by.

    Args:
        split: The network; accepted steps change it in place, rejected ones leave it as it was.
        replay: Its lab images; of a bundle's network their embeddings alone.
        images: The field set.
        from_scratch: Whether its weights come from these lab images alone; None where unknown.
        lost_before: Points of the validation images that earlier adapting has lost.

    `embedding` is that of the field images as the network is now, `lab_embedding` that of the
    replayed lab images: what the last layer is to learn of them; both float32 (n, d).
    `teacher`, `suspects` and `layer` are those of the last layer's step; `layer` is None until one
    was accepted.
    """

    split: SplitNetwork | StoredNetwork
    replay: Replay | LabMemory
    images: FieldSet
    options: AdaptOptions
    from_scratch: bool | None
    lost_before: float = 0.0
    teacher: Teacher | None = None
    suspects: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    layer: LastLayer | None = None

    def __post_init__(self) -> None:
        lab = self.replay
        self.lab_embedding = lab.train_embeddings
        if isinstance(lab, LabMemory):
            self._val = lab.val_embeddings
        else:
            self._val = self.split.embed(lab.val_tensors)
        self.embedding = self.split.embed(self.images.tensors)
        self._base_val = self.split.head.scores(self._val)
        self._base_right = self.reads_val(self.split.head)

    @property
    def scores(self) -> np.ndarray:
        """Of the field images, as the network is now: float32 (n, classes)."""
        return self.split.head.scores(self.embedding)

    @property
    def lab_lessons(self) -> Lessons:
        """The replayed lab images, as the network is now."""
        return lab_lessons(self.lab_embedding, self.replay.train_labels)

    def class_centres(self) -> ClassCentres | None:
        """Where the classes lie; None where these are no teacher: where the lab's own misread the
        validation images, the network reads the field as few classes, or a class has no replayed
        lab image, as in older files of many classes.

        Training from scratch draws the images of a class together (Papyan et al. 2020,
        doi:10.1073/pnas.2015509117). Of other networks the validation images must show it: the
        centres must tell their classes clearly better than the last layer, beyond chance; of a
        network of unknown origin about as well.
        """
        scores = self.scores
        replayed = np.unique(self.replay.train_labels)
        if len(replayed) < scores.shape[1] or few_classes(scores, self.images):
            return None
        centres = ClassCentres(self.lab_lessons)
        head, truth = self.split.head, self.replay.val_labels
        near, alone = centres.near_in_lab(self._val), self.reads_val(head)
        tells = reads_lab(near.argmax(axis=1) == truth, alone)
        if tells and not self.from_scratch:
            own = self._val @ head.weights + head.bias
            better = log_losses(own, truth) - log_losses(near, truth)
            least = _ABOUT_AS_WELL if self.from_scratch is None else _CLEARLY
            tells = better.mean() > least * better.std() / np.sqrt(len(better))
        return centres if tells else None

    def taken_for(self, scores: np.ndarray, centres: ClassCentres | None) -> np.ndarray:
        """What each field image is taken for by its nearest centre, or else by its scores."""
        if centres is None:
            return np.asarray(scores.argmax(axis=1))
        return centres.read_field(self.embedding, scores, ~self.images.hard)

    @property
    def logit_range(self) -> tuple[float, float]:
        """The lowest and highest score before the softmax, of lab and field as they are now."""
        head = self.split.head
        seen = np.concatenate([self.lab_embedding, self._val, self.embedding])
        logits = seen @ head.weights + head.bias
        return float(logits.min()), float(logits.max())

    @property
    def val_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the validation images, before all steps and now: float32 (m, classes)."""
        return self._base_val, self.split.head.scores(self._val)

    @property
    def lab(self) -> LabCheck:
        """The validation images before all steps and now."""
        return self.lab_with(self.split.head)

    @property
    def framing(self) -> str | None:
        """What the network cuts off; None where nothing, or where its files don't show it."""
        split = self.split
        margins = margins_of(split.network) if isinstance(split, SplitNetwork) else Margins()
        return margins.text() if margins else None

    @property
    def whole(self) -> tuple[SplitNetwork, Replay] | None:
        """The network with all its layers, and its lab images; None of a bundle's network."""
        if isinstance(self.split, StoredNetwork) or isinstance(self.replay, LabMemory):
            return None
        return self.split, self.replay

    def stand(self) -> Stand:
        """Where it is now, to come back to."""
        assert isinstance(self.split, SplitNetwork)
        weights = self.split.network.get_weights()
        return Stand(weights, self.split, self.lab_embedding, self._val, self.embedding)

    def stand_at(self, where: Stand) -> None:
        """Bring the network back to where it stood."""
        where.split.network.set_weights(where.weights)
        self.split, self.lab_embedding = where.split, where.lab
        self._val, self.embedding = where.val, where.field

    def see_through(self, split: SplitNetwork, replay: Replay) -> None:
        """Embed field and validation images anew, by a network that sees them in another way."""
        self.split = split
        self.embedding = split.embed(self.images.tensors)
        self._val = split.embed(replay.val_tensors)

    def remember_lab(self, tensors: np.ndarray) -> None:
        """Embed the replayed lab images as the network is now."""
        self.lab_embedding = self.split.embed(tensors)

    def check_lab(self, right: np.ndarray) -> LabCheck:
        """The validation images before all steps and with these read right."""
        return LabCheck.of(self._base_right, right)

    def lab_with(self, head: Head) -> LabCheck:
        """The validation images before all steps and with this last layer."""
        return self.check_lab(self.reads_val(head))

    def reads_val(self, head: Head) -> np.ndarray:
        """Which validation images are read right with this last layer: bool (m,)."""
        return np.asarray(head.scores(self._val).argmax(axis=1) == self.replay.val_labels)

    @property
    def allowed_loss(self) -> float:
        """How many points of the validation images a step may cost: with what was lost before, or
        adapting again and again would lose as many each time. So few images as chance takes are
        allowed too, unless none may be lost.
        """
        if self.options.for_this_camera_only:
            return 100.0
        by_chance = min(_MOST_BY_CHANCE, 100 * _BY_CHANCE / len(self._base_right))
        most = self.options.max_loss and max(self.options.max_loss, by_chance)
        return max(0.0, most - max(0.0, self.lost_before - _ROUNDED))

    def unsure(self, scores: np.ndarray) -> float:
        """Mean entropy of the field's sample."""
        return float(entropy(scores[~self.images.hard]).mean())

    def judged(
        self,
        name: str,
        before: np.ndarray,
        head: Head,
        why_not: str,
        pair: Paired | None = None,
    ) -> AdaptStep:
        """A step with all its figures; the lab has a veto.

        Args:
            before: Scores of the field images before it.
            head: The last layer after it; the rest is as the network is now.
            why_not: What speaks against it, or empty.
            pair: What it did to held-out images.
        """
        after = head.scores(self.embedding)
        moved = before.argmax(axis=1) != after.argmax(axis=1)
        lab = self.lab_with(head)
        allowed = self.allowed_loss
        if not why_not and lab.loss_points > allowed:
            why_not = (
                f"loses {lab.loss_points:.1f} points of {lab.before.total} validation images, "
                f"allowed are {allowed:.3g} (--max-loss)"
            )
            if self.lost_before > 0:
                why_not += f": adapting has lost {self.lost_before:.1f} before"
        return AdaptStep(
            name,
            not why_not,
            why_not or "accepted",
            self.unsure(before),
            self.unsure(after),
            float(moved[~self.images.hard].mean()),
            pair.won if pair else None,
            pair.lost if pair else None,
            lab,
            pair.by_class if isinstance(pair, PairedClasses) else {},
        )

    def trusted_labels(self) -> np.ndarray:
        """The labels without the suspects, int64 (n,)."""
        labels = self.images.labels.copy()
        labels[self.suspects] = UNLABELLED
        return labels


def no_lab_tensors(replay: Replay) -> str:
    """Why a step that needs the replayed lab images is not tried; empty where they are kept."""
    large = not len(replay.train_tensors)
    return "not tried: the replayed lab images are too large to keep" if large else ""
