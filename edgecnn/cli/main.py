"""The edgecnn command: each function parses, calls one library function and returns its result.

Status 0: done, within tolerance. 1: done, but a gate failed. 2: the user's input or environment
is wrong (one line on stderr). With --json stdout carries one JSON object and nothing else,
whatever the libraries print.
"""

from __future__ import annotations

from typing import Annotated

import typer

from edgecnn._version import __version__
from edgecnn.cli import audit, demo, device, lab
from edgecnn.cli.app import app

__all__ = ["app", "main"]

# Importing them registers their commands.
_COMMANDS = (lab, device, audit, demo)


def main() -> None:
    """Entry point of the `edgecnn` command."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edgecnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    del version
