"""What a person who waits for a training hears: a bar, or lines; and the time that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from edgecnn.records import Progress
from edgecnn.render.step_line import step_line

__all__ = ["Clock", "Reports"]

# From this share of its time on a run is said to have taken longer.
_OVER = 1.05
# Less would not be a training.
_LEAST_S = 1.0


@dataclass(frozen=True)
class Reports:
    """Where a training reports to.

    progress  shows steps; without it, each step is a line
    say       takes a line
    epoch_s   seconds that the validation of an epoch takes
    after_s   seconds that the run will take when the training is over
    """

    progress: Progress | None = None
    say: Callable[[str], None] | None = None
    epoch_s: float = 0.0
    after_s: float = 0.0

    def line(self, text: str) -> None:
        if self.say:
            self.say(text)

    def step(self, what: str, done: int, total: int) -> None:
        """A step is done, as `records.Progress` has it; without a bar it is a line."""
        if self.progress:
            self.progress(what, done, total)
        elif done:
            self.line(step_line(what, done, total))


@dataclass(frozen=True)
class Clock:
    """The time of a run in seconds; `seconds` is what it may take, None without a limit."""

    seconds: float | None = None
    start: float = field(default_factory=lambda: monotonic())

    @property
    def elapsed(self) -> float:
        return monotonic() - self.start

    def keeping(self, reserve: float) -> Clock:
        """A clock that ends so many seconds sooner."""
        return self if self.seconds is None else replace(self, seconds=self.seconds - reserve)

    def left(self, reserve: float = 0.0) -> float | None:
        """What is left to train in when `reserve` is needed afterwards; None without a limit."""
        if self.seconds is None:
            return None
        return max(_LEAST_S, self.seconds - self.elapsed - reserve)

    def overrun(self) -> str | None:
        """What to say where the run took longer than it may; None where it did not."""
        took = self.elapsed
        if self.seconds is None or took <= _OVER * self.seconds:
            return None
        return (
            f"It took {took:.0f} s, more than --seconds {self.seconds:g}: the machine was busy "
            "with other work, or that is too little for these images."
        )
