"""The capture loop: classify every frame, compare with the truth, log, and sum up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.tally import gap_points
from edgecnn.bundle.classifier import Invoked
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.status import Figures, Status, Trouble
from edgecnn.device.live.truth import Truths
from edgecnn.device.log.log_thread import LogThread
from edgecnn.device.log.record import Reply
from edgecnn.device.machine.clock import ClockWatch
from edgecnn.device.machine.notify import Notifier
from edgecnn.device.machine.percentiles import RecentTimes
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.publish import Announced, Publishers
from edgecnn.device.run.answering import AnsweredFrame, Answering
from edgecnn.device.run.bundles import Bundles
from edgecnn.device.run.held_labels import HeldLabels
from edgecnn.device.run.notices import Notices
from edgecnn.device.run.regions import Region, Regions
from edgecnn.device.run.result import RunResult
from edgecnn.device.run.window import PreviewWindow
from edgecnn.device.web.live_page import LivePage
from edgecnn.errors import SourceError

__all__ = ["Audience", "Loop"]

_STATUS_S = 0.2
_SOURCE_ENDED = "source ended"


@dataclass(frozen=True)
class Audience:
    """Who looks at a run: a page in a browser, other programs, systemd, a panel, a window."""

    page: LivePage | None
    outputs: Publishers
    notifier: Notifier
    on_status: Callable[[Status], None] | None = None
    window: PreviewWindow | None = None


class Loop:
    """The loop of one run: use it once.

    It moves on without frames too: about five times a second it shows its figures and takes
    warnings and labels.
    """

    def __init__(
        self,
        bundles: Bundles,
        source: Source,
        truths: Truths,
        log: LogThread | None,
        options: RunOptions,
        shown: Audience,
    ) -> None:
        self._bundles, self._source, self._truths = bundles, source, truths
        self._log = log
        self._page, self._outputs, self._notifier = shown.page, shown.outputs, shown.notifier
        self._on_status, self._window = shown.on_status, shown.window
        self._options = options
        self._frames = 0
        self._status_due = 0.0
        self._hung = False
        self._ages = RecentTimes()
        self._start = time.monotonic()
        self._ended_at: float | None = None  # from then on labels may come, but no frames
        is_folder = source.kind == ImageSource.kind
        labels, rule = bundles.active.card.labels, bundles.active.rule(options)
        self._regions = Regions(
            options.views, labels, rule, separate=is_folder, things=options.thing_rule
        )
        source.prepare = lambda frame_bgr: self._regions.prepare(
            frame_bgr, bundles.active.card.input
        )
        self._labels = HeldLabels(bundles, self._regions, log)
        self._clock = ClockWatch()
        self._notices = Notices(log)
        self._last: tuple[Prediction | None, str | None] = (None, None)

    def run(self, stop: threading.Event) -> RunResult:
        """Answer the frames of the source until it ends, and sum up.

        Raises:
            SourceError: It gave no frame at all, or was away for too long.
        """
        ended = self._go_on(stop)
        self._ended_at = time.monotonic()
        if stop.is_set():
            ended = "interrupted"
        elif self._source.lost:
            ended = "camera lost"
        if self._page is not None and ended == _SOURCE_ENDED and not self._source.live:
            self._linger(stop)
        self._truths.close()
        self._labels.hold(self._truths.take())
        for note in (*self._bundles.notes(), *self._labels.notes()):
            self._notices.say(note)
        self._take_warnings()
        self._outputs.show(self._status())
        self._outputs.close()  # the result counts what they did not get
        self._notices.say_new(self._outputs.failures)
        self._take_warnings()
        status = self._status()
        if self._on_status is not None:
            self._on_status(status)
        return self._finish(status, ended)

    def _go_on(self, stop: threading.Event) -> str:
        """Answer frames; returns why it ended."""
        self._notifier.ready()
        with self._answering(stop) as answering:
            for answered in answering.ticks():
                if answered is None:
                    self._tick(answering)
                    if self._window is not None and not self._window.refresh():
                        stop.set()
                    continue
                if self._page is not None:
                    self._page.hub.captured(answered.captured.whole_bgr)
                self._show_page()
                frame, prediction = self._answer(answered)
                self._show_figures()
                self._show_panel()
                if self._window is not None and not self._window.show(frame.frame_bgr, prediction):
                    stop.set()
                if self._bundles.has_next(self._options):
                    answering.hold(self._swap)
            if answering.hangs:
                self._notices.say(
                    "the model hung when the run was stopped; its last frame is left out"
                )
        return "max frames" if self._frames == self._options.max_frames else _SOURCE_ENDED

    def _answering(self, stop: threading.Event) -> Answering:
        page, options, live = self._page, self._options, self._source.live
        # A recording is played at its own speed to those who look at the page.
        pace = None if page is None or live else partial(page.pace, stop=stop)
        # Where a shadow may take over, no frame is in work while labels decide on that.
        ahead = 1 if live or options.switch_when is not None else 2
        return Answering(
            self._source,
            self._regions,
            self._bundles,
            ahead=ahead,
            max_frames=options.max_frames,
            pace=pace,
            stop=stop,
        )

    def _tick(self, answering: Answering) -> None:
        """Move on without a frame."""
        self._labels.hold(self._truths.take())
        if self._bundles.has_next(self._options):
            answering.hold(self._swap)
        self._show_figures(hangs=answering.hangs)
        self._take_warnings()
        self._show_page()
        self._show_panel()

    def _show_figures(self, *, hangs: bool = False) -> None:
        """Hand outputs the figures, once a second, and systemd a sign of life.

        Args:
            hangs: The model has not answered for some seconds.
        """
        if hangs and not self._hung:
            self._notices.say("the model has not answered for some seconds: a driver may hang")
        self._hung = hangs
        if not hangs:
            self._notifier.alive()
        if self._outputs.wants_status():
            self._outputs.show(self._status())
            self._notices.say_new(self._outputs.failures)

    def _show_page(self) -> None:
        if self._page is not None and self._page.hub.wants_status():
            self._page.hub.show(self._status())

    def _show_panel(self) -> None:
        if self._on_status is not None and time.monotonic() >= self._status_due:
            self._on_status(self._status())
            self._status_due = time.monotonic() + _STATUS_S

    def _linger(self, stop: threading.Event) -> None:
        """After a recording, take labels until somebody stops the run."""
        assert self._page is not None
        self._page.hub.end()
        while not stop.wait(_STATUS_S):
            truths = self._truths.take()
            self._labels.hold(truths)
            self._show_figures()
            self._take_warnings()
            if truths and self._on_status is not None:
                self._on_status(self._status())
            self._show_page()

    def _answer(self, answered: AnsweredFrame) -> tuple[Frame, Prediction]:
        """Count the answers to all regions of a frame; returns the first of them and its answer."""
        self._take_warnings()  # an outage before this frame may belong into the session before
        captured, frames = answered.captured, answered.views
        if self._source.live:
            was_set = self._clock.see(captured.captured_at, captured.captured)
            if was_set is not None:
                self._notices.say(was_set)
        replies = [
            self._reply(frame, invoked, region, answered.at)
            for frame, invoked, region in zip(frames, answered.invoked, self._regions, strict=True)
        ]
        self._frames += 1
        self._bundles.active.frames += 1
        self._bundles.see(captured.encoded)
        self._last = (replies[0].prediction, replies[0].truth)
        if self._outputs:
            self._publish(captured, replies)
        self._compare(frames, replies)
        return frames[0], replies[0].prediction

    def _swap(self, first_frame: int) -> None:
        """Let another bundle answer from a frame on, and tell page and log."""
        self._take_warnings()  # an outage before this frame belongs into the session before
        before, alarm = self._bundles.active, self._weigh()
        if alarm.raised:  # the alarm that is shown from here on is that of the next one
            self._notices.say(f"alarm of {before.bundle.path.name}: {alarm.text()}")
        self._bundles.swap(first_frame, self._regions, self._options)
        active = self._bundles.active
        bundle, artifact = active.bundle, active.classifier.artifact
        if self._page is not None:
            self._page.hub.swap(bundle, artifact)
        if self._log is not None:
            shadow, switch = self._bundles.shadow, self._bundles.switch(self._options)
            self._log.begin(bundle, artifact, None if shadow is None else shadow.beside)
            said = f"{bundle.path.name} answers from frame {active.first_frame} on"
            self._log.health(said if switch is None else switch.to_text())

    def _reply(self, frame: Frame, invoked: Invoked, region: Region, at: float) -> Reply:
        reply = self._bundles.active.reply(invoked, frame, region, self._regions, at)
        self._truths.observe(frame, reply.prediction, region.name)
        truths = self._truths.take()
        wanted = (frame.index, region.name)
        label = next((t.label for t in reversed(truths) if (t.frame, t.region) == wanted), None)
        self._ages.add(reply.age_ms)
        self._labels.hold(truths)
        return replace(reply, truth=label)

    def _compare(self, frames: Sequence[Frame], replies: Sequence[Reply]) -> None:
        """Let twin and shadow answer too, and log: the answer is out and timed by now."""
        active, shadow = self._bundles.active, self._bundles.shadow
        wrong = active.compare_twin(frames[0], replies[0].prediction, self._options.twin_every)
        if wrong:
            self._notices.say(f"frame {frames[0].index}: {wrong}")
        is_due = shadow is not None and shadow.is_due(active.frames - 1)
        for frame, reply in zip(frames, replies, strict=True):
            if shadow is not None and is_due:
                reply = replace(reply, shadow=shadow.answer(frame, reply, self._regions))
            if self._page is not None and self._page.hub.may_ask(frame.index):
                reply = replace(reply, may_be_asked=True)
            if self._log is not None:
                self._log.frame(frame, reply)

    def _publish(self, frame: Frame, replies: Sequence[Reply]) -> None:
        decisions = [
            region.decide(reply.prediction)
            for region, reply in zip(self._regions, replies, strict=True)
        ]
        for reply, decision in zip(replies, decisions, strict=True):
            self._outputs.put(
                Announced(
                    frame.index,
                    frame.captured_at,
                    reply.prediction.label,
                    reply.prediction.confidence,
                    decision,
                    reply.truth,
                    reply.age_ms,
                    reply.region,
                    self._regions.reading,
                )
            )

    def _status(self) -> Status:
        now = time.monotonic()
        live, elapsed_s = self._regions.tally, now - self._start
        prediction, truth = self._last
        active, alarm = self._bundles.active, self._weigh()
        outage, down = self._source.outage, None if self._log is None else self._log.down
        return Status(
            lab=active.lab,
            lab_file=active.lab_file,
            live=live,
            gap_points=gap_points(active.lab, live),
            alarm=alarm,
            frames=self._frames,
            dropped=self._source.dropped,
            elapsed_s=elapsed_s,
            fps=self._frames / max((self._ended_at or now) - self._start, 1e-9),
            age_ms=self._ages.percentiles,
            invoke_ms=active.invokes.percentiles,
            regions=self._regions.tallies,
            reject=self._regions.reject,
            prediction=prediction,
            truth=truth,
            bundle=active.bundle.sha256,
            swaps=self._bundles.num_swaps,
            warning=self._notices.newest or active.fallback,
            silent=None if outage is None else Trouble(now - outage.since, outage.cause),
            unlogged=None if down is None else Trouble(now - down.since, down.cause),
            faults=self._faults(),
        )

    def _weigh(self) -> Alarm:
        """The alarm; the first time that it is raised it is logged, too.

        It is no warning: who looks at the run sees it with the figures of now.
        """
        things, right = self._regions.first_answers
        alarm = Alarm.of(self._bundles.active.lab_file, right, things)
        if self._bundles.active.newly_alarmed(alarm) and self._log is not None:
            self._log.health(f"alarm: {alarm.text()}")
        return alarm

    def _faults(self) -> dict[str, int]:
        """How often each fault was seen: of the camera's pictures, and lines that were lost."""
        lost = 0 if self._log is None else self._log.num_lost
        log_outages = 0 if self._log is None else self._log.num_outages
        unsent = self._outputs.num_dropped
        return (
            self._source.counts
            | ({"log outages": log_outages} if log_outages else {})
            | ({"lines not logged": lost} if lost else {})
            | ({"answers not sent": unsent} if unsent else {})
            | ({"clock set": self._clock.count} if self._clock.count else {})
            | ({"bundles refused": self._bundles.num_refused} if self._bundles.num_refused else {})
        )

    def _take_warnings(self) -> None:
        for since, until in self._source.take_outages():
            if self._log is not None:
                self._log.outage(since, until)
        for message in (*self._source.take_warnings(), *self._bundles.take_refusals()):
            self._notices.say(message)
        for message in () if self._log is None else self._log.take_notes():
            self._notices.say(message)

    def _finish(self, status: Status, ended: str) -> RunResult:
        active, shadow = self._bundles.active, self._bundles.shadow
        twin = active.twin.report() if active.twin else None
        outage, unlabelled = self._source.outage, self._bundles.unlabelled(status.live)
        # Another source may have labelled what truth by time left out.
        guarded = min(self._truths.guarded, unlabelled)
        if self._log is not None:
            if twin:
                self._log.health(f"twin: {twin.to_text()}")
            if outage is not None and status.frames:
                self._log.outage(outage.since, time.monotonic())
            counts = {"frames": status.frames, "dropped": status.dropped, **status.faults}
            counts |= {"guarded": guarded} if guarded else {}
            self._log.end(ended, counts)
        if outage is not None and self._source.lost:
            kept = "" if self._log is None else f"; {self._log.folder} has what came before"
            raise SourceError(
                f"no frame for {time.monotonic() - outage.since:.0f} s: {outage.cause}{kept}"
            )
        return RunResult(
            **{one.name: getattr(status, one.name) for one in fields(Figures)},
            unlabelled=unlabelled,
            guarded=guarded,
            artifact=active.classifier.artifact.file,
            device=active.device,
            ended=ended,
            ok=not (self._options.fail_on == "alarm" and status.alarm.raised),
            session=None if self._log is None else self._log.folder,
            sessions=() if self._log is None else self._log.sessions,
            room=None if self._log is None else self._log.room,
            fallback=active.fallback,
            warnings=self._notices.held,
            twin=twin,
            bundles=self._bundles.shares(status.live),
            shadow=None if shadow is None else shadow.comparison(),
            switch=self._bundles.switch(self._options),
            order=self._source.order,
            faults=status.faults,
        )
