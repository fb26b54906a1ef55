"""`edgecnn demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.app import JsonFlag, Outcome, command, progress_bars, say

__all__ = ["demo"]


@command("demo")
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the files go.")] = Path(
        "demo"
    ),
    json: JsonFlag = False,
) -> Outcome:
    """The whole path on data that packages ship: train, export, film, run, audit."""
    from edgecnn.demo.demo import run_demo

    with progress_bars() as progress:
        return run_demo(output, progress=progress, say=say), 0
