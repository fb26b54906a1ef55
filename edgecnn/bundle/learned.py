"""Which pictures a network has learned from: what it answers to those says nothing of others."""

from __future__ import annotations

from edgecnn.bundle.card import Card, picture_key
from edgecnn.files.folders import file_sha256

__all__ = ["LearnedPictures", "learned_notes"]


class LearnedPictures:
    """Counts, of the encoded pictures that it is shown, those that a network has learned from.

    Args:
        card: Of the network; it knows up to 300 of its training images, and all that it was
            adapted to.
    """

    def __init__(self, card: Card) -> None:
        self._known = card.learned_pictures
        self.count = 0

    def see(self, encoded: bytes | None) -> None:
        """Count the bytes of a file if the network learned from them; None is nobody's file."""
        if self._known and encoded is not None:
            self.count += picture_key(file_sha256(encoded)) in self._known


def learned_notes(count: int, what: str, who: str = "the network") -> list[str]:
    """What it means for an accuracy that a network has learned from so many, if any.

    Args:
        what: What they are part of, such as "these images".
    """
    if not count:
        return []
    return [
        f"{who} was trained on or adapted to {count} of {what}, or more: accuracy on images like "
        "these flatters it"
    ]
