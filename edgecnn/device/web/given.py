"""A label as the page sends it, checked before anything else sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

__all__ = ["GivenLabel", "SeenLabels"]

_VIAS = ("page", "strip", "stretch", "label")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_STRETCH = 100_000
_MOST_FRAMES = 1 << 44
_REMEMBERED = 20_000


@dataclass(frozen=True)
class GivenLabel:
    """What a person says about the frames `first` to `last` of a run.

    Args:
        id: Made by the page, so that a label that is sent twice counts once.
        run: Which run the frames are of: numbers start anew with each.
        label: None says "can't tell".
        via: "page", "strip", "stretch" or "label".
        blind: Whether the answer was hidden.
        at: When it was given, in UTC.
        withdrawn: It takes back what this person said of these frames last; `label` is None.
    """

    id: str
    run: str
    first: int
    last: int
    label: str | None
    via: str
    by: str
    blind: bool
    at: datetime
    withdrawn: bool = False

    @property
    def was_blind(self) -> bool | None:
        """For the session: a withdrawal is no label, and so neither blind nor seen."""
        return None if self.withdrawn else self.blind

    @classmethod
    def read(cls, data: Any) -> GivenLabel:
        """Read one from JSON.

        Raises:
            ValueError: It is anything else; the message says what.
        """
        if not isinstance(data, Mapping):
            raise ValueError("a label is not an object")
        first = _whole(data, "frame", _MOST_FRAMES)
        last = _whole(data, "last", _MOST_FRAMES) if "last" in data else first
        if not first <= last < first + _LONGEST_STRETCH:
            raise ValueError("last is not from frame to 100,000 later")
        label = data.get("label", "")
        if label is not None and not _is_name(label, 200):
            raise ValueError("label is no text of 1 to 200 characters")
        withdrawn = data.get("withdrawn", False)
        if not isinstance(withdrawn, bool) or (withdrawn and label is not None):
            raise ValueError("withdrawn is not true with a label of null")
        if data.get("via") not in _VIAS or not isinstance(data.get("unseen"), bool):
            raise ValueError(
                f"expected via as one of {', '.join(_VIAS)} and unseen as true or false"
            )
        if not _is_name(data.get("by"), 40):
            raise ValueError("by is no text of 1 to 40 characters")
        if not all(isinstance(data.get(k), str) and _ID.fullmatch(data[k]) for k in ("id", "run")):
            raise ValueError("id and run are not 1 to 64 letters, digits, _ or -")
        at = datetime.fromtimestamp(_whole(data, "at", 1 << 43) / 1000, timezone.utc)
        return cls(
            id=data["id"],
            run=data["run"],
            first=first,
            last=last,
            label=label,
            via=data["via"],
            by=data["by"],
            blind=data["unseen"],
            at=at,
            withdrawn=withdrawn,
        )


class SeenLabels:
    """The ids of the newest labels, so that one that is sent again counts once."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def add(self, name: str) -> bool:
        """Note an id, once its label is kept; False where it was there already."""
        if name in self._ids:
            return False
        self._ids[name] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True


def _is_name(value: Any, most: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= most and value.isprintable()


def _whole(data: Mapping[str, Any], key: str, limit: int) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < limit:
        raise ValueError(f"{key} is no whole number from 0 to {limit - 1}")
    return value
