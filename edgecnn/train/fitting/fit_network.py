"""Train a network once: batches, stopping, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import keras
import numpy as np

from edgecnn.errors import ModelError
from edgecnn.memory import return_free_memory
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.fitting.batches import Examples, batch_size, training_batches, validation_batches
from edgecnn.train.fitting.cluster import join
from edgecnn.train.fitting.distillation import CROSS_ENTROPY, Distillation, with_features
from edgecnn.train.fitting.imbalance import (
    class_weights,
    score_loss,
    training_loss,
    validation_weights,
)
from edgecnn.train.fitting.keeper import Keeper
from edgecnn.train.fitting.schedule import Schedule
from edgecnn.train.kept_training import KeptTraining
from edgecnn.train.options import TrainOptions
from edgecnn.train.reports import Reports

__all__ = ["Fit", "fit_network", "reestimate_batch_norm"]

_BN_BATCHES = 60
_FIRST_STEPS = 20


@dataclass(frozen=True)
class Fit:
    """The course of a run. Each column of `history` has one entry for each epoch.

    probed  whether the first entry is the linear probe that the epochs started from
    kept    the epoch whose weights the model has, 0 for the probe's; None is the one with the
            lowest validation loss
    """

    history: dict[str, list[float]]
    stopped_by: str
    probed: bool = False
    kept: int | None = None

    @property
    def epochs(self) -> int:
        return len(self.history["loss"]) - self.probed

    @property
    def best_epoch(self) -> int:
        """From 1, or 0 for the probe; the model has its weights."""
        if self.kept is not None:
            return self.kept
        return int(np.argmin(self.history["val_loss"])) + 1 - self.probed


@opencv_on_one_thread()
def fit_network(
    model: keras.Model,
    train: Examples,
    val: Examples,
    options: TrainOptions,
    reports: Reports | None = None,
    *,
    keep_last: bool = False,
    kept: KeptTraining | None = None,
) -> Fit:
    """Train a model in place; it ends with the weights of its best epoch.

    The best epoch has the lowest loss on the validation images, which are clean, in a simulated
    field, and augmented: clean ones alone would choose an early optimum for the lab only. Their
    classes weigh as in training. With
    options.ema the weights are running averages, and the batch-norm statistics are estimated
    again at the end.

    Args:
        train: With the features that it is to find, of a network of `build_backbone`.
        keep_last: Train to the end and keep these weights; validate on clean images only. A
            simulated field knows lenses and light, but no other scenes: it would stop a
            pretrained network after an epoch or two.
        kept: Where the state is kept after each epoch, and what to go on with.

    Raises:
        ModelError: The loss became NaN, or what was kept is of another training.
    """
    num_classes = int(model.output_shape[-1])
    steps = len(train.classes) // batch_size(len(train.classes), options)
    model, weights = _with_loss(model, train, num_classes, options)
    join(model)
    schedule = Schedule(options, steps)
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", patience=options.patience, restore_best_weights=True
    )
    keeper = Keeper(kept, schedule, stopping)
    keeper.bring_back(model)
    callbacks = _callbacks(schedule, None if keep_last else stopping, options)
    callbacks += [_Teller(reports, schedule, keeper.epoch)] if reports else []
    # What the epochs that are done have seen is not drawn again.
    fresh = replace(options, seed=options.seed + keeper.epoch)
    batches = training_batches(train, num_classes, fresh)
    fair = validation_weights(train.classes, val.classes, num_classes, options)
    checked = validation_batches(val, num_classes, options, clean=keep_last, weights=fair)
    history = {}
    if keeper.epoch < options.most_epochs:
        history = model.fit(
            batches,
            epochs=options.most_epochs,
            initial_epoch=keeper.epoch,
            steps_per_epoch=steps,
            validation_data=checked,
            class_weight=weights,
            callbacks=[*callbacks, keeper],
            shuffle=False,  # the batches come shuffled
            verbose=0,
        ).history
    columns = keeper.joined(history)
    # That of the classes alone is what the history shows.
    losses = [name for name in columns if name.endswith(CROSS_ENTROPY)]
    columns |= {name.replace(CROSS_ENTROPY, "loss"): columns.pop(name) for name in losses}
    _check_finite(columns, options)
    # EarlyStopping restores the best weights only when it stops the run itself.
    best = stopping.best_weights if history else keeper.best_weights
    if best is not None:
        model.set_weights(best)
    if options.ema:
        reestimate_batch_norm(model, (images for images, _ in batches.take(_BN_BATCHES)))
    _strip(model)
    reason = "patience" if stopping.stopped_epoch else schedule.stopped_by
    columns |= {"learning_rate": schedule.rates, "seconds": schedule.seconds}
    return Fit(columns, reason, kept=len(columns["loss"]) if keep_last else None)


def _with_loss(
    model: keras.Model, train: Examples, num_classes: int, options: TrainOptions
) -> tuple[keras.Model, dict[int, float] | None]:
    """The compiled model, and the weights of the classes that its loss does not have itself."""
    weights = class_weights(train.classes, num_classes, options)
    if train.wanted is None:
        _compile(model, training_loss(train.classes, num_classes, options), ["accuracy"], options)
        return model, weights
    of_classes = score_loss(train.classes, num_classes, options)
    loss = Distillation(of_classes, num_classes, train.wanted, weights)
    model = with_features(model)
    _compile(model, loss, loss.metrics, options)
    return model, None


def _callbacks(
    schedule: Schedule,
    stopping: keras.callbacks.EarlyStopping | None,
    options: TrainOptions,
) -> list[keras.callbacks.Callback]:
    """In the order in which they are called."""
    callbacks = [schedule, stopping, keras.callbacks.TerminateOnNaN()]
    if options.ema:  # first, so that the others see the averages
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    return [one for one in callbacks if one is not None]


def reestimate_batch_norm(model: keras.Model, batches: Iterable[Any]) -> None:
    """Estimate the statistics of averaged weights, which no training step has used.

    Set the moving statistics to their mean over batches, in place; frozen layers keep theirs.

    Args:
        batches: Images as the network trains on them, float32 (n, height, width, 3).

    Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
    """
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    seen = []
    for layer in layers:
        layer.momentum = 0.0  # the moving statistics become those of the batch
    for images in batches:
        model(images, training=True)
        variables = [v for layer in layers for v in layer.non_trainable_variables]
        # Copied, because their memory changes with the next batch.
        seen.append([np.array(keras.ops.convert_to_numpy(v)) for v in variables])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    means = iter(np.mean(column, axis=0) for column in zip(*seen, strict=True))
    for layer in layers:
        for variable in layer.non_trainable_variables:
            variable.assign(next(means))


def _compile(
    model: keras.Model, loss: keras.Loss, metrics: Sequence[Any], options: TrainOptions
) -> None:
    optimizer = keras.optimizers.AdamW(
        options.highest_rate,
        weight_decay=options.weight_decay,
        global_clipnorm=5.0,
        use_ema=options.ema > 0,
        ema_momentum=options.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA, Keras's default, trains these networks more slowly on a CPU.
    model.compile(optimizer, loss, metrics=metrics, jit_compile=False)


def _strip(model: keras.Model) -> None:
    """Drop what only training needs: the optimizer's state would triple model.keras."""
    model.optimizer, model.compiled = None, False
    model.train_function = model.test_function = None
    return_free_memory()


