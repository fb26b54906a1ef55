"""`edgecnn demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from edgecnn.cli.app import Outcome, command, progress_bars, say
from edgecnn.cli.command import FILES
from edgecnn.option import Option

__all__ = ["demo"]


@command("demo", examples=("-o demo/",))
def demo(
    output: Annotated[
        Path, Option("The folder to write.", FILES, "--output/-o", metavar="FOLDER")
    ] = Path("demo"),
) -> Outcome:
    """Go the whole path on data that packages ship: train, export, film, run, audit."""
    from edgecnn.demo.demo import run_demo

    with progress_bars() as progress:
        return run_demo(output, progress=progress, say=say), 0
