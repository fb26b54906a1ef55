"""The room that the sessions of a root take: bounded by `--root-mb`, or said where it runs out."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from math import ceil
from pathlib import Path

from edgecnn.device.options import RunOptions
from edgecnn.errors import EdgecnnError, OptionError
from edgecnn.session.header import open_session
from edgecnn.session.layout import (
    EVENTS_NAME,
    HEADER_NAME,
    PICTURES_NAME,
    is_dated,
    is_session,
    labels_beside,
    picture_stem,
)
from edgecnn.session.read import truth_events
from edgecnn.words import number

__all__ = ["Room", "check_room", "expire_pictures", "room_left"]

_GONE = ".deleted-"  # how the name of a session begins that is being deleted
_MB, _GB, _DAY_S = 1e6, 1e9, 86_400.0
# A session that was written to within this time may be another run's that goes on.
_FRESH_S = 3600.0
_SHORT_S = 3600.0  # too short a time to foretell a month by
_MONTH_DAYS, _LONG_DAYS = 30, 1000


def check_room(options: RunOptions, *, is_root: bool = False) -> None:
    """Refuse a bound that not even two sessions keep to.

    Args:
        is_root: Sessions go below a root, whether `options` say so or not.

    Raises:
        OptionError: It is so low.
    """
    if options.root_mb is None or not (is_root or options.log_root):
        return
    least = 2 * (options.session_mb + options.keep_mb)
    if options.root_mb < least:
        raise OptionError(
            f"--root-mb {options.root_mb:g} has no room for two sessions of --session-mb "
            f"{options.session_mb:g} and --keep-mb {options.keep_mb:g}; give --root-mb "
            f"{ceil(least)} or more, or a smaller --session-mb and --keep-mb"
        )


def room_left(session: Path, seconds: float) -> tuple[str, float] | None:
    """How much a month takes at the rate of a session, and the days that the disk has room for.

    None where the session was too short to say, or the disk does not answer.
    """
    if seconds < _SHORT_S:
        return None
    try:
        free = shutil.disk_usage(session).free
        a_day = max(1, _bytes(session)) * _DAY_S / seconds
    except OSError:
        return None
    days = free / a_day
    room = f"{days:.0f} days" if days < _LONG_DAYS else "years"
    return (
        f"at the rate of {session.name} the sessions of {session.parent} take "
        f"{_amount(_MONTH_DAYS * a_day)} a month; the disk has {_amount(free)} free, room for "
        f"{room}; --root-mb bounds them",
        days,
    )


def _amount(num_bytes: float) -> str:
    return f"{num_bytes / _GB:.1f} GB" if num_bytes >= _GB else f"{num_bytes / _MB:.0f} MB"


class Room:
    """Deletes what is oldest beyond a bound: sessions without a label, then pictures without one,
    and only then sessions with labels. Where the disk has no room for another session it deletes
    too, but nothing with a label: another program may have filled it. Reading and deleting takes a
    disk's time: `look` does it in a thread of its own.

    deleted  the sessions that are gone
    notes    what was deleted, to be taken by another thread

    Args:
        root: Holds the sessions, named by their dates; what else is there stays.
        megabytes: The most that all of them take.
        free: Megabytes that another session takes.
    """

    def __init__(self, root: Path, megabytes: float, free: float) -> None:
        self.root, self._most, self._free = root, megabytes * _MB, free * _MB
        self.deleted: set[Path] = set()
        self.notes: deque[str] = deque()
        self._is_labelled: dict[tuple[Path, int], bool] = {}
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, options: RunOptions) -> Room | None:
        """None where sessions are not bounded."""
        if options.log_root is None or options.root_mb is None:
            return None
        return cls(options.log_root, options.root_mb, options.session_mb + options.keep_mb)

    def look(self, current: Path) -> None:
        """Have the bound kept to, unless that is still being done.

        Args:
            current: The session that is written now: it stays.
        """
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self.keep_to, args=(current,), daemon=True)
            self._thread.start()

    def keep_to(self, current: Path) -> None:
        """Delete until the bound is kept to; see `look`."""
        with suppress(OSError):
            for rest in self.root.glob(f"{_GONE}*"):  # of a run that was killed
                _remove(rest)
        # What a person named is no session of a root, only put there.
        sizes = {one: _bytes(one) for one in _sessions(self.root) if is_dated(one)}
        over, short = sum(sizes.values()) - self._most, 0.0
        with suppress(OSError):
            short = self._free - shutil.disk_usage(self.root).free
        left = max(over, short)
        if left <= 0:
            return
        ended = [one for one in sizes if one != current and not _is_fresh(one)]
        unlabelled = (one for one in ended if not self._has_label(one))  # read as far as needed
        freed = self._delete(unlabelled, left, "without a label")
        if freed >= left:
            return
        labelled = [one for one in ended if one not in self.deleted and self._has_label(one)]
        for session in labelled:
            if freed < left:
                freed += _drop_pictures(session)
        self._delete(labelled, over - freed, "with labels")

    def _delete(self, sessions: Iterable[Path], needed: float, what: str) -> float:
        """Delete the oldest, as far as that is needed; returns the bytes that are free."""
        gone, freed = [], 0.0
        for session in sessions:
            if freed >= needed:
                break
            before, rest = _bytes(session), session.with_name(f"{_GONE}{session.name}")
            with suppress(OSError):
                session.rename(rest)  # at once: what is killed meanwhile leaves no half of one
                labels_beside(session).unlink(missing_ok=True)
            if not session.exists():
                _remove(rest)
                freed += before - _bytes(rest)
                self.deleted.add(session)
                gone.append(session.name)
        if gone:
            few = number(len(gone), "session")
            names = gone[0] if len(gone) == 1 else f"{gone[0]} to {gone[-1]}"
            self.notes.append(f"--root-mb: deleted {few} {what}: {names}")
        return freed

    def _has_label(self, session: Path) -> bool:
        """Whether anybody labelled it; one that can't be read stays as long as one with labels."""
        key = session, sum(map(_size, (session / EVENTS_NAME, labels_beside(session))))
        if key not in self._is_labelled:
            try:
                found = next(truth_events(open_session(session)), None) is not None
            except EdgecnnError:
                found = True
            self._is_labelled[key] = found
        return self._is_labelled[key]


