"""Which pictures a network has learned from: what it answers to those says nothing of others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgecnn.bundle.card import Card, picture_key
from edgecnn.bundle.preprocess import read_bytes
from edgecnn.errors import ImageError
from edgecnn.files.folders import file_sha256

__all__ = ["count_learned", "learned_notes"]

# A folder may hold 100,000 photographs, and the run that reads them shall not wait for this.
_MOST = 500


def count_learned(card: Card, paths: Iterable[Path]) -> int:
    """How many of these files it was trained on or adapted to, at least: up to 500 are read."""
    files, known = list(paths), card.learned_pictures
    some = files[:: max(1, -(-len(files) // _MOST))] if known else []
    return sum(_key(path) in known for path in some)


def learned_notes(count: int, what: str, who: str = "the network") -> list[str]:
    """What that means for an accuracy, if there are any.

    Args:
        what: What they are part of, such as "these images".
    """
    if not count:
        return []
    return [
        f"{who} was trained on or adapted to {count} of {what}, or more: accuracy on images like "
        "these flatters it"
    ]


def _key(path: Path) -> str | None:
    """None where it can't be read: whoever answers it says so."""
    try:
        return picture_key(file_sha256(read_bytes(path)))
    except ImageError:
        return None
