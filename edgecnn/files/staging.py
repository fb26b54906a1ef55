"""Write files and folders beside their target and rename them, so none is ever half-written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from time import time
from typing import BinaryIO

from edgecnn.errors import OutputError
from edgecnn.files.own_folders import check_not_within

__all__ = [
    "check_file_place",
    "check_room",
    "check_writable",
    "remove_left",
    "staged_folder",
    "write_file",
]

_LEFT_S = 3600  # a file that is written gets bytes more often
_NEAR = 65_536  # bytes at either end of a file, where its mark is


@contextmanager
def staged_folder(target: Path, *, marker: str) -> Iterator[Path]:
    """Make a new folder that replaces `target` when the block ends without an error.

    Args:
        target: The folder to make. An older one is replaced if it is empty or holds `marker`. Of
            a link, what it leads to is made or replaced, and the link stays.
        marker: A file that only this kind of folder has, such as "card.json", so that no other
            folder of the user is replaced.

    Raises:
        OutputError: `target` is another folder or a file, or the place is read-only or full.
    """
    check_writable(target, marker=marker)
    with _as_output_error(target):
        place = _behind_links(target)
        stage = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        with _as_output_error(target):
            stage.chmod(0o777 & ~_umask())
            yield stage
            old = stage.with_name(stage.name + ".old")
            if place.exists():
                place.rename(old)
            stage.rename(place)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def check_writable(target: Path, *, marker: str) -> None:
    """Refuse early what `staged_folder` would refuse after an hour of work.

    Raises:
        OutputError: `target` is another folder or a file, is inside a folder of edgecnn's, or
            can't be written to.
    """
    with _as_output_error(target):
        check_not_within(target)
        place = _behind_links(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and any(target.iterdir()) and not (target / marker).exists():
            raise OutputError(
                f"{target} exists and is not a folder of this command (no {marker} in it); "
                "choose another -o or empty it"
            )
        if target.exists() and not target.is_dir():
            raise OutputError(f"{target} exists and is not a folder; choose another -o")
        with tempfile.TemporaryFile(dir=place.parent):
            pass


def check_file_place(target: Path, what: str, starts: bytes = b"", mark: bytes = b"") -> None:
    """Refuse before the work a file that `write_file` could not write after it, or should not:
    only a file of the same kind is replaced, so that a slip of the pen costs no photograph, no
    session and no table of labels.

    Args:
        what: The kind in words, such as "a page".
        starts: What a file of this kind begins with; upper or lower case are alike.
        mark: What a file of this kind has near its begin or its end.

    Raises:
        OutputError: It is a folder, a device or a file of another kind, is inside a folder of
            edgecnn's, or its folder can't be written to.
    """
    with _as_output_error(target):
        if target.is_dir():
            raise OutputError(f"{target} is a folder, expected a file to write; name one in it")
        place = _regular(target)
        if place.is_file() and not _is_of_kind(place, starts, mark):
            raise OutputError(
                f"{target} exists and is not {what} of this command; choose another name, so "
                "that it is not lost"
            )
        check_not_within(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place.parent):
            pass


def check_room(target: Path, needed: float) -> None:
    """Refuse before the work what would not fit on the disk after it.

    Args:
        needed: Bytes, at least; what is not known is better left out.

    Raises:
        OutputError: Fewer are free where `target` will be.
    """
    place = next(one for one in (target, *target.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OutputError(
            f"No space left for {target}: about {needed / 1e6:.1f} MB are needed, "
            f"{free / 1e6:.1f} MB are free there; free some, or choose another -o"
        )


def write_file(target: Path, data: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all; of a link, what it leads to, and the link stays.

    Args:
        data: What it holds, or what writes that to a file: large data need no copy in memory.

    Raises:
        OutputError: The place is a folder, a device or a pipe, read-only or full.
    """
    raw = data.encode() if isinstance(data, str) else data
    write = raw if callable(raw) else lambda file: file.write(raw)
    with _as_output_error(target):
        place = _regular(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remove_left(target: Path) -> None:
    """Remove what `write_file` left beside a file when it was killed; what is younger than an hour
    may still be written by another run.
    """
    place = Path(os.path.realpath(target))
    for left in place.parent.glob(f".{escape(place.name)}.{'[a-z0-9_]' * 8}"):
        with suppress(OSError):  # another run was quicker, or it is another user's
            if left.is_file() and time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()


def _behind_links(target: Path) -> Path:
    """Where a place really is.

    Raises:
        OutputError: It is a link that leads to itself.
    """
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OutputError(f"{target} is a link that leads to itself; remove it")
    return place


def _regular(target: Path) -> Path:
    """Where a file really is, or will be: a device or a pipe is never replaced by a file.

    Raises:
        OutputError: It is one.
    """
    other = target.exists() and not target.is_file() and not target.is_dir()
    if other or _is_stream(target):
        raise OutputError(
            f"{target} is a device, a pipe or a stream, expected a regular file; choose another "
            "name"
        )
    return _behind_links(target)


def _is_stream(target: Path) -> bool:
    """Whether it names a device, or what a process has open, such as /dev/stdout. That may lead to
    a regular file, as with `> log`: when it is replaced, what else is printed there is lost.
    """
    folder = Path(os.path.realpath(target.parent))
    if folder == Path("/dev") or Path("/proc") in folder.parents:
        return True
    leads_on = target.is_symlink() and target.exists()
    return leads_on and _is_stream(target.parent / target.readlink())


def _is_of_kind(file: Path, starts: bytes, mark: bytes) -> bool:
    """Whether a file begins so and has this mark; an empty one is of any kind."""
    with file.open("rb") as opened:
        head = opened.read(_NEAR)
        opened.seek(max(0, file.stat().st_size - _NEAR))
        tail = opened.read(_NEAR)
    return not head or (head.lower().startswith(starts.lower()) and mark in head + tail)


@contextmanager
def _as_output_error(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"can't write {target}: {reason}; check the folder or choose another place"
        ) from error


def _umask() -> int:
    """Read the process's umask by setting it: there is no other way."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
