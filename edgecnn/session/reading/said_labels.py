"""What was said of each frame of a run that goes on, so that a label can be taken back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgecnn.session.events import TruthEvent

__all__ = [
    "CANT_TELL",
    "CHOSEN",
    "HARD",
    "NONE_OF_THESE",
    "NO_TRUTH",
    "RANDOM",
    "WHOLE",
    "SaidLabels",
    "Standing",
    "chance_weight",
    "why_code",
]

# Instead of the index of a label. Lower numbers are "none of these" too.
NO_TRUTH, CANT_TELL, NONE_OF_THESE = -1, -2, -3
# Why a frame was labelled. Of a frame labelled twice the higher one holds: a frame that chance
# picked stays picked by chance when a person corrects its label.
CHOSEN, HARD, RANDOM, WHOLE = range(4)
_WHY = {"chosen": CHOSEN, "hard": HARD, "uniform": RANDOM, "stretch": WHOLE, "all": WHOLE}


def why_code(why: str | None) -> int:
    """The code of an event's `why`; sessions that don't say why labelled all they could."""
    return _WHY[why or "all"]


def chance_weight(event: TruthEvent) -> float:
    """1 / p of a frame that chance picked, with p its chance to be asked; 1 where p is unknown."""
    p = event.probability
    return 1 / p if p is not None and 0 < p <= 1 and event.why == "uniform" else 1.0


class Standing(NamedTuple):
    """What holds of a frame now: its label, the strongest reason, and the highest weight.

    Where nothing is said any more these are NO_TRUTH, -1 and 1.
    """

    label: int
    why: int
    weight: float


class SaidLabels:
    """The labels of frames in the order in which they were given; the last one stands.

    Args:
        labels: Those of the card: a label is told by its index.
        most: Of more frames than this the one that was labelled first is forgotten.
    """

    def __init__(self, labels: Sequence[str], most: int | None = None) -> None:
        self._code = {label: k for k, label in enumerate(labels)}
        self._most = most
        self._said: dict[int, list[_Said]] = {}

    def add(self, event: TruthEvent) -> Standing:
        """Take a label in, or take back the last one of the same person; returns what holds."""
        said = self._said.setdefault(event.frame, [])
        if not event.withdrawn:
            name = event.label
            code = CANT_TELL if name is None else self._code.get(name, NONE_OF_THESE)
            said.append(_Said(event.source, code, why_code(event.why), chance_weight(event)))
        else:
            own = [k for k, one in enumerate(said) if one.source == event.source]
            if own:
                del said[own[-1]]
        if self._most is not None and len(self._said) > self._most:
            del self._said[next(iter(self._said))]
        if not said:
            return Standing(NO_TRUTH, -1, 1.0)
        return Standing(
            said[-1].label, max(one.why for one in said), max(one.weight for one in said)
        )

    def forget(self, frames: Iterable[int]) -> None:
        """No label of these frames is taken back any more."""
        for frame in frames:
            self._said.pop(frame, None)


class _Said(NamedTuple):
    """A truth of a frame; label and reason are codes."""

    source: str
    label: int
    why: int
    weight: float
