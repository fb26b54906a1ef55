"""The page's desk over recorded sessions: uniform pictures first, then the least certain ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.preprocess import readable_image
from edgecnn.device.label.kept import UNIFORM, KeptPicture, Recorded, open_sessions
from edgecnn.device.label.result import LabelResult
from edgecnn.device.web.desk import Desk, answer_json, figure_json, lab_json, outlook
from edgecnn.device.web.given import GivenLabel, SeenLabels
from edgecnn.device.web.late import LateLabels
from edgecnn.device.web.pictures import LazyPicture, visible
from edgecnn.device.web.shelf import session_id
from edgecnn.errors import OptionError
from edgecnn.records import Json
from edgecnn.session.events import NONE_LABEL, TruthEvent
from edgecnn.session.headline import check_distinct, headline
from edgecnn.session.layout import short_name
from edgecnn.session.read import Session, Truth, truth_events
from edgecnn.session.reading.devices import names_of
from edgecnn.session.things import link_things
from edgecnn.session.truth_rows import TruthRows, standing
from edgecnn.words import number

__all__ = ["SessionDesk"]

_CACHED = 64
# Who labels by looking. A label of a file, a schedule or a sensor gets a second look.
_LOOKED = frozenset({"label", "page", "strip", "stretch", "keys"})


@dataclass(frozen=True)
class _Place:
    """One picture of all sessions; its position in the list is the number that the page uses."""

    recorded: Recorded
    late: LateLabels
    picture: KeptPicture


class _Counted:
    """The labels of a session as they count now: each is taken in once.

    Args:
        truths: A list that grows; None where no picture of the session can be labelled.
    """

    def __init__(self, recorded: Recorded, truths: list[TruthEvent] | None) -> None:
        self.frames, session = recorded.frames, recorded.session
        self._truths = list(truth_events(session)) if truths is None else truths
        self._num_taken = 0
        self._rows = TruthRows(session.card.labels, self.frames.regions)

    def truth(self) -> Truth:
        """What all labels say that are there by now."""
        for truth in self._truths[self._num_taken :]:
            self._rows.add(truth)
        self._num_taken = len(self._truths)
        return self._rows.finish(self.frames.key)


class SessionDesk(Desk):
    """The kept pictures of sessions, and where their labels go.

    Raises:
        SessionError: A session can't be read, or two hold one recording.
        OptionError: None has pictures, or some are of models with other labels.
    """

    mode = "session"

    def __init__(self, sessions: Sequence[Path]) -> None:
        opened, self._notes = open_sessions(sessions)
        linked = link_things([one.session for one in opened], [one.frames for one in opened])
        opened = [replace(one, frames=f) for one, f in zip(opened, linked, strict=True)]
        self._opened = [one.session for one in opened]
        self._first = next(one.session for one in opened if one.pictures)
        self._card = self._first.card
        for session in self._opened:
            if session.card.labels != self._card.labels:
                raise OptionError(
                    f"{session.path} has other classes than {self._first.path}; label them apart"
                )
        # Accuracy is of one file of one bundle, as in an audit, and each recording counts once.
        alike = [one for one in opened if _network(one.session) == _network(self._first)]
        check_distinct([one.session for one in alike], [one.frames for one in alike])
        self._all = [(one, LateLabels(one.session.path)) for one in opened if one.pictures]
        having = [one.session for one, _ in self._all]
        self._devices = dict(zip((one.path for one in having), names_of(having), strict=True))
        self._places: list[_Place] = []
        self._disputed: list[int] = []
        self._done: dict[int, str | None] = {}
        self._before: dict[int, TruthEvent] = {}
        self._live: Tally | None = None
        truths = {one.session.path: late.truths for one, late in self._all}
        self._counted = [_Counted(one, truths.get(one.session.path)) for one in alike]
        for recorded, late in self._all:
            self._take_in(recorded, late)
        names = "".join(session_id(one.session.path) for one, _ in self._all)
        self._run = hashlib.sha256(names.encode()).hexdigest()[:20]
        numbers = range(len(self._places))
        uniform = [k for k in numbers if self._places[k].picture.pool == UNIFORM]
        Random(self._run).shuffle(uniform)
        self._uniform = uniform
        self._unsure = sorted(numbers, key=lambda k: self._places[k].picture.answer.confidence)
        self._leases: dict[str, int] = {}
        self._why: dict[int, str] = {}
        self._broken: set[int] = set()  # pictures that can't be shown, found when they were asked
        self._seen = SeenLabels()
        self._pictures: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def about(self) -> Json:
        return {
            "mode": self.mode,
            "name": self._called(),
            "run": self._run,
            "labels": list(self._card.labels),
            **lab_json(self._card.lab.tally, self._lab_of_file()),
            "tabs": ["label", "status"],
            "fixed": True,
        }

    @property
    def _num_devices(self) -> int:
        return len(set(self._devices.values()))

    def _called(self) -> str:
        """What a person knows the pictures by: the device, or the session of a nameless one."""
        if self._num_devices > 1:
            return number(self._num_devices, "device")
        if len(self._all) > 1:
            return self._first.header.name or number(len(self._all), "session")
        return self._first.header.name or short_name(self._first.path)

    def _lab_of_file(self) -> Tally:
        """The lab accuracy of the file that ran."""
        file, lab = self._first.artifact, self._card.lab.tally
        return next((one.lab for one in self._card.artifacts if one.file == file), lab)

    def state(self) -> Json:
        live = self._tally()
        return {
            "run": self._run,
            "live": figure_json(live),
            "outlook": outlook(live, self._num_new),
            "left": self._num_left,
            "health": self.result().health,
        }

    @property
    def _num_left(self) -> int:
        return len(self._places) - len(self._done.keys() | self._broken)

    @property
    def _num_new(self) -> int:
        """Random pictures without a label: a second look at one makes no figure tighter."""
        having = self._done.keys() | self._before.keys() | self._broken
        return len({*self._uniform} - having)

    def question(self, person: str) -> Json | None:
        with self._lock:
            held = self._leases.get(person)
            if held is None or held in self._done or held in self._broken:
                held = self._next()
            if held is None:
                return None
            self._leases[person] = held
            kind = "Random" if self._why[held] == UNIFORM else "Unsure"
            note = f"{kind if held not in self._before else 'Second look:'} frame"
            place = self._places[held]
            note = f"{note} {place.picture.name}"
            if self._num_devices > 1:
                name = self._devices[place.recorded.session.path]
                note += f", {name or 'unnamed device'}"
            return {"frame": held, "note": note, **answer_json(place.picture.answer)}

    def picture(self, frame: int) -> bytes | None:
        if not 0 <= frame < len(self._places):
            return None
        if frame not in self._pictures:
            image = readable_image(self._places[frame].picture.file)
            if image is None:
                if frame not in self._broken:
                    self._broken.add(frame)
                    self._notes.append(
                        f"{self._places[frame].picture.file} can't be read and is left out"
                    )
                return None
            self._pictures[frame] = LazyPicture(visible(image, self._card.input)).jpeg()
            if len(self._pictures) > _CACHED:
                del self._pictures[next(iter(self._pictures))]
        return self._pictures[frame]

    def answer(self, given: GivenLabel, /) -> int | None:
        known = given.run == self._run and given.first < len(self._places)
        return self._places[given.first].picture.answer.index if known else None

    def give(self, labels: Sequence[GivenLabel]) -> list[str | None]:
        with self._lock:
            return [self._give(given) for given in labels]

    def result(self) -> LabelResult:
        """How far it is."""
        labels = list(self._done.values())
        return LabelResult(
            labelled=sum(label is not None for label in labels),
            cant_tell=sum(label is None for label in labels),
            left=self._num_left,
            live=self._tally(),
            sessions=tuple(one.path for one in self._opened),
            together=tuple(map(tuple, self._together().values())),
            written=tuple(dict.fromkeys(late.place for _, late in self._all)),
            passed_over=tuple(self._notes),
        )

    def _together(self) -> dict[tuple[str, str], list[Path]]:
        """The sessions of each file of each bundle, those of the first one first."""
        found: dict[tuple[str, str], list[Path]] = {_network(self._first): []}
        for one in self._opened:
            found.setdefault(_network(one), []).append(one.path)
        return found

    def close(self) -> None:
        for _, late in self._all:
            late.close()

    def _take_in(self, recorded: Recorded, late: LateLabels) -> None:
        """Note a session's pictures, and the labels that it has already."""
        said: dict[tuple[int, str | None], list[TruthEvent]] = {}
        for truth in standing(late.truths):
            said.setdefault((truth.frame, truth.region), []).append(truth)
        for picture in recorded.pictures:
            place, found = len(self._places), said.get((picture.frame, picture.region), [])
            self._places.append(_Place(recorded, late, picture))
            self._note(place, found[-1] if found else None)
            if _is_disputed(found):
                self._disputed.append(place)
                self._before[place] = found[-1]
                del self._done[place]

    def _note(self, place: int, truth: TruthEvent | None) -> None:
        """Whether a picture is done, has a label that gets a second look, or has none."""
        self._done.pop(place, None)
        if truth is not None and truth.via in _LOOKED:
            self._done[place] = truth.label
        elif truth is not None:
            self._before[place] = truth

    def _next(self) -> int | None:
        """The next picture: those on which people differ; those that chance picked, first the ones
        without a label, while the figure is not tight; then the least certain. One that another
        person was asked about comes last: that person may have gone.
        """
        done = self._done.keys() | self._broken
        taken = {*done, *self._leases.values()}
        tight = bool(outlook(self._tally())["enough"])
        first = [k for k in self._uniform if k not in self._before and not tight]
        again = [k for k in self._uniform if k in self._before]
        chosen = [*self._disputed, *first, *again]
        for queue, why in ((chosen, UNIFORM), (self._unsure, "hard")):
            found = next((k for k in queue if k not in taken), None)
            if found is not None:
                self._why[found] = why
                return found
        return next((k for k in self._leases.values() if k not in done), None)

    def _give(self, given: GivenLabel) -> str | None:
        if given.run != self._run or not 0 <= given.first == given.last < len(self._places):
            return "it belongs to other sessions"
        if given.label not in {*self._card.labels, NONE_LABEL, None}:
            return "no class of this model"
        if given.id in self._seen:
            return None
        place = self._places[given.first]
        uniform = place.picture.pool == UNIFORM
        why = self._why.get(given.first, UNIFORM if uniform else "hard")
        chance = place.recorded.probability if why == UNIFORM else None
        before = self._before.get(given.first)
        if before is not None:  # a second look: the label changes, not what it speaks for
            why, chance = before.why or "all", before.probability
        truth = TruthEvent(
            frame=place.picture.frame,
            label=given.label,
            via="label",
            by=given.by,
            blind=given.was_blind,
            why=why,
            probability=chance,
            at=given.at,
            region=place.picture.region,
            withdrawn=given.withdrawn,
        )
        place.late.add(truth)
        self._seen.add(given.id)
        self._note(given.first, self._standing(place) if given.withdrawn else truth)
        self._live = None
        return None

    def _standing(self, place: _Place) -> TruthEvent | None:
        """The label that a picture has, where one was taken back."""
        where = (place.picture.frame, place.picture.region)
        said = [one for one in place.late.truths if (one.frame, one.region) == where]
        return next(reversed(standing(said)), None)

    def _tally(self) -> Tally:
        if self._live is None:
            self._live = headline([(one.frames, one.truth()) for one in self._counted])
        return self._live


def _is_disputed(said: Sequence[TruthEvent]) -> bool:
    """Whether people who looked at a picture differ, and no second one agrees with the last."""
    if not said or said[-1].via not in _LOOKED:
        return False
    last = {one.by: one.label for one in said if one.via in _LOOKED}
    labels = [label for label in last.values() if label is not None]
    agreeing = sum(label == said[-1].label for label in labels)
    return len(set(labels)) > 1 and agreeing < 2


def _network(session: Session) -> tuple[str, str]:
    """What answered: a bundle, and its file."""
    return session.bundle_sha256, session.artifact
