"""The edgecnn command: each function gets checked options, calls one library function, returns."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Annotated

import typer

from edgecnn._version import __version__
from edgecnn.cli import device, lab
from edgecnn.cli.app import COMMANDS, INTERRUPTED, app

__all__ = ["COMMANDS", "app", "main"]

# Importing them registers their commands.
_ROOMS = (lab, device)
# As `edgecnn --help` lists them: the path, then what helps on the way.
_PATH = (
    *(
        "inspect",
        "calibrate",
        "train",
        "export",
        "import",
        "evaluate",
        "benchmark",
        "run",
        "label",
        "audit",
    ),
    *("harvest", "adapt", "service", "doctor", "demo"),
)
app.registered_commands.sort(key=lambda command: _PATH.index(str(command.name)))


def main() -> None:
    """Entry point of the `edgecnn` command, under that name however it is started."""
    # Read when a command imports numpy. Threads only wait for each other over matrices as small as
    # these: the probe of 1,300 images takes 9 s of processor time on two busy cores, and 2 s so.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_closed()
    try:
        app(prog_name="edgecnn")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _leave_at_once()
        raise


def _leave_at_once() -> None:
    """End without waiting for the threads of libraries: those of TensorFlow that still read images
    for a training abort the process now and then, and its status is no longer ours.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _open_closed() -> None:
    """Open what a supervisor closed: a file would get its number, and what libraries print."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edgecnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    del version
