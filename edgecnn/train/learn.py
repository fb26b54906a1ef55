"""Build the network of a task, and train it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic

import keras
import numpy as np
import tensorflow as tf

from edgecnn.files.staging import check_room
from edgecnn.memory import return_free_memory
from edgecnn.model.embedding import SplitNetwork, split_network
from edgecnn.model.lab_replay import MOST_TRAIN
from edgecnn.model.networks.adopt import as_float32
from edgecnn.model.networks.backbones import BACKBONES, build_backbone
from edgecnn.model.networks.small import build_network, load_network
from edgecnn.model.predict import keras_scores
from edgecnn.quiet import quiet
from edgecnn.records import Json
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.backbone.frozen_features import FrozenFeatures
from edgecnn.train.backbone.larger_features import Aim, aim_at, side_to_imitate
from edgecnn.train.backbone.probe_first import (
    Probed,
    fine_tune,
    keep_better,
    probe,
    probe_alone,
    use_head,
)
from edgecnn.train.backbone.result import LargerInput, ProbeResult, SideTrial
from edgecnn.train.backbone.side import settle_side, try_larger
from edgecnn.train.backbone.time_left import (
    KERAS,
    TRAINING,
    WRITING_S,
    fit_in_time,
    seconds_after,
)
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.cluster import local_copy, movable, strategy_of
from edgecnn.train.fitting.fit_network import Fit, fit_network
from edgecnn.train.fitting.imbalance import adjust_scores, last_dense
from edgecnn.train.kept_training import KeptTraining
from edgecnn.train.options import BUILT_IN, TrainOptions
from edgecnn.train.plan import Plan
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.synthesis.gate import Made, join, rare_classes, synthesize
from edgecnn.train.task import Part, Task

__all__ = ["Learned", "check_synthesis", "learn", "start_with_sides"]

_TRIED = 16  # images
_FLOAT = 4.0  # bytes
# Of each validation image, of a network that starts from nothing: see `validation_batches`.
_VERSIONS = 3


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network, its training run, and the origin of the network and its first weights.

    classes  int, shape (n,): the class of each training image, synthetic ones included
    made     the synthetic images and the decision about them; None without `synthesize`
    probe    the linear probe of a pretrained network
    split    a pretrained network in parts, its embedding in the quickest runtime that there is
    """

    model: keras.Model
    fit: Fit
    network: Json
    classes: np.ndarray
    made: Made | None = None
    probe: ProbeResult | None = None
    split: SplitNetwork | None = None


def check_synthesis(task: Task) -> None:
    """Find out before the work whether `synthesize` names a rare class.

    Raises:
        ModelError: It doesn't.
    """
    if task.options.synthesize:
        rare_classes(task.classes("train"), task.data.labels, task.options.synthesize)


def start_with_sides(
    task: Task, plan: Plan, reports: Reports, clock: Clock
) -> tuple[Task, FrozenFeatures | None, tuple[SideTrial, ...], LargerInput | None]:
    """Choose the side of a pretrained network's input among those of the plan.

    Returns:
        The task at that side, with the training images that there is time for, the network's
        features, what was tried, and a larger input that is better. Without a choice to make the
        task stays as it is.
    """
    timed = task.options.pretrained and clock.seconds is not None and task.cluster is None
    # One side is no choice, but whether it keeps to --max-ms is to be said.
    choice = len(plan.sides) > 1 or bool(plan.sides and task.options.max_ms)
    if not choice and not plan.larger and not timed:
        return task, None, (), None
    frozen = FrozenFeatures(str(task.options.network), task.options.weights)
    trials: tuple[SideTrial, ...] = ()
    larger = None
    if choice:
        task, trials, larger = settle_side(task, frozen, plan.sides, clock, reports)
    task = fit_in_time(task, frozen, clock, reports)
    if plan.larger and not task.hurried:
        larger = try_larger(task, frozen, plan.larger, clock)
    return task, frozen, trials, larger


