"""`edgecnn audit`: live accuracy against lab accuracy, and the gap split into causes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecnn.audit.estimate import estimate_accuracy
from edgecnn.audit.faults import check_labels, reanswer_all, settle_path
from edgecnn.audit.find_bundle import find_bundle
from edgecnn.audit.ledger.answers_csv import write_answers
from edgecnn.audit.ledger.ledger import measure_lab, residual
from edgecnn.audit.live import measure_live
from edgecnn.audit.next_steps import next_steps
from edgecnn.audit.notes import contradictions, file_notes, reading_notes
from edgecnn.audit.options import AuditOptions
from edgecnn.audit.result import AuditReport
from edgecnn.audit.trust import check_files, check_header
from edgecnn.errors import OptionError, SessionError
from edgecnn.files.staging import check_file_place
from edgecnn.records import Progress
from edgecnn.session.headline import live_alarm, same_answers
from edgecnn.session.label_file import read_labels
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import Frames, Session, open_session, read_frames, read_truth
from edgecnn.session.things import link_things

__all__ = ["AuditOptions", "AuditReport", "audit"]


def audit(
    sessions: Sequence[Path | str] | Path | str,
    options: AuditOptions | None = None,
    *,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare live accuracy with lab accuracy and split the gap into causes.

    Args:
        sessions: Session folders (or one) of one bundle and one artifact; frames are pooled.
        options: See `AuditOptions`; None takes its defaults.

    Raises:
        SessionError: A session can't be read, or the sessions ran different models.
        TruthError: `options.truth` is malformed, or not of this session.
        BundleError: `options.bundle` can't be used.
        DataError: `options.lab` holds none of the lab test images.
        MissingRuntimeError: The report needs jinja2 and matplotlib.
        OutputError: The report can't be written.

    Example:
        report = edgecnn.audit(["session/"])
        print(report.to_text())
    """
    options = options or AuditOptions()
    if options.report is not None:
        from edgecnn.render.page import check_page

        check_page(options.report, "report")
    if options.csv is not None:
        check_file_place(options.csv)
    paths = [sessions] if isinstance(sessions, str | Path) else sessions
    opened = [open_session(one) for path in paths for one in sessions_below(Path(path))]
    _check_same(opened)
    if options.truth is not None and len(opened) > 1:
        raise OptionError(
            f"--truth {options.truth} is of one session, but {len(opened)} are given; audit them "
            "one by one, or merge the labels into their session"
        )
    first = opened[0]
    frames = _read_all(opened, options.csv is not None, progress)
    bundle, note = find_bundle(first, options.bundle)
    said = [text for session in opened for text in check_header(session, bundle)]
    files = [check_files(s, f) for s, f in zip(opened, frames, strict=True)]
    lab = measure_lab(first, bundle, options.lab, progress)
    # The estimate and the answers anew come before the labels are read: they can't see them.
    estimate = estimate_accuracy(frames, lab.quantized.accuracy or 0.0, lab.confidence)
    again, unanswered = reanswer_all(list(zip(opened, frames, strict=True)), bundle, progress)
    labels = None if options.truth is None else read_labels(options.truth, first)
    more = () if labels is None else labels.events
    _check_distinct(opened, frames)
    frames = link_things(opened, frames)
    truths = [read_truth(s, f, more) for s, f in zip(opened, frames, strict=True)]
    parts = list(zip(opened, frames, truths, strict=True))
    live = measure_live(parts, first.card.labels)
    lab, checks = settle_path(lab, check_labels(again, parts, lab.quantized.accuracy or 0.0))
    checks = checks.with_faults([fault for faults, _ in files for fault in faults])
    left = residual(lab, live.tally, checks.steps)
    place = first.header.bundle_path if bundle is None else str(bundle.path)
    report = AuditReport(
        card=first.card,
        lab=lab,
        live=live,
        alarm=live_alarm([(f, t) for _, f, t in parts], lab.quantized),
        estimate=estimate,
        checks=checks,
        residual=left,
        next=next_steps(opened, place, checks, left, live),
        sessions=tuple({**s.summary(), "frames": len(f), "end": f.end} for s, f, _ in parts),
        notes=(
            *((note,) if note else ()),
            *said,
            *(text for _, texts in files for text in texts),
            *lab.notes,
            *unanswered,
            *reading_notes(parts, live),
            *contradictions(live, estimate, checks),
            *file_notes(options.truth, labels),
        ),
        options=options,
    )
    if options.report is not None:
        from edgecnn.audit.report import write_report

        write_report(report, options.report, bundle_sha256=first.bundle_sha256)
    if options.csv is not None:
        write_answers(options.csv, parts)
    return report


def _read_all(
    opened: Sequence[Session], keep_names: bool, progress: Progress | None
) -> list[Frames]:
    frames = []
    for k, session in enumerate(opened):
        if progress:
            progress("reading sessions", k, len(opened))
        frames.append(read_frames(session, keep_names=keep_names))
    if progress:
        progress("reading sessions", len(opened), len(opened))
    return frames


def _check_same(opened: Sequence[Session]) -> None:
    if not opened:
        raise SessionError("no session given, expected at least one folder of `edgecnn run --log`")
    first = opened[0]
    seen = set()
    for session in opened:
        if session.path.resolve() in seen:
            raise SessionError(f"{session.path} is given twice; its frames would count twice")
        seen.add(session.path.resolve())
        for what, ours, theirs in (
            ("bundle", first.bundle_sha256, session.bundle_sha256),
            ("labels", first.card.labels, session.card.labels),
            ("artifact", first.artifact, session.artifact),
        ):
            if ours != theirs:
                raise SessionError(
                    f"{session.path} ran another {what} than {first.path}; audit them one by one"
                )


def _check_distinct(opened: Sequence[Session], frames: Sequence[Frames]) -> None:
    """Refuse a recording that is given twice, as a copy or under another name."""
    for k, later in enumerate(frames):
        for earlier, other in zip(opened[:k], frames[:k], strict=True):
            if same_answers(other, later):
                raise SessionError(
                    f"{opened[k].path} holds the same answers as {earlier.path}: one recording, "
                    "given twice; its frames would count twice. Give one of them"
                )
