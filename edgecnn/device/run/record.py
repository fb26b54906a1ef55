"""What a run hands to its session: answers and truths, pictures, and how the machine is."""

from __future__ import annotations

import time
from random import Random

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.machine.health import read_health
from edgecnn.device.options import RunOptions
from edgecnn.device.run.keep import FrameSample
from edgecnn.session.events import FrameEvent, top_scores
from edgecnn.session.write import SessionWriter

__all__ = ["Recorder"]

_HEALTH_S = 10.0
# All scores of frames that are not kept: at most every tenth, and less often where there are many
# classes, so that a line takes some bytes more in the mean.
_SCORES_SHARE, _SCORES_A_FRAME = 0.1, 1.0
# The wall clock was set when it moved otherwise than the monotonic one by this much at once.
_CLOCK_JUMP_S = 2.0


class Recorder:
    """Writes what a run answers into an open session; the log's thread calls it.

    Args:
        session: Where to write; whoever opened it closes it.
        options: The bounds of the kept pictures, the rate of the log, and the silence that is
            noted as a gap.
        live: Whether the source is a camera or stream.
    """

    def __init__(self, session: SessionWriter, options: RunOptions, *, live: bool) -> None:
        self.session = session
        self._live, self._gap_s = live, options.timeout_s + options.period_s
        self._every_s = options.log_every
        self._sample = FrameSample(session, options.keep_frames, options.keep_mb, live=live)
        self._random = Random(1)
        self._health_at = self._logged_at = float("-inf")
        self._last: tuple[int, float] | None = None
        self._clock_offset: float | None = None
        # Near the end of the budget only frames with a label or a picture are logged.
        self.sparse = False
        self._thing: int | None = None

    def frame(
        self,
        frame: Frame,
        prediction: Prediction,
        truth: str | None,
        *,
        age_ms: float,
        invoke_ms: float,
        thing: int | None = None,
    ) -> None:
        """Log an answer, unless `log_every` leaves it out: labelled and kept ones never.

        Args:
            truth: What the frame shows, where that is known already: mistakes are kept first.
            thing: See `accuracy.objects`.
        """
        self._note_gap(frame)
        self._note_clock(frame)
        kept = self._sample.offer(frame, prediction, truth)
        failure = self._sample.take_failure()
        if failure is not None:
            self.health(f"no pictures are kept: {failure}")
        due = frame.captured - self._logged_at >= self._every_s and not self.sparse
        if not (due or kept or truth is not None):
            return
        self._logged_at = frame.captured if due else self._logged_at
        share = min(_SCORES_SHARE, _SCORES_A_FRAME / len(prediction.scores))
        event = FrameEvent(
            frame=frame.index,
            t_ms=self.session.t_ms(frame.captured),
            top=top_scores(prediction.scores),
            confidence=prediction.confidence,
            age_ms=age_ms,
            invoke_ms=invoke_ms,
            at=frame.captured_at,
            scores=prediction.scores if kept or self._random.random() < share else None,
            pool=kept.pool if kept else None,
            probability=kept.probability if kept else None,
            name=frame.name,
            seconds=None if self._live else frame.seconds,
            thing=None if thing == self._thing else thing,
        )
        self._thing = thing
        self.session.frame(event)

    def tick(self) -> None:
        """Every 10 seconds log how the machine is, also while no frame comes."""
        if time.monotonic() - self._health_at >= _HEALTH_S:
            self.health(None)

    def health(self, message: str | None) -> None:
        """Log temperature and throttling, with a warning if there is one."""
        self._health_at = time.monotonic()
        self.session.health(read_health(), message)

    def outage(self, since: float) -> None:
        """Log that there was no frame until now, at the end of a run.

        Args:
            since: Of `time.monotonic()`.
        """
        start, end = (self.session.t_ms(moment) for moment in (since, time.monotonic()))
        self.session.gap(max(0, start), end, "camera silent")

    def _note_gap(self, frame: Frame) -> None:
        """Log a gap before a frame that came late, though none before it was dropped."""
        last, self._last = self._last, (frame.index, frame.captured)
        if not self._live or last is None:
            return
        if frame.index == last[0] + 1 and frame.captured - last[1] > self._gap_s:
            start, end = (self.session.t_ms(moment) for moment in (last[1], frame.captured))
            self.session.gap(start, end, "camera silent")

    def _note_clock(self, frame: Frame) -> None:
        """Log that the machine's clock was set; `t` goes on as if nothing had happened."""
        offset = frame.captured_at.timestamp() - frame.captured
        before, self._clock_offset = self._clock_offset, offset
        if not self._live or before is None or abs(offset - before) < _CLOCK_JUMP_S:
            return
        way = "forward" if offset > before else "back"
        self.health(f"the clock was set {way} by {abs(offset - before):.0f} s")
