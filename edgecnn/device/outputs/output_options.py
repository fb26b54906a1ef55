"""The options of `run` about decisions and outputs; all are off by default."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["DecisionRule", "OutputOptions"]

_MOST_VOTES = 1000


@dataclass(frozen=True)
class DecisionRule:
    """How answers become decisions.

    Args:
        agree, window: A label is decided when `agree` of the last `window` answers have it.
        smoothing: Weight of the newest scores in an exponential mean, above 0; 1 takes them alone.
        least: An answer below this confidence counts as "not sure".
    """

    agree: int = 1
    window: int = 1
    smoothing: float = 1.0
    least: float = 0.0


@dataclass(frozen=True)
class OutputOptions:
    """How answers become decisions, and where they go."""

    agree: str | None = option(
        None,
        "Decide for a class when this many of the last answers agree, such as 3/5.",
        panel="Decisions and outputs",
        metavar="N/M",
        shown="each answer decides",
    )
    smoothing: float = option(
        1.0,
        "Weight of the newest scores in their running mean; 1 takes each answer alone.",
        low=0.001,
        high=1,
    )
    reject: float | None = option(
        None,
        "Take an answer below this confidence as not sure: no decision.",
        low=0,
        high=1,
        shown="no answer is rejected",
    )
    output: Literal["text", "jsonl"] = option(
        "text", "What stdout gets while the run goes on: jsonl is one JSON object an answer."
    )
    changes_only: bool = option(
        False, "With --output jsonl, only answers that change the decision."
    )
    metrics: str | None = option(
        None,
        "Serve figures for Prometheus here. A port serves this machine only; 0.0.0.0:9100 serves "
        "its networks too.",
        metavar="ADDR",
    )
    mqtt: str | None = option(
        None,
        "Publish decisions when they change: mqtt://user:password@host/topic. Home Assistant finds "
        "them by itself.",
        metavar="URL",
    )
    webhook: str | None = option(
        None, "Post each changed decision to this address as JSON.", metavar="URL"
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def rule(self) -> DecisionRule:
        """How answers become decisions.

        Raises:
            OptionError: `agree` has another form.
        """
        agree, window = 1, 1
        if self.agree is not None:
            match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", self.agree, re.ASCII)
            agree, window = (int(match[1]), int(match[2])) if match else (0, 0)
            if not 1 <= agree <= window <= _MOST_VOTES:
                raise OptionError(
                    f"--agree is {self.agree!r}, expected N/M such as 3/5, with N from 1 to M"
                )
        return DecisionRule(agree, window, self.smoothing, self.reject or 0.0)
