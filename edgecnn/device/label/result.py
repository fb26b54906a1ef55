"""What a labelling came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.accuracy.tally import Tally
from edgecnn.records import Record, json_as

__all__ = ["LabelResult"]


@dataclass(frozen=True)
class LabelResult(Record):
    """How many pictures have a label.

    Args:
        labelled: With a class, or "none of these".
        cant_tell: Seen, but nobody can tell.
        left: Not seen yet.
        written: The files or the folder that hold the labels.
        live: The live accuracy of sessions; None for a folder.
    """

    labelled: int
    cant_tell: int
    left: int
    written: tuple[Path, ...]
    live: Tally | None = field(default=None, metadata=json_as(if_any=True))

    def to_text(self) -> str:
        live = "" if self.live is None else f"live      {self.live.text()}\n"
        where = ", ".join(map(str, self.written))
        return (
            f"{live}labelled  {self.labelled} ({self.cant_tell} can't tell, {self.left} left)\n"
            f"written   {where}\n"
        )
