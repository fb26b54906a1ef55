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


class Recorder:
    """Writes what a run answers into an open session.

    Args:
        session: Where to write; whoever opened it closes it.
        options: The bounds of the kept pictures, and the silence that is noted as a gap.
        live: Whether the source is a camera or stream.
    """

    def __init__(self, session: SessionWriter, options: RunOptions, *, live: bool) -> None:
        self.session = session
        self._live, self._gap_s = live, options.timeout_s
        self._sample = FrameSample(session, options.keep_frames, options.keep_mb, live=live)
        self._random = Random(1)
        self._health_at = float("-inf")
        self._last: tuple[int, float] | None = None
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
        """Log an answer, and every 10 seconds how the machine is.

        Args:
            truth: What the frame shows, where that is known already: mistakes are kept first.
            thing: See `accuracy.objects`.
        """
        self._note_gap(frame)
        kept = self._sample.offer(frame, prediction, truth)
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
        if time.monotonic() - self._health_at >= _HEALTH_S:
            self.health(None)

    def health(self, message: str | None) -> None:
        """Log temperature and throttling, with a warning if there is one."""
        self._health_at = time.monotonic()
        self.session.health(read_health(), message)

    def _note_gap(self, frame: Frame) -> None:
        """Log a gap before a frame that came late, though none before it was dropped."""
        last, self._last = self._last, (frame.index, frame.captured)
        if not self._live or last is None:
            return
        if frame.index == last[0] + 1 and frame.captured - last[1] > self._gap_s:
            start, end = (self.session.t_ms(moment) for moment in (last[1], frame.captured))
            self.session.gap(start, end, "camera silent")
