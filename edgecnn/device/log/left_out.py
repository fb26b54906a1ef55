"""The answers that a thin log leaves out, held as long as a label may come for them."""

from __future__ import annotations

from edgecnn.session.events import FrameEvent

__all__ = ["LeftOut"]

# As many as the live figure takes labels for (see `Answers`), so that an audit counts these too.
_MOST = 20_000  # about 13 MB

_Place = tuple[int, str | None]  # frame and region


class LeftOut:
    """The newest answers that were not logged, and those to frames that a person may be asked of.

    A page asks about frames of the whole run, by chance, so that these are not pushed out by
    newer ones that nobody is asked about.

    Args:
        labels_come: Whether the run has any source of labels; without one nothing is held.
    """

    def __init__(self, *, labels_come: bool = True) -> None:
        self._labels_come = labels_come
        self._newest: dict[_Place, FrameEvent] = {}
        self._asked: dict[_Place, FrameEvent] = {}

    def hold(self, answer: FrameEvent, *, may_be_asked: bool) -> None:
        """Note an answer that is not logged."""
        if not self._labels_come:
            return
        held = self._asked if may_be_asked else self._newest
        held[answer.frame, answer.region] = answer
        if len(held) > _MOST:
            del held[next(iter(held))]

    def find(self, frame: int, region: str | None) -> FrameEvent | None:
        """The answer to a frame that a label came for; None where it is logged or forgotten."""
        place = (frame, region)
        return self._newest.get(place) or self._asked.get(place)

    def forget(self, frame: int, region: str | None) -> None:
        """Hold an answer no longer: it was logged."""
        for held in (self._newest, self._asked):
            held.pop((frame, region), None)
