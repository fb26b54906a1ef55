"""Which frames the page asks about: drawn by chance, so that their answers speak for all frames.

Each frame enters with probability p, whatever its answer. When too many wait, each of them stays
with a chance of one half, and p is halved; when none waits and somebody asks, p is doubled. So
1 / p times "is asked or waits" is 1 in the mean for every frame of the run, and labels weighted
by 1 / p estimate the accuracy over all frames without bias, however long nobody looked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from edgecnn.bundle.spec import Prediction
from edgecnn.device.web.pictures import LazyPicture

__all__ = ["Draw", "Shown"]

_MOST_WAITING = 16
_FIRST_P = 0.25
_PATIENCE = 4  # frames without a question before p is doubled
_LEASE_S = 120.0
_REMEMBERED = 20_000
_TAKEN_BACK = 64  # as many as a page can undo, and some more


@dataclass(frozen=True)
class Shown:
    """A frame that can be labelled: its number, answer and picture, and its chance to be asked.

    `nth` counts the answers of the run up to this one: frames that were dropped have none.
    """

    frame: int
    captured: float
    answer: Prediction
    picture: LazyPicture
    probability: float | None = None
    nth: int = 0


class Draw:
    """The frames that wait to be asked about. Not thread-safe: its owner holds a lock."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)
        self._p = _FIRST_P
        self._since = 0  # frames since p changed
        self._hungry = False
        self._waiting: dict[int, Shown] = {}
        self._leases: dict[str, tuple[int, float]] = {}
        self._asked: dict[int, float] = {}
        self._labelled: dict[int, Shown] = {}  # the newest

    def __len__(self) -> int:
        return len(self._waiting)

    def enters(self) -> bool:
        """Whether the next frame enters: by chance alone. Called once for each frame."""
        self._since += 1
        if self._hungry and not self._waiting and self._since >= _PATIENCE:
            self._p, self._since = min(1.0, 2 * self._p), 0
        return self._random.random() < self._p

    def add(self, shown: Shown) -> None:
        """Take in a frame that `enters`."""
        self._waiting[shown.frame] = replace(shown, probability=self._p)
        leased = {frame for frame, _ in self._leases.values()}
        while len(self._waiting) > _MOST_WAITING + len(leased):
            self._halve(leased)

    def ask(self, person: str, now: float) -> Shown | None:
        """The frame that this person is asked about, the same until it is labelled."""
        held = self._leases.get(person)
        if held and held[0] in self._waiting:
            self._leases[person] = (held[0], now)
            return self._waiting[held[0]]
        self._leases = {
            who: (frame, at)
            for who, (frame, at) in self._leases.items()
            if frame in self._waiting and now - at < _LEASE_S
        }
        leased = {frame for frame, _ in self._leases.values()}
        free = [frame for frame in self._waiting if frame not in leased]
        self._hungry = not free
        if not free:
            return None
        frame = self._random.choice(free)
        self._leases[person] = (frame, now)
        self._asked[frame] = self._waiting[frame].probability or self._p
        if len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]
        return self._waiting[frame]

    def shown(self, frame: int) -> Shown | None:
        """A waiting frame."""
        return self._waiting.get(frame)

    def was_asked(self, frame: int) -> bool:
        """Whether a person was asked about a frame."""
        return frame in self._asked

    def labelled(self, frame: int) -> float | None:
        """Note that a frame has its label; its chance to be asked, None where nobody asked.

        A frame that a person picked still waits: taken out, those left would speak for others.
        """
        probability = self._asked.get(frame)
        if probability is not None:
            shown = self._waiting.pop(frame, None)
            if shown is not None:
                self._labelled[frame] = shown
            if len(self._labelled) > _TAKEN_BACK:
                del self._labelled[next(iter(self._labelled))]
        return probability

    def withdrawn(self, frame: int, person: str, now: float) -> float | None:
        """Ask this person again about a frame whose label is taken back; its chance as before."""
        shown = self._labelled.pop(frame, None)
        if shown is not None:
            self._waiting[frame] = shown
            self._leases[person] = (frame, now)
        return self._asked.get(frame)

    def _halve(self, leased: set[int]) -> None:
        """Frames that a person sees stay, with the chance they had when they were asked."""
        self._p, self._since = self._p / 2, 0
        kept = {}
        for frame, shown in self._waiting.items():
            if frame in leased:
                kept[frame] = shown
            elif self._random.random() < 0.5:
                kept[frame] = replace(shown, probability=(shown.probability or 1.0) / 2)
        self._waiting = kept
