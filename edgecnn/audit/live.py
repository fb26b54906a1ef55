"""Live accuracy from the device's answers and the field labels: totals, classes, confusions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecnn.accuracy.intervals import Clusters, confusion, rows_where
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Json, Record, json_as
from edgecnn.session.answers import CHOSEN, HARD, RANDOM, WHOLE, frame_key, frame_of, region_of
from edgecnn.session.headline import (
    headline,
    is_right,
    joined,
    label_weights,
    labelled_rows,
    objects_shown,
)
from edgecnn.session.read import Frames, Session, Truth
from edgecnn.words import number

__all__ = ["Confusion", "LabelCounts", "Live", "Misread", "Slice", "measure_live"]

_WORST, _KINDS, _EXAMPLES, _SHEET = 18, 20, 6, 36
_SLICES, _SMALLEST_SLICE = 40, 15


@dataclass(frozen=True)
class Misread(Record):
    """A wrong answer: session folder, frame and region, labels, top score, picture if it was kept.

    `confidence` is the model's own score, `calibrated` what it is worth: see `confidence.py`.
    """

    session: str
    frame: int
    truth: str
    predicted: str
    confidence: float
    image: Path | None
    calibrated: float
    region: str | None = field(default=None, metadata=json_as(if_any=True))


@dataclass(frozen=True)
class Confusion(Record):
    """Frames of class `truth` read as `predicted`; `objects` of them show different objects.

    `points` of live accuracy are lost by it: labels that the headline leaves out are no part of it.
    """

    truth: str
    predicted: str
    frames: int
    objects: int
    examples: tuple[Misread, ...] = field(metadata=json_as(hidden=True))
    points: float = field(default=0.0, metadata=json_as(hidden=True))


@dataclass(frozen=True)
class Slice(Record):
    """Accuracy of a run of consecutive labelled frames, `first` to `last` of `session`.

    Of a session with several regions of one `region`.
    """

    session: str
    first: int = field(metadata=json_as("first_frame"))
    last: int = field(metadata=json_as("last_frame"))
    tally: Tally = field(metadata=json_as(hidden=True))
    region: str | None = field(default=None, metadata=json_as(if_any=True))

    @property
    def place(self) -> tuple[str, str | None]:
        """What has a time of its own."""
        return self.session, self.region

    def to_json(self) -> Json:
        return super().to_json() | self.tally.to_json()


@dataclass(frozen=True)
class LabelCounts(Record):
    """How the frames with a label came by it, "can't tell" and "none of these" included.

    whole      all of a stretch or recording was labelled
    random     chance picked the frame
    hard       it was asked for because its answer was uncertain
    chosen     a person picked it
    left_out   labels of the model's classes that the headline does not count
    blind, seen  labels that a person gave without and with the answer in view; "can't tell" is none
    differing  frames that two people labelled otherwise; `people` names them
    no_class   labels that the model does not have, "none of these" among them
    """

    whole: int
    random: int
    hard: int
    chosen: int
    left_out: int
    blind: int
    seen: int
    differing: int = 0
    no_class: int = field(default=0, metadata=json_as(hidden=True))
    people: tuple[str, ...] = field(default=(), metadata=json_as(hidden=True))

    @property
    def labelled(self) -> int:
        """All frames with a label."""
        return self.whole + self.random + self.hard + self.chosen

    @property
    def picked_by(self) -> str:
        """Who picked the frames whose labels are no sample."""
        who = [name for name, count in _PICKERS.items() if getattr(self, count)]
        return " and ".join(who or _PICKERS)


_PICKERS = {"people": "chosen", "uncertain answers": "hard"}


@dataclass(frozen=True)
class Live:
    """What the labelled field frames say. confusion[i][j]: true label i answered as label j.

    Labels that the headline leaves out are in the confusions, but not in the tallies: a person or
    an uncertain answer picked their frames, so they are no sample. `has_time`: there is a source
    whose frames follow each other; image folders have no time.
    """

    tally: Tally
    per_class: dict[str, Tally]
    confusion: tuple[tuple[int, ...], ...]
    confusions: tuple[Confusion, ...]
    worst: tuple[Misread, ...]
    over_time: tuple[Slice, ...]
    label_counts: LabelCounts
    has_time: bool = True

    @property
    def text(self) -> str:
        """Live accuracy as a person reads it, or why it is not known."""
        return f"not identified: {self.unknown_since}" if self.unknown_since else self.tally.text()

    @property
    def unknown_since(self) -> str:
        """Why labels tell no accuracy; empty where they do, and where there is none."""
        counts = self.label_counts
        if self.tally.total or not counts.labelled:
            return ""
        if counts.left_out:
            return f"{counts.picked_by} picked all {counts.left_out} labelled frames"
        frames = number(counts.labelled, "labelled frame")
        return f"none of {frames} has a label of the model's classes"


def measure_live(parts: Sequence[tuple[Session, Frames, Truth]], labels: Sequence[str]) -> Live:
    """Compare the answers of all sessions with their field labels."""
    tally = headline([(frames, truth) for _, frames, truth in parts])
    table = _Labelled.of(parts, labels, tally)
    truth = table.column(lambda _, truth: truth.label)
    cells = [confusion(truth.label, frames.index, len(labels)) for _, frames, truth in parts]
    classes = {label: table.part(truth == k) for k, label in enumerate(labels)}
    return Live(
        tally=tally,
        per_class=classes,
        confusion=tuple(tuple(row) for row in np.sum(cells, axis=0).tolist()),
        confusions=table.confusions(),
        worst=table.misreads(rows_where(~table.right), _WORST),
        over_time=table.over_time(),
        label_counts=_label_counts([truth for _, _, truth in parts], table),
        has_time=not all(frames.separate for _, frames, _ in parts),
    )


def _label_counts(truths: Sequence[Truth], table: _Labelled) -> LabelCounts:
    counts = {
        code: sum(int((truth.why == code).sum()) for truth in truths)
        for code in (WHOLE, RANDOM, HARD, CHOSEN)
    }
    return LabelCounts(
        whole=counts[WHOLE],
        random=counts[RANDOM],
        hard=counts[HARD],
        chosen=counts[CHOSEN],
        left_out=int((table.weight == 0).sum()),
        blind=sum(truth.blind for truth in truths),
        seen=sum(truth.seen for truth in truths),
        differing=sum(truth.differing for truth in truths),
        no_class=sum(sum(truth.unknown.values()) for truth in truths),
        people=tuple(dict.fromkeys(name for truth in truths for name in truth.people)),
    )


@dataclass(frozen=True)
class _Labelled:
    """The labelled frames of all sessions, one after the other; columns of shape (n,).

    There may be millions: what frames and truths know of a row is looked up where it is needed.
    `rows` has those of each session. `segment` numbers the objects that they show: see
    `answers.number_objects`. `weight` tells for how many frames a label stands in the headline, 0
    where it is left out: see `headline.label_weights`.
    """

    parts: Sequence[tuple[Session, Frames, Truth]]
    labels: Sequence[str]
    tally: Tally
    rows: Sequence[np.ndarray]
    right: np.ndarray
    weight: np.ndarray
    segment: np.ndarray

    @classmethod
    def of(
        cls,
        parts: Sequence[tuple[Session, Frames, Truth]],
        labels: Sequence[str],
        tally: Tally,
    ) -> _Labelled:
        rows = [labelled_rows(truth) for _, _, truth in parts]
        found = [(f, t, some) for (_, f, t), some in zip(parts, rows, strict=True)]
        return cls(
            parts,
            labels,
            tally,
            rows,
            joined([is_right(*one) for one in found]),
            joined([label_weights(*one) for one in found]),
            joined(objects_shown([(frames, truth) for _, frames, truth in parts])),
        )

    def column(
        self, of: Callable[[Frames, Truth], np.ndarray], places: np.ndarray | None = None
    ) -> np.ndarray:
        """A column of the frames or truths of all sessions, where there is a label.

        Args:
            places: int, shape (k,), sorted: of these labelled frames only.
        """
        found = []
        for (_, frames, truth), rows, start in zip(
            self.parts, self.rows, self.starts[:-1], strict=True
        ):
            if places is not None:
                here = slice(*np.searchsorted(places, [start, start + len(rows)]))
                rows = rows[places[here] - start]
            found.append(of(frames, truth)[rows])
        return joined(found)

    @cached_property
    def starts(self) -> np.ndarray:
        """The place of each session's first label, and the number of all."""
        return np.cumsum([0, *(len(rows) for rows in self.rows)])

    def at(self, place: int) -> tuple[Session, Frames, Truth, int]:
        """The session of a labelled frame, and its row there."""
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        return (*self.parts[number], int(self.rows[number][place - self.starts[number]]))

    def part(self, rows: np.ndarray) -> Tally:
        """A part of the frames, by the objects that it shows.

        Where labels stand for other frames, it is worth as much a frame as the whole is (but never
        under one).
        """
        right, weight, whole = self.right[rows], self.weight[rows], self.tally
        part = Tally.of(right[weight > 0])
        if whole.estimate is None and part.total:
            return Clusters.of(right[weight > 0], self.segment[rows][weight > 0]).tally()
        if whole.effective is None or not part.total:
            return part
        share = float(weight.sum() / self.weight.sum())
        return replace(
            part,
            effective=max(1.0, whole.effective * share),
            estimate=whole.estimate and float(right @ weight / weight.sum()),
        )

    def confusions(self) -> tuple[Confusion, ...]:
        """The 20 largest confusions, with up to 6 pictures each and 36 in all."""
        wrong = rows_where(~self.right)
        told = self.column(lambda _, truth: truth.label, wrong).astype(np.int64)
        pair = told * len(self.labels) + self.column(lambda frames, _: frames.index, wrong)
        kinds, counts = np.unique(pair, return_counts=True)
        found = []
        left = _SHEET
        for k in np.argsort(-counts, kind="stable")[:_KINDS]:
            rows = wrong[pair == kinds[k]]
            examples = self.misreads(rows, min(left, _EXAMPLES), pictures_only=True)
            left -= len(examples)
            truth, predicted = (self.labels[i] for i in divmod(int(kinds[k]), len(self.labels)))
            objects = len(np.unique(self.segment[rows]))
            points = 100 * float(self.weight[rows].sum() / max(1.0, self.weight.sum()))
            found.append(Confusion(truth, predicted, len(rows), objects, examples, points))
        return tuple(found)

    def misreads(
        self, rows: np.ndarray, most: int, *, pictures_only: bool = False
    ) -> tuple[Misread, ...]:
        """The most confident of `rows`, one a segment: the next frame shows the same object again.

        Of a segment the frame whose picture was kept is taken, if there is one.

        Args:
            rows: int32, shape (k,), sorted.
        """
        kept = self.column(lambda frames, _: _pictured(frames), rows)
        if pictures_only:
            rows, kept = rows[kept], kept[kept]
        sure = self.column(lambda frames, _: frames.confidence, rows)
        order = np.lexsort((-sure, ~kept))
        _, first = np.unique(self.segment[rows[order]], return_index=True)
        best = order[first]
        best = best[np.argsort(-sure[best], kind="stable")][:most]
        return tuple(map(self._misread, rows[best].tolist()))

    def over_time(self) -> tuple[Slice, ...]:
        """Up to 40 stretches of equal length in each session, or each of its regions; each worth
        15 answers or more.
        """
        slices = []
        whole = self.tally
        worth = 1.0 if whole.effective is None else whole.effective / max(1, whole.total)
        for session, name, first, end in self._places():
            rows = rows_where(self.weight[first:end] > 0)
            rows += first
            count = max(1, min(_SLICES, int(len(rows) * worth) // _SMALLEST_SLICE))
            for part in np.array_split(rows, count):
                if len(part):
                    begin, last = (self._frame(int(place)) for place in part[[0, -1]])
                    slices.append(Slice(str(session.path), begin, last, self.part(part), name))
        return tuple(slices)

    def _places(self) -> Iterator[tuple[Session, str | None, int, int]]:
        """The labelled frames of each region, from one place to another; they are sorted so."""
        for (session, frames, _), rows, start in zip(
            self.parts, self.rows, self.starts[:-1].tolist(), strict=True
        ):
            keys = [frame_key(0, number) for number in frames.regions.values()]
            row = np.searchsorted(frames.key, np.array(keys, frames.key.dtype))
            here = [*np.searchsorted(rows, row).tolist(), len(rows)]
            for name, first, end in zip(frames.regions, here, here[1:], strict=False):
                yield session, name, start + first, start + end

    def _frame(self, place: int) -> int:
        """The number of a frame in its session."""
        _, frames, _, row = self.at(place)
        return int(frame_of(frames.key[row]))

    def _misread(self, place: int) -> Misread:
        session, frames, truth, row = self.at(place)
        name = frames.images.get(row)
        return Misread(
            session=str(session.path),
            frame=self._frame(place),
            truth=self.labels[truth.label[row]],
            predicted=self.labels[frames.index[row]],
            confidence=round(float(frames.confidence[row]), 4),
            image=session.picture(name) if name else None,
            calibrated=round(float(frames.calibrated[row]), 4),
            region=list(frames.regions)[int(region_of(frames.key[row : row + 1])[0])],
        )


def _pictured(frames: Frames) -> np.ndarray:
    """Of which frames a picture was kept: bool, shape (n,)."""
    kept = np.zeros(len(frames), bool)
    kept[list(frames.images)] = True
    return kept
