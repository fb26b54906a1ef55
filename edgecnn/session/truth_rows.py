"""The labels of a session's frames, from people and programs, in the order they were given."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import chunks, is_increasing
from edgecnn.session.answers import (
    CANT_TELL,
    NONE_OF_THESE,
    chance_weight,
    frame_key,
    latest,
    why_code,
)
from edgecnn.session.events import TruthEvent

__all__ = ["Truth", "TruthRows", "align_truth", "appended", "standing"]

# A column of integers begins in one of these, and goes on in the next.
_WIDER = {"b": "h", "h": "i", "i": "q"}


@dataclass(frozen=True)
class Truth:
    """Field labels aligned with `Frames`: int8 to int64, shape (n,), index of the label or below 0.

    `why` says how each frame came to be labelled, int8, shape (n,): see `answers`; -1 where
    there is no label. `weight`, float64, shape (n,), is 1 / p where chance asked with
    probability p, else 1. `unknown` counts the frames with a label that the model doesn't have, by
    label; `cant_tell` those whose label nobody can tell; `blind` and `seen` the others that a
    person labelled without and with the answer in view; `guarded` those that the run left
    unlabelled because they were near a change of the label; `differing` those that two people
    labelled otherwise, where the later label counts: `people` names them, or the sources where
    nobody is named; `strangers` the frames with a label that the log does not hold; `asked` the
    keys of the frames that the page of the run drew and asked about.
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
    strangers: int = 0
    asked: tuple[int, ...] = ()


