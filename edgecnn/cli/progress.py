"""What a person who waits sees on stderr: bars on a terminal, else lines; --quiet silences both."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import typer

from edgecnn.records import Progress
from edgecnn.render.step_line import split_step, step_line

__all__ = ["be_quiet", "is_quiet", "progress_bars", "say", "tell"]

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
# A step that brings no news is a line again after so many seconds.
_EVERY_S = 10.0


def be_quiet(quiet: bool) -> None:
    """Whether the running command shows no progress."""
    _QUIET.set(quiet)


def is_quiet() -> bool:
    return _QUIET.get()


def tell(line: str) -> None:
    """Print a line on stderr that --quiet does not silence: an error, a link."""
    try:
        typer.echo(line, err=True)
    except BrokenPipeError:  # Ctrl-C ends a `2>&1 | tee log` too; the status still says it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def say(line: str) -> None:
    """Tell a person who waits what is being done."""
    if not is_quiet():  # not `tell`: where nobody reads it any more, the work ends with it
        typer.echo(line, err=True)


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """A bar for each kind of work where stderr is a terminal, lines where it is not.

    Work has a line when it begins, when it brings news (an epoch, the next file), and every ten
    seconds. None with --quiet.
    """
    if is_quiet():
        yield None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        with _lines() as show:
            yield show


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            name, _ = split_step(what)
            if name not in tasks:
                tasks[name] = bars.add_task(what, total=total)
            bars.update(tasks[name], description=what, completed=done, total=total)

        yield show


@contextmanager
def _lines() -> Iterator[Progress]:
    """Lines that arrive also while TensorFlow's own messages are kept off stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    shown: dict[str, tuple[str, float]] = {}  # by name: the last news, and when

    def show(what: str, done: int, total: int) -> None:
        name, news = split_step(what)
        before, at = shown.get(name, (None, 0.0))
        if news != before or monotonic() - at >= _EVERY_S:
            shown[name] = (news, monotonic())
            os.write(stderr, f"{step_line(what, done, total)}\n".encode(errors="backslashreplace"))

    try:
        yield show
    finally:
        os.close(stderr)