def expire_pictures(place: Path, days: float, young: Collection[Path]) -> None:
    """Delete the pictures of a session, or of all below a root, that are older than some days.

    Args:
        young: Sessions to pass over.
    """
    oldest = time.time() - days * _DAY_S
    for session in [place] if is_session(place) else _sessions(place):
        if session in young:
            continue
        with suppress(OSError):
            for picture in (session / PICTURES_NAME).iterdir():
                if picture.stat().st_mtime < oldest:
                    picture.unlink()


def _remove(rest: Path) -> None:
    with suppress(OSError):
        (rest / HEADER_NAME).unlink()  # from here on it is no session for anybody
    shutil.rmtree(rest, ignore_errors=True)


def _sessions(root: Path) -> list[Path]:
    """The oldest first, by their names."""
    with suppress(OSError):  # a disk that is away
        return sorted(one for one in root.iterdir() if is_session(one))
    return []


def _bytes(session: Path) -> int:
    """What a session takes: its files, its pictures and the labels beside it."""
    found = _size(labels_beside(session))
    for folder in (session, session / PICTURES_NAME):
        with suppress(OSError):
            found += sum(_size(one) for one in folder.iterdir() if not one.is_dir())
    return found


def _size(file: Path) -> int:
    with suppress(OSError):
        return file.stat().st_size
    return 0


def _is_fresh(session: Path) -> bool:
    with suppress(OSError):
        # Not only before now: the clock may have been ahead.
        return abs(time.time() - (session / EVENTS_NAME).stat().st_mtime) < _FRESH_S
    return True


def _drop_pictures(session: Path) -> int:
    """Delete the pictures without a label; returns the bytes that are free."""
    freed = 0
    with suppress(OSError, EdgecnnError):
        pictures = {one.stem: one for one in (session / PICTURES_NAME).iterdir()}
        for event in truth_events(open_session(session)):
            pictures.pop(picture_stem(event.frame, event.region), None)
        for picture in pictures.values():
            size = _size(picture)
            picture.unlink()
            freed += size
    return freed
