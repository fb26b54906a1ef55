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

    `why` says how each frame came to be labelled, int64, shape (n,): see `answers`; -1 where
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
        self._why, self._blind, self._weight = array("b"), array("b"), array("d")
        self._given = array("d")
        self._newest = float("-inf")

    def add(self, event: TruthEvent) -> None:
        """Take a label in; one of a region that was not classified is passed over.

        Raises:
            ValueError: No such frame can be.
        """
        region = self._regions.get(event.region)
        if region is None:
            return
        why = why_code(event.why)
        self._key.append(frame_key(event.frame, region))
        self._why.append(why)
        self._weight.append(chance_weight(event))
        self._blind.append(-1 if event.blind is None else event.blind)
        if event.label is not None and event.label not in self._codes:
            self._codes[event.label] = NONE_OF_THESE - len(self._outside)
            self._outside.append(event.label)
        self._label.append(self._codes[event.label])
        who = event.by or event.via
        self._person.append(self._people.setdefault(who, len(self._people)))
        given = self._newest if event.at is None else event.at.timestamp()
        self._given.append(given)
        self._newest = max(self._newest, given)

    def finish(self, known: np.ndarray) -> Truth:
        """The truth of the frames with these keys: int64, shape (n,), sorted."""
        order = np.argsort(np.array(self._given), kind="stable")
        key, label = np.array(self._key)[order], np.array(self._label)[order]
        person, blind = np.array(self._person)[order], np.array(self._blind)[order]
        given = np.array(self._weight)[order]
        row, why, weight = align_truth(known, key, np.array(self._why)[order], given)
        aligned = np.append(label, NO_TRUTH).astype(np.int32)[row]
        shown = np.append(blind, -1)[row]
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


def _differing(
    key: np.ndarray, label: np.ndarray, person: np.ndarray, known: np.ndarray
) -> tuple[int, np.ndarray]:
    """How many frames two people labelled otherwise at last, and who they are.

    Args:
        key, label, person: int, shape (m,): in the order in which they were given.
        known: The keys of the frames that count, sorted.
    """
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
