"""The options of `run` about decisions and outputs; all are off by default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgecnn.errors import OptionError, listed
from edgecnn.option import check_options, option

__all__ = ["DecisionRule", "OutputOptions"]

_MOST_VOTES = 1000
_CARD = "card"


@dataclass(frozen=True)
class DecisionRule:
    """How answers become decisions.

    Args:
        agree, window: A label is decided when `agree` of the last `window` answers have it.
        smoothing: Weight of the newest scores in an exponential mean, above 0; 1 takes them alone.
        least: An answer below this confidence counts as "not sure".
        least_of: The same for single classes, by their index.
    """

    agree: int = 1
    window: int = 1
    smoothing: float = 1.0
    least: float = 0.0
    least_of: dict[int, float] = field(default_factory=dict)

    @property
    def may_reject(self) -> bool:
        """Whether any answer can be too unsure."""
        return self.least > 0 or any(self.least_of.values())

    def rejects(self, index: int, confidence: float) -> bool:
        """Whether an answer is too unsure."""
        return confidence < self.least_of.get(index, self.least)


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
    reject: tuple[str, ...] = option(
        (),
        "Take an answer below this confidence for no decision. `card` takes the one that train "
        "chose on lab images; repeat LABEL=X for single classes.",
        one_needs_no_list=True,
        metavar="[LABEL=]X",
        shown="none is rejected",
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

    def check_decisions(self) -> None:
        """Refuse `agree` and `reject` of another form.

        Raises:
            OptionError: One has.
        """
        _ = self._votes(), list(self._rejected())

    def rule(self, labels: Sequence[str], chosen: float | None) -> DecisionRule:
        """How answers become decisions.

        Args:
            labels: Those of the card.
            chosen: The card's threshold; None where it has none.

        Raises:
            OptionError: `agree` has another form, or `reject` names no class of the card.
        """
        agree, window = self._votes()
        least, least_of = 0.0, {}
        for label, text in self._rejected():
            if text == _CARD and chosen is None:
                raise OptionError(
                    "--reject card: the card has no threshold (an adapted network, an older model, "
                    "or too few images to be sure of one); give a confidence such as 0.6"
                )
            value = chosen if text == _CARD and chosen is not None else float(text)
            if label is None:
                least = value
            elif label in labels:
                least_of[list(labels).index(label)] = value
            else:
                raise OptionError(
                    f"--reject {label}={text} names no class, expected {listed(labels)}"
                )
        return DecisionRule(agree, window, self.smoothing, least, least_of)

    def _votes(self) -> tuple[int, int]:
        if self.agree is None:
            return 1, 1
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", self.agree, re.ASCII)
        agree, window = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= agree <= window <= _MOST_VOTES:
            raise OptionError(
                f"--agree is {self.agree!r}, expected N/M such as 3/5, with N from 1 to M"
            )
        return agree, window

    def _rejected(self) -> Iterator[tuple[str | None, str]]:
        """(label or None, a number from 0 to 1 or "card") of each --reject."""
        for text in self.reject:
            label, mark, value = text.rpartition("=")
            is_number = re.fullmatch(r"0|1|[01]?\.\d{1,9}|1\.0+", value, re.ASCII) is not None
            if value != _CARD and not (is_number and float(value) <= 1):
                raise OptionError(
                    f"--reject is {text!r}, expected a confidence from 0 to 1, card, or one of "
                    "these for a class: LABEL=0.8"
                )
            yield (label if mark else None), value
