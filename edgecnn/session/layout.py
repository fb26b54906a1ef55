"""The names of the files in a SESSION folder."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import chain, count
from pathlib import Path

from edgecnn.errors import DataError, OutputError
from edgecnn.files.own_folders import SESSION_HEADER

__all__ = [
    "EVENTS_NAME",
    "GOES_ON_IN",
    "HEADER_NAME",
    "PICTURES_NAME",
    "check_there",
    "is_dated",
    "is_session",
    "labels_beside",
    "new_dated",
    "new_session",
    "picture_stem",
    "sessions_below",
    "short_name",
]

HEADER_NAME = SESSION_HEADER
EVENTS_NAME = "events.jsonl"
PICTURES_NAME = "frames"
GOES_ON_IN = "goes on in "
"""How a session ends where its run goes on in another one; the name of that follows."""


def is_session(folder: Path) -> bool:
    """Whether a folder is a session, by its header file."""
    return (folder / HEADER_NAME).is_file()


def short_name(session: Path) -> str:
    """What a session is called in a line: a dated one with its root, for the sessions of several
    cameras begin at one midnight.

    Example:
        >>> short_name(Path("fleet/hall/2026-05-02T00-00-00Z")), short_name(Path("fleet/monday"))
        ('hall/2026-05-02T00-00-00Z', 'monday')
    """
    return "/".join(session.absolute().parts[-2:]) if is_dated(session) else session.name


def is_dated(session: Path) -> bool:
    """Whether a session has the name that `run --log-root` gives."""
    return re.match(r"\d{4}-\d\d-\d\dT", session.name) is not None


def new_dated(root: Path) -> Path:
    """A new folder below a root, named by the time in UTC.

    Raises:
        OutputError: The disk fails, or nobody may look into the root.
    """
    name = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%SZ")
    names = (name, *(f"{name}-{k}" for k in range(2, 1000)))
    try:
        return next(root / one for one in names if not (root / one).exists())
    except OSError as error:
        raise OutputError(
            f"can't look into {root}: {error.strerror}; check it, or choose another --log-root"
        ) from error


def sessions_below(place: Path) -> list[Path]:
    """The sessions of a root that `run --log-root` filled, by name; a session is itself.

    Of a folder with the roots of several devices all of theirs: taken for images, their frames
    would have no labels. A place that is none of these comes back as it is: reading it says what
    is wrong.
    """
    if is_session(place) or not place.is_dir():
        return [place]
    found = [folder for folder in place.iterdir() if is_session(folder)]
    found = found or [header.parent for header in place.glob(f"*/*/{HEADER_NAME}")]
    return sorted(found) or [place]


def check_there(place: Path) -> None:
    """Refuse a place that is not there, where sessions and folders of images are both taken.

    Raises:
        DataError: It does not exist.
    """
    if not place.exists():
        raise DataError(
            f"{place} does not exist, expected a SESSION or a folder of images; check the path"
        )


def new_session() -> str:
    """A name for a session that a next command may write into the working directory."""
    names = chain(["session"], (f"session_{k}" for k in count(2)))
    return next(name for name in names if not Path(name).exists())


def labels_beside(session: Path) -> Path:
    """Where the labels of a session are kept that can't be written to: beside its folder.

    Example:
        >>> labels_beside(Path("/media/card/monday")).as_posix()
        '/media/card/monday.labels.jsonl'
    """
    folder = session.absolute()
    return folder.with_name(f"{folder.name}.labels.jsonl")


def picture_stem(frame: int, region: str | None = None) -> str:
    """The file name, without its ending, of the picture of a frame or of one of its regions.

    Example:
        >>> picture_stem(12), picture_stem(12, "left")
        ('00000012', '00000012_left')
    """
    return f"{frame:08d}" if region is None else f"{frame:08d}_{region}"
