"""A finding of `edgecnn inspect`: how bad it is, what was found, how to fix it, and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgecnn.records import Record

__all__ = ["SEVERITIES", "Example", "Finding", "percent"]

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")


@dataclass(frozen=True)
class Example(Record):
    """One or two image files (paths relative to the data's root) and what is odd about them."""

    files: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding(Record):
    """One thing to know about a data set.

    severity  problem: a figure or a model will be wrong; warning: it may be; note: good to know
    topic     the check: files, balance, copies, labels, groups, field or background
    what      one sentence
    mend      how to fix it, with a command where one exists; may be empty for a note
    examples  all files concerned, the worst first
    """

    severity: Severity
    topic: str
    what: str
    mend: str = ""
    examples: tuple[Example, ...] = ()


def percent(share: float) -> str:
    """Write a fraction in percent: '5 %', '0.5 %'."""
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"
