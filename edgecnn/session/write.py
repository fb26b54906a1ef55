"""Writes SESSION/: session.json, events.jsonl and a sample of the frames.

Every line of events.jsonl goes to the operating system at once, so a killed program loses none;
a power cut loses what came after the last sync (every 30 lines or 2 s).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.machine.health import read_health
from edgecnn.device.run.keep import FrameSample, KeepOptions
from edgecnn.errors import OutputError
from edgecnn.files.staging import write_file
from edgecnn.records import Json
from edgecnn.session.events import FrameEvent, TruthEvent

__all__ = ["SESSION_FORMAT", "SessionLog", "check_session_place"]

SESSION_FORMAT = 1
_SYNC_LINES, _SYNC_S = 30, 2.0
_HEALTH_S = 10.0


def check_session_place(folder: Path) -> None:
    """Refuse a place that holds something already: sessions are never mixed or overwritten.

    Raises:
        OutputError: A session, another folder with something in it, or a file.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, expected a new folder; choose another --log")
        if (folder / "session.json").exists():
            raise OutputError(
                f"{folder} holds a session already, and sessions are not overwritten; "
                "choose another --log"
            )
        if any(folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty and not a session, expected a new folder; "
                "choose another --log"
            )
    except OSError as error:
        raise OutputError(f"can't use {folder} as --log: {error.strerror}") from error


class SessionLog:
    """An open session; close it by leaving its `with` block, or with `end`.

    Args:
        folder: A new or empty folder.
        header: What session.json says beside the format and the start time.
        keep: Bounds of frames/.
        live: Whether the source is a camera or stream.

    Raises:
        OutputError: The place is taken, read-only or full.
    """

    def __init__(
        self, folder: Path, header: Mapping[str, Any], keep: KeepOptions, *, live: bool
    ) -> None:
        check_session_place(folder)
        self.folder = folder
        self._is_new = not folder.exists()
        self._num_frames = 0
        self._file = -1
        self._size = self._unsynced = 0
        self._synced_at = time.monotonic()
        self._health_at = float("-inf")
        with self._as_output_error():
            (folder / "frames").mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(folder / "events.jsonl", flags, 0o666)  # one run claims it
        try:
            start = {"format": SESSION_FORMAT, **header, "started_at": _now()}
            text = json.dumps(start, indent=1) + "\n"
            write_file(folder / "session.json", text)
        except OutputError:
            self._discard()
            raise
        self._sample = FrameSample(folder / "frames", keep, live=live)

    def __enter__(self) -> SessionLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and self._num_frames == 0:
            self._discard()
        elif error is not None:
            with suppress(OutputError):  # the first error is the one to report
                self.end(f"error: {error}" if str(error) else type(error).__name__)
        self._close()

    def keep(self, frame: Frame, prediction: Prediction, truth: str | None) -> str | None:
        """Offer a frame to frames/; its file name there if it was kept."""
        return self._sample.offer(frame, prediction, truth)

    def frame(self, event: FrameEvent) -> None:
        """Log a classified frame; a health event comes with it every 10 seconds."""
        self._write(event.to_json())
        self._num_frames += 1
        if time.monotonic() - self._health_at >= _HEALTH_S:
            self.health(None)

    def truth(self, event: TruthEvent) -> None:
        """Log what a frame really shows."""
        self._write(event.to_json())

    def health(self, message: str | None) -> None:
        """Log temperature and throttling, with a warning if there is one."""
        self._health_at = time.monotonic()
        self._write({"event": "health", "at": _now(), **read_health(), "message": message})

    def end(self, reason: str, **more: Any) -> None:
        """Log why the run ended, sync and close."""
        if self._file < 0:
            return
        self._write({"event": "end", "at": _now(), "reason": reason, **more})
        with self._as_output_error():
            os.fsync(self._file)
        self._close()

    def _write(self, event: Json) -> None:
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        with self._as_output_error():
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            self._size += len(line)
            self._unsynced += 1
            if self._unsynced >= _SYNC_LINES or time.monotonic() - self._synced_at >= _SYNC_S:
                os.fsync(self._file)
                self._unsynced, self._synced_at = 0, time.monotonic()

    @contextmanager
    def _as_output_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop_torn_line()
            logged = "what was logged so far is kept; " if self._num_frames else ""
            raise OutputError(
                f"can't write session {self.folder}: {error.strerror}; {logged}"
                "free the place or choose another --log"
            ) from error

    def _drop_torn_line(self) -> None:
        """A full disk takes half a line: cut it off again, if the disk lets us, and stop."""
        if self._file >= 0:
            with suppress(OSError):  # a read-only disk; readers skip a torn last line
                os.ftruncate(self._file, self._size)
            self._close()

    def _discard(self) -> None:
        """Leave nothing of a session that holds no frame."""
        self._close()
        shutil.rmtree(self.folder / "frames", ignore_errors=True)
        for name in ("events.jsonl", "session.json"):
            with suppress(OSError):
                (self.folder / name).unlink()
        if self._is_new:
            with suppress(OSError):
                self.folder.rmdir()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
