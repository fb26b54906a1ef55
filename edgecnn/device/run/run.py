"""Opens all that a run needs, and runs the loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edgecnn.accuracy.thing_rule import EACH
from edgecnn.device.capture.cameras import live_kind, public_name
from edgecnn.device.capture.frame import Source
from edgecnn.device.capture.sources import open_source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live.status import Status
from edgecnn.device.live.truth import Truths, load_truths
from edgecnn.device.load_classifier import Loaded, check_golden, load_classifier
from edgecnn.device.log.log_thread import LogThread
from edgecnn.device.log.room import check_room
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.machine.health import boot_id, host
from edgecnn.device.machine.notify import Notifier
from edgecnn.device.machine.signals import stop_on_signals
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.open_outputs import open_outputs
from edgecnn.device.run.bundles import Active, Bundles
from edgecnn.device.run.incoming import Incoming
from edgecnn.device.run.loop import Audience, Loop
from edgecnn.device.run.result import RunResult
from edgecnn.device.run.shadow import Shadow, load_shadow
from edgecnn.device.run.unused_options import unused_options
from edgecnn.device.run.window import PreviewWindow
from edgecnn.device.views import overlaps
from edgecnn.device.web.live_page import LivePage
from edgecnn.errors import OptionError
from edgecnn.session.header import SessionHeader
from edgecnn.session.write import check_session_place

__all__ = ["RunOptions", "RunResult", "Status", "run"]


def run(
    bundle: Path | str,
    source: str,
    options: RunOptions = RunOptions(),
    *,
    on_status: Callable[[Status], None] | None = None,
    on_link: Callable[[str], None] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> RunResult:
    """Classify the frames of a source until it ends, and report live beside lab accuracy.

    The bundle's golden frames are replayed first. SIGINT (Ctrl-C) and SIGTERM end the run
    cleanly, with its result, when called from the main thread; a second Ctrl-C interrupts.

    Args:
        bundle: NAME.edgecnn, a folder or its zip.
        source: See `sources.open_source`.
        on_status: Called about five times a second, and at the end.
        on_link: Called with the link to the page, where the options say `web`.
        on_line: Takes the JSON lines of `output` "jsonl", from a thread of its own. A
            BrokenPipeError of it ends the run.

    Raises:
        BundleError: The bundle can't be used, or gives other answers here than in the lab.
        MissingRuntimeError: No runtime, delegate, camera library or display.
        SourceError: No frames, or none any more for as long as `give_up` says.
        ImageError: A region is not inside of the frames.
        TruthError: The truth is malformed or contradicts the bundle.
        OptionError: The session would be inside of the source, or `root_mb` has no room for two.
        OutputError: The session can't be begun. Later faults of the disk end no run.
    """
    _refuse_log_in_source(source, options)
    if options.log is not None:
        check_session_place(options.log)
    check_room(options)
    loaded = load_classifier(bundle, options)
    page = LivePage(loaded.classifier, options) if options.web is not None else None
    check_golden(loaded.classifier)
    shadow = load_shadow(options, loaded.classifier)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        window = stack.enter_context(PreviewWindow("edgecnn")) if options.window else None
        opened = stack.enter_context(open_source(source, options, stop))
        _check_times(source, opened, options)
        for line in (*unused_options(options, opened.kind), *overlaps(options.views)):
            opened.warn(line)
        labels, hub = loaded.classifier.card.labels, [page.hub] if page else []
        truths = stack.enter_context(
            load_truths(
                *(options.truth, opened, labels, hub),
                offset=options.truth_offset,
                most=options.max_frames,
                regions=options.region_names,
            )
        )
        if window is not None:
            window.keys = truths.keys
        log = None
        if options.log is not None or options.log_root is not None:
            header = _header(loaded, source, options, truths, shadow)
            session = SessionLog(header, options, live=opened.live)
            log = stack.enter_context(LogThread(session, live=opened.live))
        if page is not None:
            stack.enter_context(page.serve(log, on_link))
        name = options.name or str(host()["name"]) or "edgecnn"
        outputs = stack.enter_context(open_outputs(options, name, on_line, stop, live=opened.live))
        notifier = stack.enter_context(Notifier())
        incoming = None
        if options.bundle_dir is not None:
            running = loaded.classifier
            incoming = stack.enter_context(Incoming(options.bundle_dir, options, running))
        bundles = Bundles(Active(loaded, options), incoming, shadow)
        shown = Audience(page, outputs, notifier, on_status, window)
        return Loop(bundles, opened, truths, log, options, shown).run(stop)


def _refuse_log_in_source(source: str, options: RunOptions) -> None:
    """Refuse a session in the folder that is read: the next run would take its pictures for images.

    Raises:
        OptionError: It is there.
    """
    place = options.log or options.log_root
    if place is None or live_kind(source) is not None or not Path(source).is_dir():
        return
    if place.resolve().is_relative_to(Path(source).resolve()):
        raise OptionError(
            f"{place} is inside of the source {source}, whose images the next run would mix with "
            "this session's; choose a place outside of it for --log or --log-root"
        )


def _check_times(source: str, opened: Source, options: RunOptions) -> None:
    """Refuse to tell things by time where frames have none.

    Raises:
        OptionError: They have none.
    """
    if options.thing_rule.stays and (opened.kind == ImageSource.kind or not opened.timed):
        raise OptionError(
            f"--things {options.things} needs times, and the frames of {source} have none; give "
            f"--things {EACH} where each shows another thing, or leave it out"
        )


def _header(
    loaded: Loaded, source: str, options: RunOptions, truths: Truths, shadow: Shadow | None
) -> SessionHeader:
    classifier = loaded.classifier
    bundle, path = classifier.bundle, Path(source)
    is_file = live_kind(source) is None and path.exists()  # a folder may be called as a camera is
    return SessionHeader(
        bundle_path=str(bundle.path.resolve()),
        bundle_sha256=bundle.sha256,
        card=bundle.card,
        artifact=classifier.artifact.file,
        artifact_sha256=classifier.artifact.sha256,
        device=loaded.device,
        fallback=loaded.fallback,
        runtime=classifier.runtime.name,
        source=str(path.resolve()) if is_file else public_name(source),
        source_color=options.color,
        truth=truths.via,
        regions=() if all(view.is_whole for view in options.views) else options.views,
        host=host(),
        boot_id=boot_id(),
        name=options.name,
        site=options.site,
        things=options.things,
        shadow=None if shadow is None else shadow.about,
    )
