"""Work in a Python of its own: what may crash, and what must not share memory with other work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from edgecnn.errors import MissingRuntimeError
from edgecnn.records import Json

__all__ = ["answer", "call"]


def call(module: str, request: Json, timeout_s: float) -> Json:
    """Run `python -m module` with a request on its stdin; gives what it answers.

    Raises:
        MissingRuntimeError: It can't be started, died, took too long, or answered {"error": ...}.
    """
    package = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except OSError as error:
        raise MissingRuntimeError(
            f"can't start a second Python ({error.strerror}), as in an emulated one"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise MissingRuntimeError(f"gave no answer in {timeout_s:.0f} s") from error
    if done.returncode:
        raise MissingRuntimeError(_why(done.returncode, done.stderr))
    reply: Json = json.loads(done.stdout.splitlines()[-1])
    if "error" in reply:
        raise MissingRuntimeError(reply["error"])
    return reply


def answer(reply: Json) -> None:
    """What a called module says at its end."""
    sys.stdout.write("\n" + json.dumps(reply) + "\n")


def _why(code: int, stderr: str) -> str:
    if code < 0:
        return f"its process died of {signal.Signals(-code).name}"
    last = stderr.strip().splitlines()[-1:] or ["no message"]
    return f"its process ended with status {code} ({last[0][:200]})"
