"""One spelling for a label, however its accents are encoded.

macOS writes "Ä" in a folder's name as A and a combining mark, others as one character: the two look
the same and are different strings.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

__all__ = ["spelt"]


def spelt(name: str, known: Collection[str] = ()) -> str:
    """A name with its accents composed (NFC), or as a known label spells it.

    Example:
        >>> spelt("A\\u0308pfel") == "\\u00c4pfel"
        True
        >>> spelt("\\u00c4pfel", ["A\\u0308pfel"]) == "A\\u0308pfel"
        True
    """
    if name.isascii() or name in known:
        return name
    composed = unicodedata.normalize("NFC", name)
    return next((k for k in known if unicodedata.normalize("NFC", k) == composed), composed)
