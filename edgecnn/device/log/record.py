"""What a run hands to its session: answers and truths, pictures, and how the machine is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.keep import FrameSample
from edgecnn.device.log.left_out import LeftOut
from edgecnn.device.machine.health import read_health
from edgecnn.device.options import RunOptions
from edgecnn.session.events import FrameEvent, TruthEvent, top_scores
from edgecnn.session.write import SessionWriter

__all__ = ["Recorder", "Reply"]

_HEALTH_S = 10.0
# All scores of frames that are not kept: of at most every tenth, and of fewer where there are many
# classes, so that a line takes some bytes more in the mean.
_SCORES_SHARE, _SCORES_A_FRAME = 0.1, 1.0
# Frames that come about as seldom as `log_every` says are all logged, though their times jitter.
_AS_SELDOM = 0.95


@dataclass(frozen=True)
class Reply:
    """An answer to a frame and what is known of it.

    Args:
        truth: What the frame shows, where that is known already: mistakes are kept first.
        thing: See `accuracy.objects`.
        region: The name of what was classified, where there are several regions.
        shadow: The answer of the bundle beside, where it gave one.
        may_be_asked: Whether the page may ask a person about the frame, however late.
    """

    prediction: Prediction
    truth: str | None
    age_ms: float
    invoke_ms: float
    thing: int | None = None
    region: str | None = None
    shadow: Prediction | None = None
    may_be_asked: bool = False


class Recorder:
    """Writes what a run answers into an open session; the log's thread calls it.

    Args:
        session: Where to write; whoever opened it closes it.
        options: The bounds of the kept pictures, and the rate of the log.
        live: Whether the source is a camera or stream.
        regions: Names of what is classified; the bounds of kept pictures hold for all together.
        left_out: Takes the answers that are not logged; of a run with several sessions it is one.
        seed: Another one for each session of a run: not the same moments of each day.
    """

    def __init__(
        self,
        session: SessionWriter,
        options: RunOptions,
        *,
        live: bool,
        regions: Sequence[str | None] = (None,),
        left_out: LeftOut | None = None,
        seed: int = 0,
    ) -> None:
        self.session = session
        self._live = live
        self._every_s = options.log_every
        count, megabytes = options.keep_frames // len(regions), options.keep_mb / len(regions)
        self._samples = {
            name: FrameSample(session, count, megabytes, live=live, region=name, seed=seed)
            for name in regions
        }
        self._random = Random(seed + 1)
        self._interval, self._due_at = 0, self._random.random()  # of `log_every`
        self._health_at = self._seen_at = float("-inf")
        self._clock = 0.0  # in intervals
        self.next_frame = 0  # the number after that of the last one
        self.first_frame: float | None = None  # when it was captured, of `time.monotonic()`
        # Near the end of the budget only frames with a label or a picture are logged.
        self.sparse = False
        self._things: dict[str | None, int | None] = {}
        self._due_frame = -1
        self._left_out = left_out or LeftOut()
        # Labels that came before their answers: of a frame with several regions.
        self._labelled: set[tuple[int, str | None]] = set()

    def frame(self, frame: Frame, reply: Reply) -> None:
        """Log an answer, unless `log_every` leaves it out: labelled and kept ones never."""
        if frame.index >= self.next_frame:
            self._labelled = {one for one in self._labelled if one[0] >= frame.index}
        self.next_frame = frame.index + 1
        if self.first_frame is None:
            self.first_frame = frame.captured
        prediction, beside = reply.prediction, reply.shadow
        sample = self._samples[reply.region]
        kept = sample.offer(frame, prediction, reply.truth)
        failure = sample.take_failure()
        if failure is not None:
            self.health(f"no pictures are kept: {failure}")
        is_labelled = reply.truth is not None or (frame.index, reply.region) in self._labelled
        is_logged = self._is_due(frame) or bool(kept) or is_labelled
        share = min(_SCORES_SHARE, _SCORES_A_FRAME / len(prediction.scores))
        event = FrameEvent(
            frame=frame.index,
            t_ms=self.session.t_ms(frame.captured),
            top=top_scores(prediction.scores),
            confidence=prediction.confidence,
            age_ms=reply.age_ms,
            invoke_ms=reply.invoke_ms,
            at=frame.captured_at,
            region=reply.region,
            scores=prediction.scores if kept or self._random.random() < share else None,
            pool=kept.pool if kept else None,
            probability=kept.probability if kept else None,
            name=frame.name,
            seconds=None if self._live else frame.seconds,
            thing=reply.thing,
            shadow=None if beside is None else (beside.index, beside.confidence),
        )
        if is_logged:
            self._write(event)
        else:
            self._left_out.hold(event, may_be_asked=reply.may_be_asked)

    def truth(self, event: TruthEvent) -> None:
        """Log a label; and its answer, where `log_every` left that out: without it none counts."""
        answer = self._left_out.find(event.frame, event.region)
        if answer is not None:
            self._write(answer)
            self._left_out.forget(event.frame, event.region)  # a full disk may not have taken it
        elif event.frame >= self.next_frame - 1:
            self._labelled.add((event.frame, event.region))
        self.session.truth(event)

    def _write(self, event: FrameEvent) -> None:
        """Write an answer; of what its frame shows only what is not known from the one before."""
        known = self._things.get(event.region)
        self._things[event.region] = event.thing
        self.session.frame(event._replace(thing=None) if event.thing == known else event)

    def after_outage(self) -> None:
        """Lines were lost: the next ones say anew what is said once only."""
        self._things.clear()

    def tick(self) -> None:
        """Every 10 seconds log how the machine is, also while no frame comes."""
        if time.monotonic() - self._health_at >= _HEALTH_S:
            self.health(None)

    def health(self, message: str | None) -> None:
        """Log temperature and throttling, with a warning if there is one."""
        self._health_at = time.monotonic()
        self.session.health(read_health(), message)

    def outage(self, since: float, until: float) -> None:
        """Log that no frame came between two moments of `time.monotonic()`."""
        start, end = (self.session.t_ms(moment) for moment in (since, until))
        self.session.gap(max(0, start), end, "camera silent")

    def _is_due(self, frame: Frame) -> bool:
        """Whether `log_every` lets a frame through, with all its regions.

        One at a random moment of each interval: what returns at the rate of the log would else be
        always seen or never. A video's own clock counts, as for `--every`: how fast it is read
        says nothing.
        """
        if self.sparse:
            return False
        if frame.index == self._due_frame:  # another region
            return True
        now = frame.captured if self._live or frame.seconds is None else frame.seconds
        since, self._seen_at = max(0.0, now - self._seen_at), now
        is_due = since >= _AS_SELDOM * self._every_s
        if not is_due:
            self._clock += since / self._every_s
            is_due = self._clock >= self._due_at
            while self._clock >= self._due_at:
                self._interval += 1
                self._due_at = self._interval + self._random.random()
        if is_due:
            self._due_frame = frame.index
        return is_due
