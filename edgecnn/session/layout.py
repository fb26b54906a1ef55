"""The names of the files in a SESSION folder."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "EVENTS_NAME",
    "HEADER_NAME",
    "events_file",
    "header_file",
    "is_session",
    "picture_stem",
    "pictures_folder",
]

HEADER_NAME = "session.json"
EVENTS_NAME = "events.jsonl"


def header_file(session: Path) -> Path:
    """Where the header of a session is."""
    return session / HEADER_NAME


def events_file(session: Path) -> Path:
    """Where the events of a session are."""
    return session / EVENTS_NAME


def pictures_folder(session: Path) -> Path:
    """Where the kept pictures of a session are."""
    return session / "frames"


def is_session(folder: Path) -> bool:
    """Whether a folder is a session, by its header file."""
    return header_file(folder).is_file()


def picture_stem(frame: int, region: str | None = None) -> str:
    """The file name, without its ending, of the picture of a frame or of one of its regions.

    Example:
        >>> picture_stem(12), picture_stem(12, "left")
        ('00000012', '00000012_left')
    """
    return f"{frame:08d}" if region is None else f"{frame:08d}_{region}"
