"""Between the loop's thread and the web thread: frames and answers one way, labels the other.

The loop's thread only stores references and draws a random number; pictures are shrunk for frames
that can be labelled, and encoded in the web thread, only when somebody looks.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgecnn.accuracy.thing_rule import ThingRule, alike_lines
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.live.status import Status
from edgecnn.device.web.desk import Desk, Look, answer_json, figure_json, lab_json, outlook
from edgecnn.device.web.draw import Draw, Shown
from edgecnn.device.web.given import GivenLabel, SeenLabels
from edgecnn.device.web.measures import HealthLine, camera_measures
from edgecnn.device.web.pictures import LazyPicture, shrink, visible
from edgecnn.device.web.reference import LabPictures
from edgecnn.device.web.settings import ViewFile
from edgecnn.device.web.shelf import Shelf
from edgecnn.records import Json
from edgecnn.session.events import NONE_LABEL, TruthEvent

__all__ = ["Hub"]

_WATCHED_S = 10.0
_STATUS_S = 1.0
_STRIP, _STRIP_S = 24, 0.4
_ANSWERED = 100_000
_MOST_WAITING_LABELS = 1_000_000
_RATE_S = 0.15
_OVER = "The recording is over; labels count until the run is stopped. "


class Hub(Desk):
    """The desk of a run that goes on, and one of the run's sources of truth.

    Args:
        bundle, file: What runs.
        run: Names this run, so that labels for another one never count here.
        view_file: Where a region and rotation are saved.
        device: What the device is called: a person with several pages knows it by that.
        things: What counts as one thing; None: what looks tell.
    """

    via = "page"

    def __init__(
        self,
        bundle: Bundle,
        file: Artifact,
        run: str,
        view_file: ViewFile,
        device: str | None = None,
        things: ThingRule | None = None,
    ) -> None:
        self._device, self._things = device, things or ThingRule()
        self._file, self._card, self._run, self._view_file = file, bundle.card, run, view_file
        self._shelf: Shelf | None = None
        self._codes = {*bundle.card.labels, NONE_LABEL, None}
        self._lab, self._sha256 = LabPictures(bundle), bundle.sha256
        self._health = HealthLine()
        self._lock = threading.Lock()
        self._draw = Draw()
        self._strip: deque[Shown] = deque(maxlen=_STRIP)
        self._answered = array("q")  # the newest; `_num_answered` counts all
        self._num_answered = 0
        self._is_over = False
        self._outbox: list[TruthEvent] = []
        self._outbox_frames = 0
        self._seen = SeenLabels()
        self._newest: Shown | None = None
        self._raw: np.ndarray | None = None
        self._status: Status | None = None
        self._status_at = self._watched_at = self._strip_at = self._live_at = float("-inf")
        self._live: Look | None = None

    # The loop's thread.

    def captured(self, frame_bgr: np.ndarray) -> None:
        """Hold the newest frame as it was captured, before a region is cut out."""
        self._raw = frame_bgr

    def observe(self, frame: Frame, answer: Prediction) -> None:
        """Note an answer; some microseconds, and a shrunk picture now and then."""
        seen = visible(frame.frame_bgr, self._card.input)
        self._num_answered += 1
        nth = self._num_answered
        shown = Shown(frame.index, frame.captured, answer, LazyPicture(seen), nth=nth)
        with self._lock:
            drawn = self._draw.enters()
            watched = frame.captured - self._watched_at < _WATCHED_S
            stripped = watched and frame.captured - self._strip_at >= _STRIP_S
        if drawn or stripped:
            small = Shown(frame.index, frame.captured, answer, LazyPicture(shrink(seen)))
        with self._lock:
            self._newest = shown
            self._answered.append(frame.index)
            if len(self._answered) > 2 * _ANSWERED:
                del self._answered[:_ANSWERED]
            if drawn:
                self._draw.add(small)
            if stripped:
                self._strip.append(small)
                self._strip_at = frame.captured

    def may_ask(self, frame: int) -> bool:
        """Whether chance picked a frame to be asked about, now or hours later."""
        with self._lock:
            return self._draw.shown(frame) is not None

    def take(self) -> Sequence[TruthEvent]:
        """The labels that came since the last call."""
        if not self._outbox:
            return ()
        with self._lock:
            taken, self._outbox, self._outbox_frames = self._outbox, [], 0
        return taken

    def wants_status(self) -> bool:
        """Whether somebody looks and the figures are old."""
        now = time.monotonic()
        return now - self._watched_at < _WATCHED_S and now - self._status_at >= _STATUS_S

    def show(self, status: Status) -> None:
        """Hand over the run's figures."""
        self._status, self._status_at = status, time.monotonic()

    def record(self, run: str, shelf: Shelf) -> None:
        """Say which session is being recorded, and where its siblings are."""
        self._run, self._shelf = run, shelf

    def end(self) -> None:
        """The recording is over: no frame comes any more, and the run waits for labels."""
        self._is_over = True

    def swap(self, bundle: Bundle, file: Artifact) -> None:
        """Another bundle of the same labels answers from here on."""
        self._file, self._card = file, bundle.card
        self._lab, self._sha256 = LabPictures(bundle), bundle.sha256

    def close(self) -> None:
        """Nothing to release."""

    # The web thread.

    def about(self) -> Json:
        return {
            "mode": self.mode,
            "name": self._device or self._card.name,
            "run": self._run,
            "bundle": self._sha256,
            "labels": list(self._card.labels),
            **lab_json(self._card.lab.tally, self._file.lab),
            "size": [self._card.input.width, self._card.input.height],
            "resize": self._card.input.resize,
            "framing": self._card.framing,
            "pictured": self._lab.classes,
            "tabs": ["label", "camera", "status"],
            "fixed": True,
            "logged": self._shelf is not None,
        }

    def state(self) -> Json:
        self._watched_at = time.monotonic()
        status, newest, over = self._status, self._newest, self._is_over
        shown: Json = {
            "run": self._run,
            "bundle": self._sha256,
            "waiting": len(self._draw),
            "frame": newest.frame if newest else None,
            "over": over,
        }
        if status is None:
            return {**shown, "health": "Starting."}
        return {
            **shown,
            "live": figure_json(status.live),
            "gap": status.gap_points,
            "outlook": outlook(status.live, len(self._draw)) if over else outlook(status.live),
            "alike": self._alike(status),
            "health": f"{_OVER if over else ''}{self._health.text(status)}",
            "alarm": f"Alarm: {status.alarm.text()}." if status.alarm.raised else None,
            "warning": status.warning,
        }

    def _alike(self, status: Status) -> Json | None:
        """Why more labels don't narrow the interval, where few things have most of them."""
        things = status.alarm.things
        lines = alike_lines(status.live.total, things) if self._things.by_looks else []
        return {"things": things, "text": " ".join(lines)} if lines else None

    def question(self, person: str) -> Json | None:
        with self._lock:
            shown = self._draw.ask(person, time.monotonic())
        return None if shown is None else _card_json(shown)

    def picture(self, frame: int) -> bytes | None:
        shown = self._find(frame)
        return shown.picture.jpeg() if shown else None

    def answer(self, given: GivenLabel, /) -> int | None:
        shown = self._find(given.first) if given.via != "stretch" else None
        return shown.answer.index if shown and given.run == self._run else None

    def _find(self, frame: int) -> Shown | None:
        """A frame that waits for its label or is in the strip."""
        with self._lock:
            in_strip = (shown for shown in self._strip if shown.frame == frame)
            return self._draw.shown(frame) or next(in_strip, None)

    def strip(self) -> list[Json]:
        with self._lock:
            return [_card_json(shown) for shown in self._strip]

    def live(self) -> Look | None:
        """At most six a second are encoded, however many look."""
        now, newest = time.monotonic(), self._newest
        self._watched_at = now
        if newest is not None and now - self._live_at >= _RATE_S:
            self._live = Look(newest.picture.jpeg(), {**_card_json(newest), "nth": newest.nth})
            self._live_at = now
        return self._live

    def camera(self) -> Look | None:
        raw = self._raw
        self._watched_at = time.monotonic()
        if raw is None:
            return None
        seen = {"width": raw.shape[1], "height": raw.shape[0], **camera_measures(raw)}
        return Look(LazyPicture(raw).jpeg(), {**seen, "view": self._view_file.current})

    def reference(self, label: int) -> bytes | None:
        return self._lab.jpeg(label)

    def save_view(self, region: tuple[int, int, int, int] | None, rotate: int) -> Json:
        return {"file": self._view_file.save(region, rotate), "typed": self._view_file.typed}

    def sessions(self) -> list[Json]:
        return self._shelf.sessions() if self._shelf else []

    def session_folder(self, name: str) -> Path | None:
        return self._shelf.folder(name) if self._shelf else None

    def takes_long(self, labels: Sequence[GivenLabel], /) -> bool:
        """A label of a run that has ended may have its whole session read first."""
        return any(given.run != self._run for given in labels)

    def give(self, labels: Sequence[GivenLabel]) -> list[str | None]:
        return [self._give(given) for given in labels]

    def _give(self, given: GivenLabel) -> str | None:
        if given.run != self._run:
            return self._give_past(given)
        if given.label not in self._codes:
            return "no class of this model"
        with self._lock:
            frames = self._known(given)
            if not frames:
                return "a frame that this run did not answer"
            if self._outbox_frames + len(frames) > _MOST_WAITING_LABELS:
                return "too many labels at once; send it again"
            if self._seen.add(given.id):
                self._outbox += self._events(given, frames)
                self._outbox_frames += len(frames)
        return None

    def _give_past(self, given: GivenLabel) -> str | None:
        """A label for a run that was killed goes into that run's session."""
        if self._shelf is None or not self._shelf.give(given):
            return "the run that it belongs to has ended, and no session of it is here"
        return None

    def _known(self, given: GivenLabel) -> array[int]:
        """The frames of a label that were answered; one that was asked about may be very old."""
        first = bisect_left(self._answered, given.first)
        found = self._answered[first : bisect_right(self._answered, given.last)]
        if not found and given.first == given.last and self._draw.was_asked(given.first):
            found.append(given.first)
        return found

    def _events(self, given: GivenLabel, frames: Sequence[int]) -> Iterator[TruthEvent]:
        for frame in frames:
            probability = self._asked(given, frame) if given.via == "page" else None
            picked = "chosen" if probability is None else "uniform"
            yield TruthEvent(
                frame=frame,
                label=given.label,
                via=given.via,
                by=given.by,
                blind=given.was_blind,
                why="stretch" if given.via == "stretch" else picked,
                probability=probability,
                at=given.at,
                withdrawn=given.withdrawn,
            )

    def _asked(self, given: GivenLabel, frame: int) -> float | None:
        """With what chance a frame was asked; one whose label is taken back is asked again."""
        if given.withdrawn:
            return self._draw.withdrawn(frame, given.by, time.monotonic())
        return self._draw.labelled(frame)


def _card_json(shown: Shown) -> Json:
    age = time.monotonic() - shown.captured
    return {"frame": shown.frame, "age": round(age, 1), **answer_json(shown.answer)}