class TruthRows:
    """Grows `Truth`: a label a row, in the order in which they were given.

    Lines that came later count as given later, unless their time says otherwise: labels that
    were made on a copy are appended at the end, whenever they were made. A withdrawal takes the
    last label back that the same person gave to the frame.
    """

    def __init__(self, labels: Sequence[str], regions: Mapping[str | None, int]) -> None:
        self.broken = self.guarded = 0
        # Labels of regions that the log does not have, as keys: ~key where one is taken back.
        self._elsewhere = array("q")
        self._others: dict[str | None, int] = {}  # these regions
        self._codes: dict[str | None, int] = {label: k for k, label in enumerate(labels)}
        self._codes[None] = CANT_TELL
        self._outside: list[str] = []
        self._regions = regions
        self._people: dict[str, int] = {}
        self._key, self._label = array("i"), array("b")
        self._why = array("b")
        # Where the person or source changes: (row, who).
        self._turns: list[tuple[int, int]] = []
        self._withdrawn = array("q")  # rows
        # Of most labels the weight is 1, and no time is known, nor who saw what: these are
        # (row, value) of others.
        self._weight, self._given = (array("q"), array("d")), (array("q"), array("d"))
        self._blind = array("q"), array("d")
        self._asked = array("q")
        self._newest = float("-inf")
        self._is_late = False  # whether a label says that it was given before one above it

    def add(self, event: TruthEvent) -> None:
        """Take a label in; one of a region that was not classified is only counted.

        Raises:
            ValueError: No such frame can be.
        """
        region = self._regions.get(event.region)
        if region is None:
            other = self._others.setdefault(event.region, len(self._others))
            key = frame_key(event.frame, other)
            self._elsewhere.append(~key if event.withdrawn else key)
            return
        # First all that can fail: columns stay of one length.
        key, why, weight = frame_key(event.frame, region), why_code(event.why), chance_weight(event)
        row = len(self._key)
        self._key = appended(self._key, key)
        self._why.append(why)
        if event.blind is not None:
            _append(self._blind, row, event.blind)
        if event.via == "page" and event.why == "uniform":
            self._asked.append(key)
        if weight != 1:
            _append(self._weight, row, weight)
        if event.label is not None and event.label not in self._codes:
            self._codes[event.label] = NONE_OF_THESE - len(self._outside)
            self._outside.append(event.label)
        self._label = appended(self._label, self._codes[event.label])
        if event.withdrawn:
            self._withdrawn.append(row)
        person = self._people.setdefault(event.source, len(self._people))
        if not self._turns or self._turns[-1][1] != person:
            self._turns.append((row, person))
        if event.at is not None:
            given = event.at.timestamp()
            _append(self._given, row, given)
            self._is_late = self._is_late or given < self._newest
            self._newest = max(self._newest, given)

    def _person(self) -> np.ndarray | None:
        """Who gave each label; None where that is one."""
        if len(self._people) < 2:
            return None
        rows, who = np.array(self._turns).T
        return np.repeat(who.astype(np.int32), np.diff(rows, append=len(self._key)))

    def _rows_that_count(self, key: np.ndarray, person: np.ndarray | None) -> np.ndarray | None:
        """The rows in the order in which they were given, without those taken back; None: all."""
        if not self._is_late and not self._withdrawn:
            return None
        order = np.arange(len(key))
        if self._is_late:
            # A label without a time was given when the newest above it was.
            given = _column(self._given, len(key), float("-inf"))
            newest = np.maximum.accumulate(given)
            newest[np.array(self._given[0])] = np.array(self._given[1])
            order = np.argsort(newest, kind="stable")
        if not self._withdrawn:
            return order
        marks = np.zeros(len(key), bool)
        marks[np.array(self._withdrawn)] = True
        asked = order[np.isin(key[order], key[marks])]
        who = np.zeros(len(key), int) if person is None else person
        pairs = zip(key[asked].tolist(), who[asked].tolist(), strict=True)
        gone = _taken_back(list(pairs), marks[asked].tolist())
        counts = np.ones(len(key), bool)
        counts[asked[gone]] = False
        return np.asarray(order[counts[order]])

    def finish(self, known: np.ndarray) -> Truth:
        """The truth of the frames with these keys: int64, shape (n,), sorted."""
        columns = (self._key, self._label, self._why)
        # Not copied: there may be millions.
        key, label, why = (np.frombuffer(c, c.typecode) for c in columns)
        person = self._person()
        weight = _column(self._weight, len(key), 1.0) if self._weight[0] else None
        blind = _column(self._blind, len(key), -1).astype(np.int8) if self._blind[0] else None
        rows = self._rows_that_count(key, person)
        if rows is not None:
            key, label, why = (c[rows] for c in (key, label, why))
            weight, blind, person = (
                None if c is None else c[rows] for c in (weight, blind, person)
            )
        said = [label] if blind is None else [label, blind]
        (aligned, *shown), why, weight = align_truth(known, key, said, why, weight)
        shown = [one[aligned != CANT_TELL] for one in shown]
        counts = np.bincount(NONE_OF_THESE - aligned[aligned <= NONE_OF_THESE])
        differing, who = (0, []) if person is None else _differing(key, label, person, known)
        names = list(self._people)
        return Truth(
            label=aligned,
            why=why,
            weight=weight,
            broken=self.broken,
            unknown={self._outside[k]: int(count) for k, count in enumerate(counts) if count},
            cant_tell=int((aligned == CANT_TELL).sum()),
            blind=sum(int((one == 1).sum()) for one in shown),
            seen=sum(int((one == 0).sum()) for one in shown),
            guarded=self.guarded,
            differing=differing,
            people=tuple(sorted(names[k] for k in who)),
            strangers=_num_strangers(key, known) + _num_standing(self._elsewhere),
            asked=tuple(self._asked),
        )


def standing(events: Sequence[TruthEvent]) -> list[TruthEvent]:
    """The labels that nobody took back, in their order.

    Example:
        >>> given = TruthEvent(0, "cat", "page", by="ann")
        >>> standing([given, TruthEvent(0, None, "page", by="ann", withdrawn=True)])
        []
    """
    places = [(event.frame, event.region, event.source) for event in events]
    gone = set(_taken_back(places, [event.withdrawn for event in events]))
    return [event for k, event in enumerate(events) if k not in gone]


def _taken_back(places: Sequence[Hashable], withdrawn: Sequence[bool]) -> list[int]:
    """The positions of withdrawals, and of the label before each that is of the same place."""
    open_labels: dict[Hashable, list[int]] = {}
    gone = []
    for k, (place, takes_back) in enumerate(zip(places, withdrawn, strict=True)):
        labels = open_labels.setdefault(place, [])
        if not takes_back:
            labels.append(k)
            continue
        gone.append(k)
        if labels:
            gone.append(labels.pop())
    return gone


