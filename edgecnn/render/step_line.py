"""A step of long work as a line of text."""

from __future__ import annotations

__all__ = ["split_step", "step_line"]


def split_step(what: str) -> tuple[str, str]:
    """The name of the work, and what is new about this step; see `records.Progress`.

    Example:
        >>> split_step("training: loss 0.310"), split_step("reading images")
        (('training', 'loss 0.310'), ('reading images', ''))
    """
    name, _, news = what.partition(": ")
    return name, news


def step_line(what: str, done: int, total: int) -> str:
    """One line.

    Example:
        >>> step_line("training: loss 0.310, validation 93.1 %", 3, 70)
        'training 3 of 70: loss 0.310, validation 93.1 %'
    """
    name, news = split_step(what)
    return f"{name} {done} of {total}" + (f": {news}" if news else "")