def learn(
    task: Task,
    reports: Reports,
    clock: Clock,
    frozen: FrozenFeatures | None = None,
    kept: KeptTraining | None = None,
    larger: LargerInput | None = None,
) -> Learned:
    """Train the task's network on its training images, and on synthetic ones if they help.

    Args:
        frozen: The features of its pretrained network, where they are at hand.
        kept: Where its state is kept after each epoch, and what to go on with.
        larger: A larger input that its probe reads better, to learn from.

    Raises:
        DataError: A file is gone since the images were read.
        ModelError: The user's own network can't be used, the loss became NaN, or what was kept
            is of another training.
    """
    trainer = _Trainer(task, reports, clock, frozen, kept, larger)
    images = trainer.examples("train")
    made = trainer.synthetic(images) if task.options.synthesize else None
    if made and made.extra:
        images = join(images, made.extra)
    if task.camera:
        options = task.options
        tensors = FieldTensors(images.tensors, task.camera, options.seed, options.resize)
        images = replace(images, tensors=tensors)
    return replace(trainer.train(task.options, images), made=made)


class _Trainer:
    """Trains new networks for a task, on its images and others."""

    def __init__(
        self,
        task: Task,
        reports: Reports,
        clock: Clock,
        frozen: FrozenFeatures | None,
        kept: KeptTraining | None = None,
        larger: LargerInput | None = None,
    ) -> None:
        self.task, self.reports, self.clock = task, reports, clock
        self.frozen, self.kept, self.larger = frozen, kept, larger

    def examples(self, part: Part) -> Examples:
        return Examples(self.task.tensors(part), self.task.classes(part))

    def synthetic(self, train: Examples) -> Made:
        """Make images of rare classes; keep them if real images are then read better."""
        silent = _Trainer(self.task, Reports(), self.clock, self.frozen)

        def trained(images: Examples, short: TrainOptions) -> keras.Model:
            return silent.train(short, images).model

        labels, options = self.task.data.labels, self.task.options
        val, progress = self.examples("val"), self.reports.progress
        return synthesize(train, val, labels, options, trained, progress)

    def train(self, options: TrainOptions, images: Examples) -> Learned:
        """Train a network once."""
        task, val = self.task, self.examples("val")
        strategy = strategy_of(task.cluster)
        with quiet():  # a driver without a card complains from C++
            tf.config.list_physical_devices()
        keras.utils.set_random_seed(options.seed)
        with strategy.scope():
            model, network = _network(task, options)
        if options.imbalance == "logit_adjustment":
            last_dense(model)  # refuses before the training, not after it
        if self.kept:  # else it would be known after the last epoch, and nothing be kept
            check_room(self.kept.place, _FLOAT * model.count_params())
        model = movable(model) if task.cluster else model
        probed = self._probed(options, images) if options.pretrained else None
        aim = self._aim(options, images, probed) if probed else None
        timed, reports = self._timed(options, model)
        before = None
        with strategy.scope():
            if probed is None:
                fit = fit_network(model, images, val, timed, reports, kept=self.kept)
            else:
                use_head(model, probed.head)
                return_free_memory()  # of the probe and the label check: training takes much
                if options.fine_tune and self._carries_an_epoch(timed, images):
                    before = model.get_weights()
                    fit = fine_tune(model, probed, images, val, timed, reports, self.kept, aim)
                else:
                    fit = probe_alone(probed, options)
        model = as_float32(local_copy(model) if task.cluster else model)
        result, split = None, None
        if probed and self.frozen:
            split = replace(split_network(model), quick=self.frozen.of)
            if before:
                tuned = split.in_tflite()
                fit = keep_better(tuned, before, probed, val, fit)
                split = tuned if fit.best_epoch else split
            side = aim.side if aim and before else 0
            result = replace(probed.result, kept=fit.best_epoch == 0, imitated=side)
        adjust_scores(model, images.classes, options)
        return Learned(model, fit, network, images.classes, probe=result, split=split)

    def _probed(self, options: TrainOptions, images: Examples) -> Probed:
        groups = self.task.split.groups.ids[self.task.rows("train")]
        extra = np.arange(len(images.classes) - len(groups))
        groups = np.concatenate([groups, groups.max() + 1 + extra])
        if self.frozen is None:
            self.frozen = FrozenFeatures(str(options.network), options.weights)
        val, clock = self.examples("val"), self.clock
        if clock.seconds is not None:
            clock = clock.keeping(seconds_after(self.task, self.frozen, tuned=options.fine_tune))
        return probe(self.frozen, images, val, groups, options, clock, self.reports)

    def _aim(self, options: TrainOptions, images: Examples, probed: Probed) -> Aim | None:
        """The features of a larger input to imitate; a training that goes on keeps its aim."""
        task, kept, frozen = self.task, self.kept, self.frozen
        if frozen is None or len(images.classes) != len(task.split.train):
            return None  # synthetic images have no file
        if kept and kept.load():
            side = kept.imitated
        elif self.larger:
            left = self.clock.left(seconds_after(task, frozen, tuned=True))
            side = side_to_imitate(task, frozen, self.larger, options, left)
        else:
            side = 0
        if kept:
            kept.imitated = side
        return aim_at(side, task, frozen, probed.head.penalty, self.reports) if side else None

    def _timed(self, options: TrainOptions, model: keras.Model) -> tuple[TrainOptions, Reports]:
        """The options with the time that is left for training, and what the reports need."""
        if self.task.cluster or (self.clock.seconds is None and self.reports.say is None):
            return options, self.reports
        epoch, after = self._seconds_without_training(model, options)
        # When the time is over, the epoch that it ends is still validated.
        left = self.clock.left(after + epoch)
        return replace(options, seconds=left), replace(self.reports, epoch_s=epoch, after_s=after)

    def _seconds_without_training(
        self, model: keras.Model, options: TrainOptions
    ) -> tuple[float, float]:
        """What the validation of an epoch takes, and in the end measuring and writing.

        From a few images.
        """
        val, test = len(self.task.split.val), len(self.task.split.test)
        if self.frozen and options.pretrained:
            each = KERAS * self.frozen.seconds(*self.task.shape[:2])
            return val * each, seconds_after(self.task, self.frozen, tuned=True)
        some = self.task.tensors("val")[:_TRIED]
        field = FieldTensors(some, None, 0, share=1.0)
        keras_scores(model, some)  # builds the graph
        start = monotonic()
        keras_scores(model, some)
        each = (monotonic() - start) / len(some)
        start = monotonic()
        keras_scores(model, field)
        degraded = (monotonic() - start) / len(some)
        passes = len(self.task.measured_rows()) + 2 * val + test
        passes += min(MOST_TRAIN, len(self.task.split.train))  # for the replay
        after = WRITING_S + passes * each + (val + test) * degraded
        after += self.task.field_images * (each + self.task.unlabelled.read_s)
        return _VERSIONS * val * each, after

    def _carries_an_epoch(self, options: TrainOptions, images: Examples) -> bool:
        if self.frozen is None or options.seconds is None:
            return True
        each = TRAINING * self.frozen.seconds(*images.tensors.shape[1:3])
        return options.seconds >= len(images.classes) * each


def _network(task: Task, options: TrainOptions) -> tuple[keras.Model, Json]:
    """Build the network, and describe its origin and that of its weights for the card."""
    shape, num_classes = task.shape, len(task.data.labels)
    if options.network in BACKBONES:
        return build_backbone(options.network, shape, num_classes, options.weights, options.dropout)
    if options.network not in (None, BUILT_IN):
        model = load_network(options.network, shape, num_classes)
        return model, {"name": options.network, "weights": "the user's own"}
    model = build_network(
        shape,
        num_classes,
        width=options.network_width,
        dropout=options.dropout,
        l1=options.l1,
        l2=options.l2,
    )
    return model, {"name": "built-in", "weights": "none"}
