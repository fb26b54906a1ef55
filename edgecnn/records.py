"""Types shared by all rooms, for card.json, sessions and --json.

Accuracy is a fraction in [0, 1]; a gap or drop is in points (100 x fraction).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

__all__ = [
    "Json",
    "Progress",
    "known_fields",
]

Json = dict[str, Any]
# (name of the work, number done, total): the command line draws it, not the library.
Progress = Callable[[str, int, int], None]


def known_fields(cls: Any, data: Mapping[str, Any]) -> Json:
    """Keep the entries of `data` that are fields of `cls`: later versions may add others."""
    return {f.name: data[f.name] for f in fields(cls) if f.name in data}
