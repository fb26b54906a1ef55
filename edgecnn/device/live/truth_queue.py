"""What truth sources share: labels wait here until the loop takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from edgecnn.session.events import TruthEvent

__all__ = ["TruthQueue"]


class TruthQueue:
    """Labels that any thread may put and the loop's thread takes; neither ever waits."""

    def __init__(self, via: str) -> None:
        self.via = via
        self._waiting: deque[TruthEvent] = deque()

    def put(self, event: TruthEvent) -> None:
        self._waiting.append(event)

    def take(self) -> Sequence[TruthEvent]:
        """The labels that came since the last call."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def close(self) -> None:
        """Nothing is held open."""
