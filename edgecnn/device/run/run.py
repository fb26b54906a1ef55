"""The capture loop: classify every frame, compare with the truth, log, and sum up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import ObjectNumbers
from edgecnn.accuracy.tally import gap_points
from edgecnn.bundle.edgetpu.twin import load_twin
from edgecnn.bundle.frame_view import FrameView
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.cameras import public_name
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.sources import open_source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.status import Figures, Status
from edgecnn.device.live.truth import Truths, load_truths
from edgecnn.device.load_classifier import Loaded, check_golden, load_classifier
from edgecnn.device.machine.health import boot_id, host
from edgecnn.device.machine.percentiles import Percentiles
from edgecnn.device.machine.signals import stop_on_signals
from edgecnn.device.options import RunOptions
from edgecnn.device.run.record import Recorder
from edgecnn.device.run.result import RunResult
from edgecnn.device.run.window import PreviewWindow
from edgecnn.device.web.live_page import LivePage
from edgecnn.session.answers import Answers
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import SessionHeader
from edgecnn.session.write import SessionWriter, check_session_place

__all__ = ["RunOptions", "RunResult", "Status", "run"]

_STATUS_S = 0.2
_MAX_WARNINGS = 1000
# Percentiles are those of the newest frames, at most this many: memory stays the same for days.
_WINDOW = 10_000


def run(
    bundle: Path | str,
    source: str,
    options: RunOptions = RunOptions(),
    *,
    view: FrameView | None = None,
    on_status: Callable[[Status], None] | None = None,
    on_link: Callable[[str], None] | None = None,
) -> RunResult:
    """Classify the frames of a source until it ends, and report live beside lab accuracy.

    The bundle's golden frames are replayed first. SIGINT (Ctrl-C) and SIGTERM end the run
    cleanly, with its result, when called from the main thread; a second Ctrl-C interrupts.

    Args:
        bundle: NAME.edgecnn, a folder or its zip.
        source: See `sources.open_source`.
        view: The region of each frame that is classified, and how it is turned; None takes the
            options' `roi` and `rotate`.
        on_status: Called about five times a second, and at the end.
        on_link: Called with the link to the page, where the options say `web`.

    Raises:
        BundleError: The bundle can't be used, or gives other answers here than in the lab.
        MissingRuntimeError: No runtime, delegate, camera library or display.
        SourceError: No frames.
        ImageError: The view's region is not inside of the frames.
        TruthError: The truth is malformed or contradicts the bundle.
        OutputError: The session can't be written (any more).
    """
    if options.log is not None:
        check_session_place(options.log)
    if view is None:
        view = FrameView(options.region, options.rotate)
    loaded = load_classifier(bundle, options)
    page = LivePage(loaded.classifier.bundle, options, view) if options.web is not None else None
    check_golden(loaded.classifier)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        window = stack.enter_context(PreviewWindow("edgecnn")) if options.window else None
        opened = stack.enter_context(open_source(source, options, stop))
        labels, hub = loaded.classifier.card.labels, [page.hub] if page else []
        truths = stack.enter_context(
            load_truths(
                *(options.truth, opened, labels, hub),
                offset=options.truth_offset,
                most=options.max_frames,
            )
        )
        if window is not None:
            window.keys = truths.keys
        recorder = None
        if options.log is not None:
            header = _header(loaded, source, options, truths, view)
            session = stack.enter_context(SessionWriter(options.log, header))
            recorder = Recorder(session, options, live=opened.live)
        if page is not None:
            stack.enter_context(page.serve(options.log, on_link))
        loop = _Loop(loaded, opened, truths, recorder, view, options, page)
        return loop.run(on_status, window, stop)


class _Loop:
    def __init__(
        self,
        loaded: Loaded,
        source: Source,
        truths: Truths,
        recorder: Recorder | None,
        view: FrameView,
        options: RunOptions,
        page: LivePage | None,
    ) -> None:
        self._loaded, self._source, self._truths = loaded, source, truths
        self._recorder, self._view, self._page = recorder, view, page
        self._classifier = loaded.classifier
        self._lab = self._classifier.card.lab.tally
        self._options = options
        self._frames = 0
        self._ages: deque[float] = deque(maxlen=_WINDOW)
        self._invokes: deque[float] = deque(maxlen=_WINDOW)
        self._start = time.monotonic()
        self._answers = Answers(
            self._classifier.card.labels, separate=source.kind == ImageSource.kind
        )
        self._things = ObjectNumbers()
        self._alarmed = False
        self._warnings: list[str] = []
        self._picked = 0  # labels of frames that a person picked
        self._last: tuple[Prediction | None, str | None] = (None, None)
        # The uncompiled file on the CPU, to compare some answers with, where there is one.
        self._twin = None
        if options.twin_every:
            self._twin = load_twin(
                self._classifier, loaded.device, threads=options.threads, runtime=options.runtime
            )

    def run(
        self,
        on_status: Callable[[Status], None] | None,
        window: PreviewWindow | None,
        stop: threading.Event,
    ) -> RunResult:
        ended, status_due = "source ended", 0.0
        for captured in self._source:
            if self._page is not None:
                captured = self._show(captured, self._page, stop)
            frame = self._cut(captured)
            prediction = self._classify(frame)
            if on_status is not None and time.monotonic() >= status_due:
                on_status(self._status())
                status_due = time.monotonic() + _STATUS_S
            if window is not None and not window.show(frame.frame_bgr, prediction):
                stop.set()
            if stop.is_set():
                break
            if self._frames == self._options.max_frames:
                ended = "max frames"
                break
        if self._page is not None and ended == "source ended" and not self._source.live:
            self._linger(on_status, stop)
        self._truths.close()
        self._hold(self._truths.take())
        self._note_labels()
        self._take_warnings()
        if stop.is_set():
            ended = "interrupted"
        elif self._source.lost:
            ended = "camera lost"
        status = self._status()
        if on_status is not None:
            on_status(status)
        return self._finish(status, ended)

    def _show(self, captured: Frame, page: LivePage, stop: threading.Event) -> Frame:
        """Hand the page a frame and the figures; a recording is played at its own speed."""
        if not self._source.live:
            captured = page.pace(captured, stop)
        page.hub.captured(captured.frame_bgr)
        if page.hub.wants_status():
            page.hub.show(self._status())
        return captured

    def _linger(self, on_status: Callable[[Status], None] | None, stop: threading.Event) -> None:
        """After a recording, take labels until somebody stops the run."""
        while not stop.wait(_STATUS_S):
            truths = self._truths.take()
            self._hold(truths)
            if truths and on_status is not None:
                on_status(self._status())
            if self._page is not None and self._page.hub.wants_status():
                self._page.hub.show(self._status())

    def _cut(self, frame: Frame) -> Frame:
        """The view of a frame; its file's bytes show something else then."""
        if self._view.is_whole:
            return frame
        cut_bgr, uncut_bgr = self._view.apply(frame.frame_bgr), frame.frame_bgr
        return replace(frame, frame_bgr=cut_bgr, encoded=None, uncut_bgr=uncut_bgr)

    def _classify(self, frame: Frame) -> Prediction:
        answered = self._classifier.answered(frame.frame_bgr)
        age_ms = (time.monotonic() - frame.captured) * 1000
        prediction, timing = answered.prediction, answered.timing
        thing = self._things.number(fingerprint(answered.tensor, is_rgb=True))
        self._truths.observe(frame, prediction)
        truths = self._truths.take()
        label = next((t.label for t in reversed(truths) if t.frame == frame.index), None)
        self._frames += 1
        self._ages.append(age_ms)
        self._invokes.append(timing.invoke_ms)
        self._last = (prediction, label)
        self._answers.answer(frame.index, prediction.index, thing)
        self._take_warnings()
        if self._recorder is not None:
            self._recorder.frame(
                frame, prediction, label, age_ms=age_ms, invoke_ms=timing.invoke_ms, thing=thing
            )
        self._hold(truths)
        self._compare_twin(frame, prediction)
        return prediction

    def _hold(self, truths: Sequence[TruthEvent]) -> None:
        """Count truths, of this frame or of earlier ones, and log them."""
        for event in truths:
            self._answers.truth(event)
            self._picked += event.why == "chosen"
            if self._recorder is not None:
                self._recorder.session.truth(event)

    def _note_labels(self) -> None:
        """Say which labels the live figure lacks, and why."""
        if self._picked and not self._answers.tally.total:
            self._warn(
                "live accuracy is not identified: a person picked all labelled frames; label "
                "random ones on the page (--web), or whole stretches"
            )
        if self._answers.late:
            where = "--log keeps them" if self._recorder is None else "an audit counts them"
            self._warn(
                f"{self._answers.late} labels came too late for the live accuracy of the run; "
                f"{where}"
            )

    def _compare_twin(self, frame: Frame, prediction: Prediction) -> None:
        """After the answer is out and timed, so that the twin costs no answer its age."""
        if self._twin is None or (self._frames - 1) % self._options.twin_every:
            return
        wrong = self._twin.compare(frame.frame_bgr, prediction)
        if wrong:
            self._warn(f"frame {frame.index}: {wrong}")

    def _status(self) -> Status:
        live, elapsed_s = self._answers.tally, time.monotonic() - self._start
        prediction, truth = self._last
        alarm = self._weigh()
        return Status(
            lab=self._lab,
            live=live,
            gap_points=gap_points(self._lab, live),
            alarm=alarm,
            frames=self._frames,
            dropped=self._source.dropped,
            elapsed_s=elapsed_s,
            fps=self._frames / max(elapsed_s, 1e-9),
            age_ms=Percentiles.of(self._ages),
            invoke_ms=Percentiles.of(self._invokes),
            prediction=prediction,
            truth=truth,
            warning=self._warnings[-1] if self._warnings else self._loaded.fallback,
        )

    def _weigh(self) -> Alarm:
        """The alarm; the first time that it is raised it is logged, too."""
        things, right = self._answers.first_answers
        alarm = Alarm.of(self._classifier.artifact.lab, right, things)
        if alarm.raised and not self._alarmed:
            self._alarmed = True
            self._warn(f"alarm: {alarm.text()}")
        return alarm

    def _take_warnings(self) -> None:
        for message in self._source.take_warnings():
            self._warn(message)

    def _warn(self, message: str) -> None:
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.append(message)
        if self._recorder is not None:
            self._recorder.health(message)

    def _finish(self, status: Status, ended: str) -> RunResult:
        twin = self._twin.report() if self._twin else None
        if self._recorder is not None:
            if twin:
                self._recorder.health(f"twin: {twin.to_text()}")
            counts = {"frames": status.frames, "dropped": status.dropped}
            if self._truths.guarded:
                counts["guarded"] = self._truths.guarded
            self._recorder.session.end(ended, counts)
        return RunResult(
            **{one.name: getattr(status, one.name) for one in fields(Figures)},
            unlabelled=status.frames - status.live.total,
            guarded=self._truths.guarded,
            artifact=self._classifier.artifact.file,
            device=self._loaded.device,
            ended=ended,
            ok=not (self._options.fail_on == "alarm" and status.alarm.raised),
            session=None if self._recorder is None else self._recorder.session.folder,
            fallback=self._loaded.fallback,
            warnings=tuple(self._warnings),
            twin=twin,
            order=self._source.order,
        )


def _header(
    loaded: Loaded, source: str, options: RunOptions, truths: Truths, view: FrameView
) -> SessionHeader:
    classifier = loaded.classifier
    bundle, path = classifier.bundle, Path(source)
    return SessionHeader(
        bundle_path=str(bundle.path.resolve()),
        bundle_sha256=bundle.sha256,
        card=bundle.card,
        artifact=classifier.artifact.file,
        artifact_sha256=classifier.artifact.sha256,
        device=loaded.device,
        fallback=loaded.fallback,
        runtime=classifier.runtime.name,
        source=str(path.resolve()) if path.exists() else public_name(source),
        source_color=options.color,
        truth=truths.via,
        regions=() if view.is_whole else (view,),
        host=host(),
        boot_id=boot_id(),
    )
