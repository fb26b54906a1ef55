"""What a run measures while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.spec import Prediction
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.records import Record, json_as

__all__ = ["Figures", "Rejected", "Status", "Trouble"]


@dataclass(frozen=True)
class Rejected(Record):
    """What --reject does to single answers.

    answers, rejected  how many there were, and how many of them were too unsure
    rest               live accuracy of the others
    """

    answers: int
    rejected: int
    rest: Tally

    def text(self) -> str:
        share = f"{100 * self.rejected / max(1, self.answers):.1f} %"
        return f"{self.rejected} of {self.answers} answers ({share}); others: {self.rest.text()}"


@dataclass(frozen=True)
class Figures:
    """What is measured of a run, while it goes on and at its end.

    lab, lab_file   of the network, and of the file that runs
    gap_points  100 x (lab - live accuracy), above 0 when the field is worse; None without truth
    alarm       whether the labels show that the field is worse than the lab
    age_ms      from capture to answer, of the last 10,000 answers
    regions     live accuracy of each region, where there are several
    reject      what --reject does; None without it
    """

    frames: int
    dropped: int
    lab: Tally
    lab_file: Tally
    live: Tally
    gap_points: float | None
    alarm: Alarm
    fps: float = field(metadata=json_as(digits=3))
    age_ms: Percentiles
    invoke_ms: Percentiles
    regions: dict[str, Tally]
    reject: Rejected | None


@dataclass(frozen=True)
class Trouble:
    """Something fails for so long already, and why."""

    seconds: float
    cause: str

    def text(self) -> str:
        return f"for {timedelta(seconds=int(self.seconds))}: {self.cause}"


@dataclass(frozen=True)
class Status(Figures):
    """The figures that the panel shows.

    Args:
        prediction, truth: The last frame's.
        silent: The camera gives no frames.
        unlogged: Nothing can be logged.
        faults: How often each fault was seen.
        bundle: The digest of the bundle that answers.
        swaps: How often another one took over.
    """

    elapsed_s: float
    prediction: Prediction | None = None
    truth: str | None = None
    warning: str | None = None
    silent: Trouble | None = None
    unlogged: Trouble | None = None
    faults: dict[str, int] = field(default_factory=dict)
    bundle: str = ""
    swaps: int = 0
