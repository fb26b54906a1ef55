"""What every command shares: its result on stdout, its errors in one line, its bars on stderr."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from edgecnn.errors import EdgecnnError
from edgecnn.quiet import stdout_for_results
from edgecnn.records import Json, Progress

__all__ = [
    "ArtifactOption",
    "BundleArgument",
    "DeviceOption",
    "JsonFlag",
    "Outcome",
    "ThreadsOption",
    "app",
    "command",
    "progress_bars",
    "say",
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Why is my Keras CNN less accurate in the field than in the lab, and what can I do?",
    epilog="The path: calibrate -> train -> export -> run -> audit. Start with `edgecnn demo`.",
)


class Result(Protocol):
    def to_json(self) -> Json: ...
    def to_text(self) -> str: ...


# A result and the exit status that goes with it.
Outcome = tuple[Result, int]


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="A NAME.edgecnn folder or a zip of one.")
]
ArtifactOption = Annotated[
    str | None,
    typer.Option(
        "--artifact", "-a", help="File name or kind in the bundle.", show_default="full integer"
    ),
]
DeviceOption = Annotated[
    str, typer.Option(help="cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, or a delegate library.")
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, max=64, help="Interpreter threads.")
]


def command(name: str) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a command: print its result, turn its errors into one line and a status.

    Status 2 is an EdgecnnError, 130 an interruption; else it is the function's own. With --json
    stdout carries one JSON object and nothing else, whatever the libraries print.
    """

    def register(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        @app.command(name)
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            # Ended by a supervisor is ended by hand: what was staged is cleared away.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with stdout_for_results() as stdout:
                try:
                    result, status = function(*args, **kwargs)
                except EdgecnnError as error:
                    typer.echo(f"edgecnn {name}: {error}", err=True)
                    raise typer.Exit(2) from None
                except KeyboardInterrupt:
                    typer.echo(
                        f"edgecnn {name}: interrupted; nothing half-written is left", err=True
                    )
                    raise typer.Exit(130) from None
                as_json = kwargs.get("json", False)
                text = json.dumps(result.to_json()) if as_json else result.to_text()
                stdout.write(text.rstrip("\n") + "\n")
            raise typer.Exit(status)

        return function

    return register


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """A bar on stderr when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


def say(line: str) -> None:
    """What is being done, for a person who waits."""
    typer.echo(line, err=True)
