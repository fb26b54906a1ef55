"""A live source in a process of its own: a camera that hangs there can't hang the run.

A thread inside a driver can't be freed, and an interpreter that exits meanwhile aborts
(raspberrypi/picamera2 issues 794, 962, 1090). A process can always be ended.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.device.capture.camera_child import NUM_SLOTS, OPEN
from edgecnn.device.machine.isolated import environment
from edgecnn.errors import MissingRuntimeError, SourceError

__all__ = ["CameraProcess", "Delivery"]

# Until the process has imported what it needs, on a slow board that does other things too.
_START_S = 20.0
# The source's own time-out comes first: its message says more.
_MARGIN_S = 1.0
_RELEASE_S, _END_S, _POLL_S = 1.0, 1.0, 0.1
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Delivery:
    """What the process said: a frame, or nothing but that it lives.

    Args:
        frame: uint8 or uint16, as the camera gave it; None between frames.
        number: Its number among the frames since the process started.
        captured: Seconds of `time.monotonic()`.
        notes: What has to be said about the pictures.
        counts: How often each fault was seen since the process started.
    """

    frame: np.ndarray | None = None
    number: int = 0
    captured: float = 0.0
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


class CameraProcess:
    """Reads a live source in a child process; for one thread.

    Args:
        request: What `camera_child` has to know: source, timeout_s, period_s, frozen_s.
        name: The source in messages.
        is_over: Asked ten times a second: whether to stop waiting for the camera.

    Raises:
        MissingRuntimeError: A process can't be started here.
    """

    def __init__(self, request: dict[str, Any], name: str, is_over: Callable[[], bool]) -> None:
        self._name, self._is_over, self._timeout_s = name, is_over, request["timeout_s"]
        # Before the process: where files are used up, none is left without a reader.
        self._selector = selectors.DefaultSelector()
        folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self._memory, path = tempfile.mkstemp(dir=folder)
        Path(path).unlink()  # it lasts as long as a process maps it
        self._map: mmap.mmap | None = None
        self._size = 0
        self._lines = b""
        self._broken = False
        try:
            self._child = _start(self._memory)
        except OSError as error:
            os.close(self._memory)
            raise MissingRuntimeError(
                f"can't start a second Python for the camera ({error.strerror}), as on an "
                "emulated machine"
            ) from error
        self._selector.register(_pipe(self._child.stdout), selectors.EVENT_READ)
        self._tell(json.dumps({**request, "memory": self._memory}).encode() + b"\n")
        self._patience_s = self._timeout_s + _MARGIN_S + _START_S

    def open(self) -> None:
        """Open the source.

        Raises:
            SourceError: It can't be opened, or that took too long.
            MissingRuntimeError: What opens it is not installed.
        """
        self._tell(OPEN)
        said = self._next(self._patience_s)
        self._patience_s = self._timeout_s + _MARGIN_S
        if "error" in said:
            raise (MissingRuntimeError if said["final"] else SourceError)(said["error"])

    def read(self) -> Delivery:
        """The next frame, or a sign of life.

        Raises:
            SourceError: The source broke off, or said nothing for longer than its time-out.
        """
        said = self._next(self._patience_s)
        if "lost" in said:
            raise SourceError(said["lost"])
        more = {"notes": tuple(said.get("notes", ())), "counts": said.get("counts", {})}
        if "frame" not in said:
            return Delivery(**more)
        frame = self._copy(said)
        self._tell(bytes([said["slot"]]))
        return Delivery(frame, said["frame"], said["captured"], **more)

    @property
    def is_alive(self) -> bool:
        """Whether the process can be asked to open the source again."""
        return not self._broken and self._child.poll() is None

    def close(self) -> None:
        """End the process; after a second it is killed."""
        with suppress(OSError):
            _pipe(self._child.stdin).close()
        for kill, limit_s in ((False, _RELEASE_S), (True, _END_S)):
            if kill:
                self._child.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver may hold even a killed one
                self._child.wait(limit_s)
                break
        self._selector.close()
        _pipe(self._child.stdout).close()
        os.close(self._memory)

    def _copy(self, said: dict[str, Any]) -> np.ndarray:
        if said["size"] != self._size or self._map is None:
            self._size = said["size"]
            self._map = mmap.mmap(self._memory, NUM_SLOTS * self._size)
        shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
        start, count = said["slot"] * self._size, int(np.prod(shape))
        return np.frombuffer(self._map, dtype, count, start).reshape(shape).copy()

    def _next(self, limit_s: float) -> dict[str, Any]:
        """The next line of the process.

        Raises:
            SourceError: None within the limit, the process died, or nobody waits any more.
        """
        end = time.monotonic() + limit_s
        while b"\n" not in self._lines:
            if self._is_over():
                raise SourceError("stopped")
            if time.monotonic() > end:
                self._broken = True  # `close` kills it
                raise SourceError(f"{self._name} hangs: nothing came from it for {limit_s:.0f} s")
            if self._selector.select(_POLL_S):
                data = os.read(_pipe(self._child.stdout).fileno(), 1 << 16)
                if not data:
                    raise SourceError(f"{self._name}: {self._death()}")
                self._lines += data
        line, _, self._lines = self._lines.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _death(self) -> str:
        self._broken = True
        try:
            status = self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "its process closed its output"
        if status < 0:
            return f"the process that reads it died of {signal.Signals(-status).name}"
        return f"the process that reads it ended with status {status}"

    def _tell(self, data: bytes) -> None:
        try:
            os.write(_pipe(self._child.stdin).fileno(), data)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self._name}: {self._death()}") from error


def _start(memory: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgecnn.device.capture.camera_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(memory,),
        env=environment(),
        bufsize=0,
    )


def _pipe(stream: Any) -> Any:
    """A pipe of a child that was started with pipes."""
    return stream
