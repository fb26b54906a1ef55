"""Words of messages: a count with its noun."""

from __future__ import annotations

__all__ = ["number"]


def number(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun.

    Example:
        >>> number(1, "image"), number(2000, "image"), number(2, "class", "classes")
        ('1 image', '2,000 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
