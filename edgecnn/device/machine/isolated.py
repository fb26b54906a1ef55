"""Run work in a second Python, where it may crash and shares no memory with other work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgecnn.errors import EdgecnnError, MissingRuntimeError
from edgecnn.records import Json

__all__ = ["NO_SECOND_PYTHON", "call", "environment", "serve"]

NO_SECOND_PYTHON = "can't start a second Python"


def call(module: str, request: Json, timeout_s: float) -> Json:
    """Run `python -m module` with a request on its stdin and return its answer.

    Raises:
        MissingRuntimeError: It can't be started, died, took too long, or answered {"error": ...}.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment(),
            check=False,
        )
    except OSError as error:
        raise MissingRuntimeError(
            f"{NO_SECOND_PYTHON} ({error.strerror}), as on an emulated machine"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MissingRuntimeError(f"gave no answer in {timeout_s:.0f} s") from error
    if done.returncode < 0:
        raise MissingRuntimeError(f"its process died of {signal.Signals(-done.returncode).name}")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MissingRuntimeError(
            f"its process ended with status {done.returncode} ({last[0][:200]})"
        )
    reply: Json = json.loads(done.stdout.splitlines()[-1])
    if "error" in reply:
        raise MissingRuntimeError(reply["error"])
    return reply


def environment() -> dict[str, str]:
    """Of another Python, which then finds this package too."""
    package = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def serve(work: Callable[[Json], Json]) -> None:
    """Answer the request on stdin with the result of `work`, or with its error."""
    try:
        reply = work(json.load(sys.stdin))
    except EdgecnnError as error:
        reply = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(reply) + "\n")
