"""The session that a run writes, through faults of the disk: full, read-only, deleted.

Inference never waits for it and never ends because of it. While nothing can be written, `down`
says since when; as soon as it can, logging goes on, and a `gap` event says what is missing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import groupby
from pathlib import Path

from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import Bundle
from edgecnn.device.log.left_out import LeftOut
from edgecnn.device.log.record import Recorder
from edgecnn.device.log.room import Room, expire_pictures, room_left
from edgecnn.device.options import RunOptions
from edgecnn.errors import OptionError, OutputError
from edgecnn.session.append import TruthAppender
from edgecnn.session.events import FrameEvent, TruthEvent
from edgecnn.session.header import RunPart, SessionHeader, ShadowBundle
from edgecnn.session.layout import GOES_ON_IN, new_dated
from edgecnn.session.write import SessionWriter

__all__ = ["Down", "SessionLog"]

_RETRY_S, _CHECK_S, _EXPIRE_S = 2.0, 2.0, 600.0
_DAY_S, _MB = 86_400.0, 1e6
# From this share of --log-mb on, only frames with a label or a picture are logged.
_SPARSE_SHARE = 0.8
_MOST_EARLIER, _MOST_WAITING = 1000, 100_000
_FEW_DAYS = 30.0  # of room on the disk


@dataclass(frozen=True)
class Down:
    """Nothing is logged since this moment of `time.monotonic()`, and why."""

    since: float
    cause: str


class SessionLog:
    """Writes into a session, or one after the other below a root; for one thread.

    Args:
        header: What is measured; each session gets its own start time.
        options: `log` or `log_root`, and the bounds.
        live: Whether the source is a camera or stream.

    `down`, `folder` and `room` may be read by any thread, which may also empty `notes`.

    Raises:
        OutputError: The place is taken, read-only or full.
    """

    def __init__(self, header: SessionHeader, options: RunOptions, *, live: bool) -> None:
        self._header, self._options, self._live = header, options, live
        self.down: Down | None = None
        self.num_lost = self.num_outages = 0
        self.notes: deque[str] = deque()  # warnings, for another thread to say and log
        self.room: str | None = None  # what a month takes, where the disk has room for it
        self._retry_at = self._check_at = self._expire_at = self._room_at = 0.0
        self._roll_at = float("-inf")  # later after another session could not be begun
        self._full = self._ended = self._is_over = self._is_room_said = False
        # The start of the first session, and when the run's first frame was captured.
        self._run: tuple[str, float] | None = None
        self._newest = -1  # frame of which an answer or a label has come
        # Sessions before this one: the first frame after each, and where it is.
        self._earlier: deque[tuple[int, Path]] = deque(maxlen=_MOST_EARLIER)
        self._waiting: list[TruthEvent] = []
        self._left_out = LeftOut(labels_come=bool(header.truth))
        self._written: deque[tuple[tuple[str, str], Path]] = deque(maxlen=_MOST_EARLIER)
        self._begun: dict[Path, float] = {}  # when each session was, of `time.monotonic()`
        self._room = Room.of(options)
        try:
            self._open()
        except OutputError:
            if self._room is None:
                raise
            self._room.keep_to(self._room.root)  # a disk that is full may take it then
            self._open()

    @property
    def folder(self) -> Path:
        """The session that is written now."""
        return self._session.folder

    @property
    def sessions(self) -> tuple[tuple[Path, ...], ...]:
        """The sessions of each file of each bundle, in their order: an audit takes one of these."""
        together: dict[tuple[str, str], list[Path]] = {}
        for network, folder in self._written:
            if not self._is_deleted(folder):
                together.setdefault(network, []).append(folder)
        return tuple(map(tuple, together.values()))

    def write(self, work: Callable[[Recorder], None], frame: int | None = None) -> None:
        """Have something written, or count it as lost while nothing can be.

        Args:
            frame: The number of the frame that it is about.
        """
        if frame is not None:
            self._begin_frame(frame)
        if self.down is not None or self._full or self._ended:
            self.num_lost += 1
            return
        self._write(work)
        if self.down is None:  # a recording writes megabytes between two looks at the clock
            self._bound()

    def _write(self, work: Callable[[Recorder], None]) -> None:
        try:
            work(self._recorder)
        except OutputError as error:
            self.num_lost += 1
            self._go_down(str(error))

    def truths(self, events: Iterable[TruthEvent]) -> None:
        """Write labels into the sessions that have their frames: these may be before this one."""
        for place, some in groupby(events, self._place):
            if place is None:
                for event in some:
                    self._label(event)
            else:
                self._add_to(place, list(some))

    def _label(self, event: TruthEvent) -> None:
        """Write a label; what a person gave while nothing can be written waits for that."""
        self.write(partial(Recorder.truth, event=event))
        if self.down is not None:
            self._let_wait(event)

    def _let_wait(self, event: TruthEvent) -> None:
        """Have a label that a person gave written again after an outage."""
        is_given = event.at is not None  # of other sources none has a time
        if is_given and len(self._waiting) < _MOST_WAITING:
            self._waiting.append(event)

    def _write_waiting(self) -> None:
        """Try again to write the labels that wait."""
        waiting, self._waiting = self._waiting, []
        self.num_lost -= len(waiting)
        self.truths(waiting)

    def _place(self, event: TruthEvent) -> Path | None:
        """The earlier session that a label belongs to; None where it is the one of now."""
        self._begin_frame(event.frame)  # a label may come before the answer
        return next((place for after, place in self._earlier if event.frame < after), None)

    def _add_to(self, place: Path, events: Sequence[TruthEvent]) -> None:
        if self._is_deleted(place):
            self.num_lost += len(events)
            return
        lines: list[FrameEvent | TruthEvent] = []
        for event in events:
            answer = self._left_out.find(event.frame, event.region)
            lines += (event,) if answer is None else (answer, event)  # without it none counts
        try:
            with TruthAppender(place) as labels:
                labels.add_all(lines)
        except OutputError:
            self.num_lost += len(events)
            for event in events:
                self._let_wait(event)
        else:
            for event in events:
                self._left_out.forget(event.frame, event.region)

    def _is_deleted(self, session: Path) -> bool:
        return self._room is not None and session in self._room.deleted

    def begin(self, bundle: Bundle, artifact: Artifact, shadow: ShadowBundle | None) -> None:
        """Go on in a new session: this bundle answers from here on, with this one beside it."""
        self._header = self._header.of_other(bundle, artifact, shadow)
        if self.down is None:
            try:
                self._go_on()
            except OutputError as error:  # the session of now is of another bundle
                self._go_down(str(error))

    def tick(self) -> None:
        """Sync, look after the files and the bounds, and try again what failed."""
        if self._ended:
            return
        now = time.monotonic()
        if self._room is not None and now >= self._room_at:
            self._room_at = now + _EXPIRE_S
            self._room.look(self.folder)
        if self.down is not None:
            if now >= self._retry_at:
                self._retry_at = now + _RETRY_S
                self._try_again(self.down)
            return
        if self._waiting and now >= self._retry_at:  # of an earlier session that was full
            self._retry_at = now + _RETRY_S
            self._write_waiting()
        if now >= self._check_at:
            self._check_at = now + _CHECK_S
            if self._is_gone():
                return
            self._begin_day()
        if now >= self._expire_at:
            self._expire_at = now + _EXPIRE_S
            self._expire()
        while self._room is not None and self._room.notes:  # one comes each day
            (self._note if self._is_room_said else self.notes.append)(self._room.notes.popleft())
            self._is_room_said = True
        if not self._full:
            self.write(Recorder.tick)
            self.write(lambda recorder: recorder.session.sync())

    def end(self, reason: str, counts: Mapping[str, int]) -> None:
        """Log why the run ended, and close."""
        if self.down is None:
            self._is_gone()
        self._try_again(self.down)
        if self.down is None:
            self._write_waiting()
        self._ended = True
        if self.down is None:
            with suppress(OutputError):
                self._session.end(reason, counts)

    def discard(self, error: BaseException) -> None:
        """Close after an error: a session without a frame is not left behind."""
        self._ended = True
        self._session.__exit__(type(error), error, None)

    def _open(self) -> None:
        self._day = datetime.now(timezone.utc).date()
        folder = self._options.log
        if self._options.log_root is not None:
            folder = new_dated(self._options.log_root)
        if folder is None:
            raise OptionError("neither --log nor --log-root is given")
        self._session = SessionWriter(folder, self._header_of_now())
        self._opened, self._full, self._is_over = self._header, False, False
        self._begun[folder] = time.monotonic()
        self._roll_at = float("-inf")
        self._written.append(((self._header.bundle_sha256, self._header.artifact), folder))
        names = [view.name for view in self._header.regions]
        self._recorder = Recorder(
            self._session,
            self._options,
            live=self._live,
            regions=names if len(names) > 1 else (None,),
            left_out=self._left_out,
            seed=len(self._begun) - 1,
        )

    def _header_of_now(self) -> SessionHeader:
        """The header, with where the run began if that was in an earlier session."""
        if self._run is None:
            return self._header
        started_at, first_frame = self._run
        first_frame_ms = round((first_frame - time.monotonic()) * 1000)
        return replace(self._header, run=RunPart(started_at, first_frame_ms))

    def _is_gone(self) -> bool:
        """Whether somebody deleted what is written."""
        if self._session.is_in_place():
            return False
        self._go_down(f"{self.folder} was deleted")
        return True

    def _go_down(self, cause: str) -> None:
        now = time.monotonic()
        self.down, self._retry_at = Down(now, cause), now
        self.num_outages += 1
        self._room_at = now  # a full disk may have room for more
        self.notes.append(f"not logging: {cause}")

    def _try_again(self, down: Down | None) -> None:
        session = self._session
        if down is None:
            return
        try:
            if self._opened is self._header:
                session.reopen()
                self._recorder.after_outage()
            else:  # another bundle answers by now
                self._go_on()
                session = self._session
            start, end = (session.t_ms(moment) for moment in (down.since, time.monotonic()))
            session.gap(max(0, start), end, f"not logged: {down.cause}")
        except OutputError:
            return
        self.notes.append(f"logging again after {time.monotonic() - down.since:.1f} s")
        self.down = None
        self._write_waiting()

    def _begin_day(self) -> None:
        """Have another session begun where a day is over."""
        # Not only a later day: a clock that was ahead is set back to the day of now.
        is_new_day = datetime.now(timezone.utc).date() != self._day
        self._is_over = self._is_over or (self._options.log_root is not None and is_new_day)

    def _begin_frame(self, frame: int) -> None:
        """Go on in another session where this one is over: no frame is parted from its labels."""
        if frame <= self._newest:
            return
        self._newest = frame
        if self._is_over and self.down is None and time.monotonic() >= self._roll_at:
            self._roll_or_stay()

    def _roll_or_stay(self) -> None:
        """Go on in another session, or in this one where no other can be begun."""
        try:
            self._go_on()
        except OutputError as error:
            if self._roll_at == float("-inf"):
                self.notes.append(f"no new session: {error}; {self.folder.name} goes on")
            self._roll_at = time.monotonic() + _RETRY_S

    def _bound(self) -> None:
        """Have another session begun, or log less, where this one is large enough."""
        options = self._options
        if options.log_root is not None and self._session.size > options.session_mb * _MB:
            self._is_over = True
        if options.log_mb is None or self.down is not None:
            return
        used = self._session.size / (options.log_mb * _MB)
        if used >= 1 and not self._full:
            what = f"--log-mb {options.log_mb:g} is used up: the log ends"
            self.notes.append(what)
            self._note(what)  # at once: nothing is written from here on
            self._full = True
        elif used >= _SPARSE_SHARE and not self._recorder.sparse:
            self._recorder.sparse = True
            self.notes.append(
                f"{100 * _SPARSE_SHARE:.0f} % of --log-mb {options.log_mb:g} are used: only frames "
                "with a label or a picture are logged from here on"
            )

    def _note(self, what: str) -> None:
        """Say it to who reads the session only."""
        self._write(lambda recorder: recorder.health(what))

    def _go_on(self) -> None:
        """End this session and go on in another.

        Raises:
            OutputError: That can't be begun.
        """
        before, after = self._session, self._recorder.next_frame
        first_frame, started_at = self._recorder.first_frame, before.header.started_at
        if self._run is None and first_frame is not None and started_at is not None:
            self._run = started_at, first_frame
        seconds = time.monotonic() - self._begun[before.folder]
        self._open()
        self._earlier.append((after, before.folder))
        with suppress(OutputError):
            before.end(f"{GOES_ON_IN}{self.folder.name}")
        if self._options.log_root is not None and self._room is None:
            self._say_room(before.folder, seconds)

    def _say_room(self, ended: Path, seconds: float) -> None:
        """Note what a month takes at the rate of a session, and warn where the disk is soon full.

        Args:
            seconds: How long the session was written.
        """
        found = room_left(ended, seconds)
        if found is not None and found[1] < _FEW_DAYS:
            self.notes.append(found[0])
        elif found is not None and self.room is None:
            self._note(found[0])
            self.room = found[0]

    def _expire(self) -> None:
        """Delete pictures that are older than --keep-days, in all sessions of the root.

        A board without a clock begins at an old date: what this run wrote is no older than it.
        """
        days, now = self._options.keep_days, time.monotonic()
        if days is None:
            return
        young = {session for session, at in self._begun.items() if now - at < days * _DAY_S}
        expire_pictures(self._options.log_root or self.folder, days, young)
