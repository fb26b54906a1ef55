"""The learning rate over a training, by its steps and by the time that it may take."""

from __future__ import annotations

from math import cos, pi
from time import monotonic
from typing import Any

import keras

from edgecnn.train.options import TrainOptions

__all__ = ["Schedule"]

_WARM_UP = 0.05
_LEAST_S = 0.1


class Schedule(keras.callbacks.Callback):  # type: ignore[misc]
    """Warm-up, then a cosine to zero over all steps or over the time budget, whichever ends first.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, one period.
    """

    def __init__(self, options: TrainOptions, steps: int) -> None:
        super().__init__()
        self.options, self.total = options, options.most_epochs * steps
        self.step = 0
        self.start = self.clock_start = monotonic()
        self.compiling = 0.0
        self.rates: list[float] = []
        self.seconds: list[float] = []
        self.stopped_by = "epochs"

    def go_on(self, step: int, rates: list[float], seconds: list[float]) -> None:
        """Go on with a training that has come so far."""
        self.step, self.rates, self.seconds = step, list(rates), list(seconds)
        self.start = monotonic() - (seconds[-1] if seconds else 0.0)
        self.clock_start = monotonic()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        done = max((self.step + 0.5) / self.total, self._time_used())
        rate = min(1.0, done / _WARM_UP) * (1 + cos(pi * min(1.0, done))) / 2
        self.model.optimizer.learning_rate = self.options.highest_rate * rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.step += 1
        if self.step == 1:
            # The first step compiles the graph for seconds: no time to plan the others by.
            self.compiling = monotonic() - self.clock_start
            self.clock_start = monotonic()
        if self._time_used() >= 1:
            self.model.stop_training = True
            self.stopped_by = "time budget"

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.seconds.append(round(monotonic() - self.start, 2))

    def _time_used(self) -> float:
        """Share of the time budget; 0 before the first step and without a budget."""
        if not self.step or not self.options.seconds:
            return 0.0
        left = max(_LEAST_S, self.options.seconds - self.compiling)
        return (monotonic() - self.clock_start) / left
