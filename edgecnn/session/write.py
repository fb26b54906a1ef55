"""Writes SESSION/: the header, the events and the pictures that it is handed.

Every event goes to the operating system at once, so a killed program loses none; a power cut
loses what came after the last sync (every 2 s, the first time after half a second).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.errors import OutputError, SessionError, listed
from edgecnn.files.own_folders import check_not_within
from edgecnn.files.staging import write_file
from edgecnn.records import Json
from edgecnn.session.events import FrameEvent, TruthEvent, event_line, top_scores
from edgecnn.session.header import SessionHeader, write_header
from edgecnn.session.layout import (
    EVENTS_NAME,
    HEADER_NAME,
    PICTURES_NAME,
    is_session,
    picture_stem,
)

__all__ = ["SessionWriter", "check_session_place"]

_FIRST_SYNC_S, _SYNC_S = 0.5, 2.0
# Scores of other programs may be outside of 0 to 1 by this much.
_ROUNDING = 1e-3
_STARTS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png"}
# A frame says the time of day this often, and where the two clocks moved apart by this much.
_CLOCK_MS, _DRIFT_MS = 60_000, 100


def check_session_place(folder: Path) -> None:
    """Refuse a place that holds something already: sessions are never mixed or overwritten.

    Raises:
        OutputError: A session, another folder with something in it, or a file; or it is inside
            of a session, a bundle or a MODEL folder.
    """
    check_not_within(folder)
    try:
        _check_parents(folder)
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, expected a new folder; choose another --log")
        if is_session(folder):
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


def _check_parents(folder: Path) -> None:
    for parent in Path(os.path.realpath(folder)).parents:
        if is_session(parent):
            raise OutputError(
                f"{folder} is inside of the session {parent}, where nothing would read it; choose "
                "another --log or --log-root"
            )
        if parent.is_file():
            raise OutputError(
                f"{parent} is a file, expected a folder for sessions; choose another --log or "
                "--log-root"
            )


class SessionWriter:
    """An open session; close it by leaving its `with` block, or with `end`.

    Args:
        folder: A new or empty folder.
        header: What was measured; its start time is set here. `SessionHeader.of` makes it of a
            bundle, for programs that are not `edgecnn run`.

    Raises:
        OutputError: The place is taken, read-only or full.

    Example:
        header = edgecnn.SessionHeader.of("digits.edgecnn", device="my phone")
        with edgecnn.SessionWriter("session", header) as session:
            session.answer(0, scores, picture=jpeg, label="7")
            session.end("done")
    """

    def __init__(self, folder: Path | str, header: SessionHeader) -> None:
        check_session_place(Path(folder))
        self.folder, self._header = Path(folder), header
        folder = self.folder
        self._is_new = False
        self._num_frames = 0
        self._file = -1
        self._size = self._torn = 0
        self._is_synced = True
        self._start = time.monotonic()
        self._sync_due = self._start + _FIRST_SYNC_S
        self._clock: tuple[int, datetime] | None = None
        with self._as_output_error():
            self._is_new = not folder.exists()
            (folder / PICTURES_NAME).mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(folder / EVENTS_NAME, flags, 0o666)  # one run claims it
        try:
            self._header = replace(header, started_at=_now().isoformat(timespec="milliseconds"))
            write_header(folder, self._header)
            self._sync_folders()
        except OutputError:
            self._discard()
            raise

    def __enter__(self) -> SessionWriter:
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

    def t_ms(self, moment: float) -> int:
        """Milliseconds since the start, of a moment in seconds of `time.monotonic()`."""
        return round((moment - self._start) * 1000)

    def frame(self, event: FrameEvent) -> None:
        """Log an answer; its time of day is left out where `t_ms` tells it."""
        self._write((event if self._tells_time(event) else event._replace(at=None)).to_line())
        self._num_frames += 1

    def answer(
        self,
        frame: int,
        scores: Sequence[float],
        *,
        picture: bytes | None = None,
        probability: float | None = None,
        label: str | None = None,
        latency_ms: float = 0.0,
    ) -> None:
        """Log what any program answered to a frame, with its picture and label where known.

        Args:
            frame: Position in the source, from 0.
            scores: One for each label of the card, in [0, 1], as the model gives them.
            picture: The encoded JPEG or PNG that was classified, before any resizing.
            probability: With what probability this picture was kept, where chance chose it.
            label: What the frame really shows.
            latency_ms: From capture to answer.

        Raises:
            SessionError: The scores or the label don't fit the card, the picture is neither a JPEG
                nor a PNG, or the probability is none.
            OutputError: The place is read-only or full.
        """
        values = np.asarray(scores, np.float32)
        card = self._header.card
        if values.shape != (len(card.labels),) or not bool(
            (np.abs(values - 0.5) <= 0.5 + _ROUNDING).all()
        ):
            raise SessionError(
                f"frame {frame} has scores of shape {values.shape} from {values.min(initial=0):g} "
                f"to {values.max(initial=0):g}, expected {len(card.labels)} from 0 to 1 in the "
                "order of the card's labels"
            )
        if label is not None and label not in card.labels:
            raise SessionError(
                f"frame {frame} has the label {label!r}, expected one of {listed(card.labels)}"
            )
        if probability is not None and not 0 < probability <= 1:
            raise SessionError(
                f"frame {frame} was kept with probability {probability:g}, expected above 0 and up "
                "to 1"
            )
        suffix = "" if picture is None else _suffix_of(frame, picture)
        step = next((a.output.scale for a in card.artifacts if a.file == self._header.artifact), 0)
        all_scores = tuple(np.clip(values, 0, 1).tolist())
        if picture is not None:
            self.keep_picture(picture_stem(frame) + suffix, picture)
        now = time.monotonic()
        self.frame(
            FrameEvent(
                frame=frame,
                t_ms=self.t_ms(now),
                top=top_scores(all_scores),
                confidence=float(calibrated_confidence(values, card.temperature, step)),
                age_ms=latency_ms,
                invoke_ms=latency_ms,
                at=_now(),
                scores=all_scores,
                pool=None if probability is None else "uniform",
                probability=probability,
            )
        )
        if label is not None:
            self.truth(TruthEvent(frame, label, "label", why="all"))

    def truth(self, event: TruthEvent) -> None:
        """Log what a frame really shows."""
        self._write(event.to_line())

    def health(self, measured: Json, message: str | None = None) -> None:
        """Log what was measured of the machine, with a warning if there is one."""
        now = self.t_ms(time.monotonic())
        self._write(event_line("health", t=now, at=_now(), **measured, message=message))

    def gap(self, start_ms: int, end_ms: int, why: str) -> None:
        """Log a time without camera or log."""
        self._write(event_line("gap", t=start_ms, until=end_ms, why=why))

    def keep_picture(self, name: str, data: bytes) -> None:
        """Keep a picture, whole or not at all; `layout.picture_stem` gives its name."""
        write_file(self.folder / PICTURES_NAME / name, data)

    def drop_picture(self, name: str) -> None:
        """Delete a kept picture, so that the folder stays within its bounds."""
        with self._as_output_error():
            (self.folder / PICTURES_NAME / name).unlink(missing_ok=True)

    def sync(self) -> None:
        """Have the disk take what was logged, where 2 seconds have passed since the last time."""
        if self._is_synced or time.monotonic() < self._sync_due:
            return
        with self._as_output_error():
            os.fsync(self._file)
        self._is_synced, self._sync_due = True, time.monotonic() + _SYNC_S

    @property
    def header(self) -> SessionHeader:
        """What session.json says."""
        return self._header

    @property
    def size(self) -> int:
        """Bytes of the events so far."""
        return self._size

    def is_in_place(self) -> bool:
        """Whether what is logged can be found: nobody deleted or replaced the files."""
        try:
            found = (self.folder / EVENTS_NAME).stat()
            return is_session(self.folder) and os.path.samestat(found, os.fstat(self._file))
        except OSError:
            return False

    def reopen(self) -> None:
        """Go on after an OutputError or a deletion; what was deleted is made anew, empty.

        Raises:
            OutputError: The place still can't be written to.
        """
        self._close()
        with self._as_output_error():
            (self.folder / PICTURES_NAME).mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            self._file = os.open(self.folder / EVENTS_NAME, flags, 0o666)
            self._size = os.fstat(self._file).st_size
            if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
                os.write(self._file, b"\n")  # ends a torn line
                self._size += 1
            has_header = is_session(self.folder)
        if not has_header:
            write_header(self.folder, self._header)
        self._sync_folders()
        self._clock = None

    def end(self, reason: str, counts: Mapping[str, int] | None = None) -> None:
        """Log why the session ended, sync and close."""
        if self._file < 0:
            return
        now = self.t_ms(time.monotonic())
        self._write(event_line("end", t=now, at=_now(), reason=reason, **(counts or {})))
        with self._as_output_error():
            os.fsync(self._file)
        self._close()

    def _tells_time(self, event: FrameEvent) -> bool:
        """Whether a frame has to say the time of day: readers count on from the last that did."""
        if event.at is None or event.t_ms is None:
            return event.at is not None
        if self._clock is not None:
            t_ms, at = self._clock
            passed = event.t_ms - t_ms
            drift = (event.at - at).total_seconds() * 1000 - passed
            if passed < _CLOCK_MS and abs(drift) < _DRIFT_MS:
                return False
        self._clock = (event.t_ms, event.at)
        return True

    def _write(self, line: bytes) -> None:
        with self._as_output_error():
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
                self._torn = len(line) - len(rest)
            self._torn = 0
            self._size += len(line)
        self._is_synced = False
        self.sync()

    def _sync_folders(self) -> None:
        """Have the disk take the header and the names of the files, so that a power cut can't."""
        with self._as_output_error():
            for place in (self.folder / HEADER_NAME, self.folder, self.folder.absolute().parent):
                handle = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

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
        """A full disk takes half a line: cut it off again, if the disk lets us, and stop.

        Others append labels meanwhile, so that the file is longer than what this wrote.
        """
        if self._file >= 0:
            torn, self._torn = self._torn, 0
            with suppress(OSError):  # a read-only disk; readers skip a torn last line
                end = os.lseek(self._file, 0, os.SEEK_CUR)
                if torn and end == os.fstat(self._file).st_size:
                    os.ftruncate(self._file, end - torn)
            self._close()

    def _discard(self) -> None:
        """Leave nothing of a session that holds no frame."""
        self._close()
        shutil.rmtree(self.folder / PICTURES_NAME, ignore_errors=True)
        for name in (EVENTS_NAME, HEADER_NAME):
            with suppress(OSError):
                (self.folder / name).unlink()
        if self._is_new:
            with suppress(OSError):
                self.folder.rmdir()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _suffix_of(frame: int, picture: bytes) -> str:
    """The ending of its file, by what an encoded picture begins with."""
    for start, suffix in _STARTS.items():
        if picture.startswith(start):
            return suffix
    raise SessionError(
        f"frame {frame} has a picture of {len(picture)} bytes that is neither JPEG nor PNG, "
        "expected the encoded frame"
    )
