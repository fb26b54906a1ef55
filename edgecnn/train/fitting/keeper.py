"""A callback that keeps the state of a training after each epoch, and brings it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgecnn.errors import ModelError
from edgecnn.train.fitting.schedule import Schedule
from edgecnn.train.kept_training import KeptTraining, TrainingState

__all__ = ["Keeper"]


class Keeper(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves when an epoch begins: by then all other callbacks have ended the one before.

    Put it last, and call `bring_back` before `fit`.
    """

    def __init__(
        self,
        kept: KeptTraining | None,
        schedule: Schedule,
        stopping: keras.callbacks.EarlyStopping,
    ) -> None:
        super().__init__()
        self.kept, self.schedule, self.stopping = kept, schedule, stopping
        self.state = kept.load() if kept else None

    @property
    def epoch(self) -> int:
        """The epochs that are done before this run."""
        return self.state.epoch if self.state else 0

    @property
    def best_weights(self) -> list[np.ndarray] | None:
        """The best before this run."""
        return list(self.state.best or self.state.weights) if self.state else None

    def joined(self, history: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        """The history of the epochs before this run and of those in it."""
        earlier = self.state.about["history"] if self.state else {}
        names = dict.fromkeys([*earlier, *history])
        return {k: [*earlier.get(k, []), *map(float, history.get(k, []))] for k in names}

    def bring_back(self, model: keras.Model) -> None:
        """Give a compiled model the weights and the optimizer of the state, if there is one.

        Raises:
            ModelError: They are of another network, whose code was changed since.
        """
        if self.state is None or self.kept is None:
            return
        if [tuple(w.shape) for w in model.weights] != [w.shape for w in self.state.weights]:
            raise ModelError(
                f"{self.kept.place} has weights of another network: its code, or edgecnn, was "
                "changed since; put that back, or leave --resume out to begin anew"
            )
        about = self.state.about
        self.schedule.go_on(int(about["step"]), about["rates"], about["seconds"])
        model.set_weights(self.state.weights)
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(model.optimizer.variables, self.state.optimizer, strict=True):
            variable.assign(value)

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """After the others have set themselves to their beginning."""
        if self.state is None:
            return
        about = self.state.about
        for name in ("wait", "best", "best_epoch"):
            setattr(self.stopping, name, about[name])
        self.stopping.best_weights = list(self.state.best) or None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self.kept is None or epoch == self.epoch:  # nothing is new
            return
        model, stopping = self.model, self.stopping
        about = {
            "step": self.schedule.step,
            "rates": self.schedule.rates,
            "seconds": self.schedule.seconds,
            "history": self.joined(model.history.history),
            "wait": stopping.wait,
            "best": None if stopping.best is None else float(stopping.best),
            "best_epoch": int(getattr(stopping, "best_epoch", 0)),
        }
        optimizer = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
        best = stopping.best_weights or []
        self.kept.save(TrainingState(epoch, about, model.get_weights(), optimizer, best))