def _check_finite(history: dict[str, list[float]], options: TrainOptions) -> None:
    losses = [*history.get("loss", []), *history.get("val_loss", [np.nan])]
    if not np.isfinite(losses).all():
        raise ModelError(
            f"the training loss became NaN with learning rate {options.highest_rate}; "
            "reduce it, or check the normalization of your own network"
        )


class _Teller(keras.callbacks.Callback):  # type: ignore[misc]
    """Says after the first steps how long the training will take, then reports each epoch."""

    def __init__(self, reports: Reports, schedule: Schedule, done: int) -> None:
        super().__init__()
        self.reports, self.schedule = reports, schedule
        self.epochs = schedule.options.most_epochs
        if reports.progress:
            reports.progress("epoch", done, self.epochs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self.schedule.step == _FIRST_STEPS:
            left = self._expected() + self.reports.after_s
            self.reports.line(f"About {left:.0f} s to go, unless it ends early.")

    def _expected(self) -> float:
        """Seconds that the steps and validations to come will take."""
        schedule, seconds = self.schedule, self.schedule.options.seconds
        used = monotonic() - schedule.clock_start
        left = (schedule.total - _FIRST_STEPS) * used / (_FIRST_STEPS - 1)
        left += self.epochs * self.reports.epoch_s
        if seconds is None:
            return max(0.0, left)
        return max(0.0, min(left, seconds - schedule.compiling - used))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        accuracy, seconds = 100 * logs["val_accuracy"], self.schedule.seconds[-1]
        loss = logs.get(CROSS_ENTROPY, logs["loss"])
        self.reports.step(
            f"epoch: loss {loss:.3f}, validation {accuracy:.1f} %, {seconds:.0f} s",
            epoch + 1,
            self.epochs,
        )
