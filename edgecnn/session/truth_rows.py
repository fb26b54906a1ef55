"""The labels of a session's frames, from people and programs, in the order they were given."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.session.answers import (
    CANT_TELL,
    NO_TRUTH,
    NONE_OF_THESE,
    align_truth,
    chance_weight,
    frame_key,
    why_code,
)
from edgecnn.session.events import TruthEvent

__all__ = ["Truth", "TruthRows"]


@dataclass(frozen=True)
class Truth:
    """Field labels aligned with `Frames`: int32, shape (n,), index of the label or below 0.

    `why` says how each frame came to be labelled, int8, shape (n,): see `answers`; -1 where
    there is no label. `weight`, float64, shape (n,), is 1 / p where chance asked with
    probability p, else 1. `unknown` counts the frames with a label that the model doesn't have, by
    label; `cant_tell` those whose label nobody can tell; `blind` and `seen` those that a person
    labelled without and with the answer in view; `guarded` those that the run left unlabelled
    because they were near a change of the label; `differing` those that two people labelled
    otherwise, where the later label counts: `people` names them, or the sources where nobody is
    named.
    """

    label: np.ndarray
    why: np.ndarray
    weight: np.ndarray
    broken: int
    unknown: dict[str, int]
    cant_tell: int
    blind: int = 0
    seen: int = 0
    guarded: int = 0
    differing: int = 0
    people: tuple[str, ...] = ()


class TruthRows:
    """Grows `Truth`: a label a row, in the order in which they were given.

    Lines that came later count as given later, unless their time says otherwise: labels that
    were made on a copy are appended at the end, whenever they were made.
    """

    def __init__(self, labels: Sequence[str], regions: Mapping[str | None, int]) -> None:
        self.broken = self.guarded = 0
        self._codes: dict[str | None, int] = {label: k for k, label in enumerate(labels)}
        self._codes[None] = CANT_TELL
        self._outside: list[str] = []
        self._regions = regions
        self._people: dict[str, int] = {}
        self._key, self._label, self._person = array("q"), array("i"), array("i")
        self._why, self._blind = array("b"), array("b")
        # Of most labels the weight is 1 and no time is known: these are (row, value) of others.
        self._weight, self._given = (array("q"), array("d")), (array("q"), array("d"))
        self._newest = float("-inf")
        self._is_late = False  # whether a label says that it was given before one above it

    def add(self, event: TruthEvent) -> None:
        """Take a label in; one of a region that was not classified is passed over.

        Raises:
            ValueError: No such frame can be.
        """
        region = self._regions.get(event.region)
        if region is None:
            return
        # First all that can fail: columns stay of one length.
        key, why, weight = frame_key(event.frame, region), why_code(event.why), chance_weight(event)
        self._blind.append(-1 if event.blind is None else event.blind)
        self._key.append(key)
        self._why.append(why)
        if weight != 1:
            _append(self._weight, len(self._key) - 1, weight)
        if event.label is not None and event.label not in self._codes:
            self._codes[event.label] = NONE_OF_THESE - len(self._outside)
            self._outside.append(event.label)
        self._label.append(self._codes[event.label])
        who = event.by or event.via
        self._person.append(self._people.setdefault(who, len(self._people)))
        if event.at is not None:
            given = event.at.timestamp()
            _append(self._given, len(self._key) - 1, given)
            self._is_late = self._is_late or given < self._newest
            self._newest = max(self._newest, given)

    def finish(self, known: np.ndarray) -> Truth:
        """The truth of the frames with these keys: int64, shape (n,), sorted."""
        columns = (self._key, self._label, self._person, self._blind, self._why)
        key, label, person, blind, why = map(np.array, columns)
        weight = _column(self._weight, len(key), 1.0) if self._weight[0] else None
        if self._is_late:
            # A label without a time was given when the newest above it was.
            given = _column(self._given, len(key), float("-inf"))
            newest = np.maximum.accumulate(given)
            newest[np.array(self._given[0])] = np.array(self._given[1])
            order = np.argsort(newest, kind="stable")
            key, label, person, blind, why = (c[order] for c in (key, label, person, blind, why))
            weight = None if weight is None else weight[order]
        row, why, weight = align_truth(known, key, why, weight)
        aligned = np.append(label, np.int32(NO_TRUTH))[row]
        shown = np.append(blind, np.int8(-1))[row]
        counts = np.bincount(NONE_OF_THESE - aligned[aligned <= NONE_OF_THESE])
        differing, who = _differing(key, label, person, known)
        names = list(self._people)
        return Truth(
            label=aligned,
            why=why,
            weight=weight,
            broken=self.broken,
            unknown={self._outside[k]: int(count) for k, count in enumerate(counts) if count},
            cant_tell=int((aligned == CANT_TELL).sum()),
            blind=int((shown == 1).sum()),
            seen=int((shown == 0).sum()),
            guarded=self.guarded,
            differing=differing,
            people=tuple(sorted(names[k] for k in who)),
        )


def _append(pairs: tuple[array[int], array[float]], row: int, value: float) -> None:
    rows, values = pairs
    rows.append(row)
    values.append(value)


def _column(pairs: tuple[array[int], array[float]], count: int, rest: float) -> np.ndarray:
    """The values by row, float64, shape (count,); `rest` where there is none."""
    column = np.full(count, rest)
    column[np.array(pairs[0])] = np.array(pairs[1])
    return column


def _differing(
    key: np.ndarray, label: np.ndarray, person: np.ndarray, known: np.ndarray
) -> tuple[int, np.ndarray]:
    """How many frames two people labelled otherwise at last, and who they are.

    Args:
        key, label, person: int, shape (m,): in the order in which they were given.
        known: The keys of the frames that count, sorted.
    """
    if not person.any() or (key[1:] > key[:-1]).all():  # of one person, or a label a frame
        return 0, np.zeros(0, int)
    counts = np.isin(key, known)
    key, label, person = key[counts], label[counts], person[counts]
    most = int(person.max(initial=0)) + 1
    # By key and then by person; of each pair the last label.
    pair = np.lexsort((np.arange(len(key)), person, key))
    last = np.append((np.diff(key[pair]) != 0) | (np.diff(person[pair]) != 0), True)
    rows = pair[last[: len(pair)]] if most > 1 else pair[:0]
    rows = rows[label[rows] != CANT_TELL]
    key, label, person = key[rows], label[rows], person[rows]
    differs = (np.diff(key) == 0) & (np.diff(label) != 0)
    frames = np.unique(key[1:][differs])
    return len(frames), np.unique(person[np.isin(key, frames)])
