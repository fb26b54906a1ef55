"""Number the things that frames show, one frame after the other, by what they look like.

A thing that is filmed for a minute, or that returns for weeks, is one thing: its frames are no
independent answers. A frame shows the thing of the frame before it, or one that was seen earlier,
if their fingerprints correlate by at least 0.95. Otherwise it shows a new thing. A thing that
turns slowly leaves several looks behind, and is known again by each of them. One that has turned
until it correlates with its first look by less than 0.5 counts as another one: a belt that carries
the next thing into view moves as slowly.

The threshold is lower than that of splits (0.97 in `near_duplicates`): an interval that takes two
things for one is too wide, one that takes a thing for two says more than is known. Measured on
1,000 digits of as many writings: 0.97 takes them for 896 things, 0.95 for 654, 0.90 for 277. On
the 1,019 crops of six meters, where few digits return for weeks: 613, 534, 382; under one number
fall different digits in 16, 32 and 65 cases (they stay apart by their labels).

Different parts in front of one inspection camera look alike, and no picture says that they are
different: a person has to, see `thing_rule`.

Memory and time are bounded: the 1,000 looks that were seen last are compared (1 MB), and only
where the frame before looks otherwise. A thing whose looks are forgotten counts as new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.near_duplicates import unit_vector
from edgecnn.accuracy.tally import Tally

__all__ = ["ObjectNumbers", "number_things", "tally_of_objects"]

_LOOKS = 1000
_ALIKE = 0.95
_TURNED = 0.5


class ObjectNumbers:
    """Numbers things from 0, in the order in which they first appear.

    Args:
        threshold: Smallest correlation of two looks of one thing, in (0, 1].
        looks: How many looks are remembered.

    Example:
        >>> numbers = ObjectNumbers()
        >>> ramp = np.arange(256, dtype=np.uint8)
        >>> [numbers.number(picture) for picture in (ramp, ramp // 2, ramp[::-1], ramp)]
        [0, 0, 1, 0]
    """

    def __init__(self, threshold: float = _ALIKE, looks: int = _LOOKS) -> None:
        self._threshold, self._most = threshold, looks
        self._looks = np.zeros((0, 0), np.float32)
        self._owner = np.zeros(looks, int)
        self._seen = np.zeros(looks, int)
        self._used = self._count = self._time = 0
        self._last: np.ndarray | None = None
        self._came: np.ndarray | None = None  # the first look of the thing in view
        self._look = -1  # of the frame before
        self._blank = -1  # the thing that all pictures without contrast show

    def number(self, fingerprint: np.ndarray) -> int:
        """The thing that a frame shows.

        Args:
            fingerprint: uint8, shape (256,): see `near_duplicates.fingerprint`.
        """
        vector, before = unit_vector(fingerprint), self._last
        self._last = vector
        self._time += 1
        if vector is None:
            if self._blank < 0:
                self._blank = self._new()
            return self._blank
        if not self._looks.size:
            self._looks = np.zeros((self._most, len(vector)), np.float32)
        stays = before is not None and float(vector @ before) >= self._threshold
        turned = stays and self._came is not None and float(vector @ self._came) < _TURNED
        if not stays or turned:
            self._came = vector
            thing = self._find(vector, without=int(self._owner[self._look]) if turned else None)
        else:
            thing = int(self._owner[self._look])
            if float(vector @ self._looks[self._look]) < self._threshold:
                self._find(vector, of=thing)
        self._seen[self._look] = self._time
        return thing

    def _find(
        self, vector: np.ndarray, *, of: int | None = None, without: int | None = None
    ) -> int:
        """The first thing with a look that is near enough; else a look of a new one is added.

        Args:
            of: Only looks of this thing count, and the look that is added is its own.
            without: Looks of this thing don't count.
        """
        if self._used:
            owner, match = self._owner[: self._used], self._looks[: self._used] @ vector
            if of is not None:
                match[owner != of] = -1
            if without is not None:
                match[owner == without] = -1
            near = np.flatnonzero(match >= self._threshold)
            if len(near):
                # Of several things the first: a thing that was once taken for a new one gives
                # its frames back.
                first = near[owner[near] == owner[near].min()]
                self._look = int(first[match[first].argmax()])
                return int(owner[self._look])
        if self._used < self._most:
            self._look, self._used = self._used, self._used + 1
        else:
            self._look = int(self._seen.argmin())
        self._looks[self._look] = vector
        self._owner[self._look] = self._new() if of is None else of
        return int(self._owner[self._look])

    def _new(self) -> int:
        self._count += 1
        return self._count - 1


def number_things(fingerprints: Sequence[np.ndarray], order: Iterable[int]) -> np.ndarray:
    """Number the things that some pictures show: int64, shape (n,).

    Args:
        fingerprints: See `ObjectNumbers.number`.
        order: The rows as they are seen; each once.

    Example:
        >>> ramp = np.arange(256, dtype=np.uint8)
        >>> number_things([ramp, ramp[::-1], ramp // 2], range(3)).tolist()
        [0, 1, 0]
    """
    numbers, found = ObjectNumbers(), np.zeros(len(fingerprints), np.int64)
    for row in order:
        found[row] = numbers.number(fingerprints[row])
    return found


def tally_of_objects(
    correct: Sequence[bool] | np.ndarray,
    number: Sequence[int] | np.ndarray,
    label: Sequence[str] | np.ndarray,
) -> Tally:
    """The tally of answers to images: those of one thing under one label are one cluster.

    Args:
        correct: Whether each answer was right.
        number: From `ObjectNumbers`.
        label: The true class of each image.
    """
    _, code = np.unique(np.asarray(label), return_inverse=True)
    things = np.array(number, int) * (int(code.max(initial=0)) + 1) + code
    return Clusters.of(np.array(correct, bool), things).tally()