def align_truth(
    key: np.ndarray,
    truth_key: np.ndarray,
    columns: Sequence[np.ndarray],
    why: np.ndarray,
    weight: np.ndarray | None,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """What the last truth of each answer says, why the frame was labelled, and its weight.

    Args:
        key: int64 or int32, shape (n,): sorted, each once.
        truth_key, why: int, shape (m,): in the order in which they were given.
        columns: int, shape (m,): what truths say.
        weight: float64, shape (m,): of `chance_weight`; None where each is 1.

    Returns:
        The columns, shape (n,): -1 where there is no truth.
        int8, shape (n,): the highest reason; -1 where there is none.
        float64, shape (n,), read only: the highest weight; 1 where there is none.
    """
    found = [np.full(len(key), -1, column.dtype) for column in columns]
    reason = np.full(len(key), -1, np.int8)
    worth = np.broadcast_to(1.0, len(key)) if weight is None else np.ones(len(key))
    for part in chunks(len(truth_key) if len(key) else 0):
        # Either may be the wider one: only some regions have a label, or only late frames.
        asked = truth_key[part].astype(np.int64)
        # Of one type with `key`, else that is copied.
        within = np.minimum(asked, np.iinfo(key.dtype).max).astype(key.dtype)
        at = np.minimum(np.searchsorted(key, within), len(key) - 1)
        hit = key[at] == asked
        at = at[hit]
        for aligned, column in zip(found, columns, strict=True):
            aligned[at] = column[part][hit]  # of several for one frame the last stays
        np.maximum.at(reason, at, why[part][hit])
        if weight is not None:
            np.maximum.at(worth, at, weight[part][hit])
    return found, reason, worth


def _num_strangers(key: np.ndarray, known: np.ndarray) -> int:
    """How many frames of the labels with these keys are none of the known ones, which are sorted.

    There may be millions of either: nothing of their size is made.
    """
    found = np.zeros(0, np.int64)
    for part in chunks(len(key) if len(known) else 0):
        asked = key[part].astype(np.int64)
        # Of one type with `known`, else that is copied.
        within = np.minimum(asked, np.iinfo(known.dtype).max).astype(known.dtype)
        at = np.minimum(np.searchsorted(known, within), len(known) - 1)
        found = np.union1d(found, asked[known[at] != asked])
    return len(found)


def _num_standing(rows: array[int]) -> int:
    """How many keys there are whose last row is not ~key."""
    if not rows:
        return 0
    said = np.frombuffer(rows, np.int64)
    last = latest(np.maximum(said, ~said))
    return int((said[last] >= 0).sum())


def appended(column: array[int], value: int) -> array[int]:
    """A column with a value more, in a wider type where that is needed: there may be millions."""
    try:
        column.append(value)
    except OverflowError:
        column = array(_WIDER[column.typecode], column)
        return appended(column, value)
    return column


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
) -> tuple[int, list[int]]:
    """How many frames two people labelled otherwise at last, and who they are; not those where the
    label that counts is also that of another one: a third person has decided.

    Args:
        key, label, person: int, shape (m,): in the order in which they were given.
        known: The keys of the frames that count, sorted.
    """
    if is_increasing(key):  # a label a frame
        return 0, []
    counts = np.isin(key, known)
    key, label, person = key[counts], label[counts], person[counts]
    most = int(person.max(initial=0)) + 1
    # By key and then by person; of each pair the last label.
    pair = np.lexsort((np.arange(len(key)), person, key))
    last = np.append((np.diff(key[pair]) != 0) | (np.diff(person[pair]) != 0), True)
    rows = pair[last[: len(pair)]] if most > 1 else pair[:0]
    rows, given = rows[label[rows] != CANT_TELL], label
    key, label, person = key[rows], label[rows], person[rows]
    differs = (np.diff(key) == 0) & (np.diff(label) != 0)
    every, frame = np.unique(key, return_inverse=True)
    newest = np.zeros(len(every), int)
    np.maximum.at(newest, frame, rows)
    alike = np.bincount(frame, label == given[newest[frame]], minlength=len(every))
    frames = np.intersect1d(key[1:][differs], every[alike < 2])
    return len(frames), np.unique(person[np.isin(key, frames)]).tolist()
