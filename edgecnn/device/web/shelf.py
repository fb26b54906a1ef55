"""The sessions beside the one that is being recorded: listed, downloaded, labelled late."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from edgecnn.device.web.given import GivenLabel
from edgecnn.device.web.late import EndedSession, session_size
from edgecnn.errors import EdgecnnError
from edgecnn.records import Json
from edgecnn.session.header import read_header
from edgecnn.session.layout import HEADER_NAME, is_session

__all__ = ["Recording", "Shelf", "session_id", "zip_stream"]

_CHUNK = 1 << 18
_MOST_READ = 4  # sessions of ended runs, of up to 10 MB


def session_id(folder: Path) -> str:
    """Names a session, alike for each copy of it: a digest of its header, which never changes."""
    return hashlib.sha256((folder / HEADER_NAME).read_bytes()).hexdigest()[:20]


class Recording(Protocol):
    """What writes the sessions of a run."""

    @property
    def folder(self) -> Path:
        """The session that is written now: a run may go on in another one."""


class _Place(NamedTuple):
    """What a session has of its run: its frames from `first` to `last`, and what follows it.

    It holds while the session is of this size.
    """

    first: int
    last: int
    goes_on_in: str | None
    size: tuple[int, ...]

    @classmethod
    def of(cls, one: EndedSession) -> _Place:
        return cls(one.first, one.last, one.goes_on_in, one.size)


class Shelf:
    """The sessions in the folder that holds those of the run.

    Args:
        log: Says which session is being recorded.
    """

    def __init__(self, log: Recording) -> None:
        self._log = log
        self._first = log.folder.absolute()
        self._places: dict[Path, _Place] = {}
        self._ended: dict[Path, EndedSession] = {}
        self._ids: dict[tuple[Path, int], str] = {}
        self._lock = threading.Lock()

    def sessions(self) -> list[Json]:
        """Name, start and size of each, newest first."""
        found, newest = [], self._log.folder.absolute()
        for folder in self._folders():
            with suppress(EdgecnnError, OSError):
                found.append(
                    {
                        "name": folder.name,
                        "started": read_header(folder).started_at,
                        "bytes": sum(map(_size, _files(folder))),
                        "open": folder == newest,
                    }
                )
        return sorted(found, key=lambda one: str(one["started"]), reverse=True)

    def folder(self, name: str) -> Path | None:
        """A session by its name; never a path that leads elsewhere."""
        return next((folder for folder in self._folders() if folder.name == name), None)

    def give(self, given: GivenLabel) -> bool:
        """Add a label to the sessions that its run wrote; False where none here has its frame."""
        found = False
        with self._lock:
            for folder, place in self._of_run(given.run):
                if place.first <= given.last and given.first <= place.last:
                    one = self._read(folder)
                    found = one.add(given) or found
                    self._places[folder] = _Place.of(one)
        return found

    def _of_run(self, run: str) -> Iterator[tuple[Path, _Place]]:
        """The sessions of a run that has ended, in their order; `run` names the first of them."""
        left = {folder.name: folder for folder in self._folders() if folder != self._first}
        folder = next((one for one in left.values() if self._id(one) == run), None)
        while folder is not None:
            place = self._places.get(folder)
            if place is None or place.size != session_size(folder):
                self._places[folder] = place = _Place.of(self._read(folder))
            yield left.pop(folder.name), place
            folder = left.get(place.goes_on_in or "")

    def _id(self, folder: Path) -> str | None:
        """See `session_id`; a header is read once while nobody writes it anew."""
        try:
            key = folder, (folder / HEADER_NAME).stat().st_mtime_ns
            if key not in self._ids:
                self._ids[key] = session_id(folder)
        except OSError:
            return None
        return self._ids[key]

    def _read(self, folder: Path) -> EndedSession:
        """A session; the newest that were read are held, as labels come for one again and again."""
        one = self._ended.pop(folder, None)
        if one is None or one.size != session_size(folder):
            one = EndedSession(folder)
        self._ended[folder] = one
        if len(self._ended) > _MOST_READ:
            del self._ended[next(iter(self._ended))]
        return one

    def _folders(self) -> list[Path]:
        try:
            return [path for path in sorted(self._first.parent.iterdir()) if is_session(path)]
        except OSError:
            return []


def zip_stream(folder: Path) -> Iterator[bytes]:
    """A session as a zip file, in parts; memory stays bounded, and nothing is written to disk.

    A session that is being recorded is read as far as it is written; pictures that are dropped
    meanwhile are left out.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in _files(folder):
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
            with suppress(FileNotFoundError), open(file, "rb") as source:
                left = os.fstat(source.fileno()).st_size
                info = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
                with archive.open(info, "w", force_zip64=True) as target:
                    while left > 0 and (data := source.read(min(left, _CHUNK))):
                        target.write(data)
                        left -= len(data)
                        yield sink.taken()
    yield sink.taken()


class _Sink:
    """A file that can't seek, for `zipfile`, and hands out what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _size(file: Path) -> int:
    """0 for a picture that the run just dropped."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _files(folder: Path) -> list[Path]:
    """The files of a session; links are not followed."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
