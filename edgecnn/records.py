"""The values that every stage shares: what stands in card.json, in a session and in --json.

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
# (what is being done, done so far, out of how many): the command line draws it, not the library.
Progress = Callable[[str, int, int], None]


def known_fields(cls: Any, data: Mapping[str, Any]) -> Json:
    """The entries of `data` that `cls` has fields for: later versions may add some."""
    return {f.name: data[f.name] for f in fields(cls) if f.name in data}
