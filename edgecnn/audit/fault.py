"""Something that no model can be blamed for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgecnn.records import Record, json_as

__all__ = ["Fault"]


@dataclass(frozen=True)
class Fault(Record):
    """Something that no model can be blamed for.

    kind      "path": what the device does to a frame; "truth": the labels; "session": its files
    points    what it costs that session, in accuracy points; None where no label says so
    session   the folder of the session that has it
    example   of a path: the model's input as it should be and as it is, uint8 R, G, B
    """

    kind: Literal["path", "truth", "session"]
    name: str
    points: float | None
    evidence: str
    session: str
    example: tuple[np.ndarray, np.ndarray] | None = field(
        default=None, compare=False, metadata=json_as(hidden=True)
    )
