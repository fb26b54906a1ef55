"""`edgecnn audit`: live accuracy against lab accuracy, and the gap split into causes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecnn.audit.estimate import estimate_accuracy
from edgecnn.audit.find_bundle import find_bundle
from edgecnn.audit.ledger.ledger import measure_lab, residual
from edgecnn.audit.live import Live, measure_live
from edgecnn.audit.options import AuditOptions
from edgecnn.audit.result import AuditReport
from edgecnn.errors import OptionError, SessionError
from edgecnn.records import Progress
from edgecnn.session.label_file import FileLabels, read_labels
from edgecnn.session.layout import EVENTS_NAME, sessions_below
from edgecnn.session.read import Frames, Session, Truth, open_session, read_frames, read_truth

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
    paths = [sessions] if isinstance(sessions, str | Path) else sessions
    opened = [open_session(one) for path in paths for one in sessions_below(Path(path))]
    _check_same(opened)
    if options.truth is not None and len(opened) > 1:
        raise OptionError(
            f"--truth {options.truth} is of one session, but {len(opened)} are given; audit them "
            "one by one, or merge the labels into their session"
        )
    first = opened[0]
    frames = _read_all(opened, progress)
    bundle, note = find_bundle(first, options.bundle)
    lab = measure_lab(first, bundle, options.lab, progress)
    # The estimate comes before the labels are read: it can't have seen them.
    estimate = estimate_accuracy(frames, lab.quantized.accuracy or 0.0, lab.confidence)
    labels = None if options.truth is None else read_labels(options.truth, first)
    more = () if labels is None else labels.events
    truths = [read_truth(s, f, more) for s, f in zip(opened, frames, strict=True)]
    parts = list(zip(opened, frames, truths, strict=True))
    live = measure_live(parts, first.card.labels)
    report = AuditReport(
        card=first.card,
        lab=lab,
        live=live,
        estimate=estimate,
        residual=residual(lab, live.tally),
        sessions=tuple({**s.summary(), "frames": len(f), "end": f.end} for s, f, _ in parts),
        notes=(
            *((note,) if note else ()),
            *lab.notes,
            *_notes(parts, live),
            *_file_notes(options.truth, labels),
        ),
        options=options,
    )
    if options.report is not None:
        from edgecnn.audit.report import write_report

        write_report(report, options.report, bundle_sha256=first.bundle_sha256)
    return report


def _read_all(opened: Sequence[Session], progress: Progress | None) -> list[Frames]:
    frames = []
    for k, session in enumerate(opened):
        if progress:
            progress("sessions", k, len(opened))
        frames.append(read_frames(session))
    if progress:
        progress("sessions", len(opened), len(opened))
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


def _notes(parts: Sequence[tuple[Session, Frames, Truth]], live: Live) -> list[str]:
    """What a reader has to know to trust the figures."""
    notes = _label_notes(live)
    tally = live.tally
    if not tally.total and not live.label_counts.left_out:
        notes.append(
            "no field labels: label the session with `edgecnn label SESSION`, give this audit "
            "--truth FILE.csv with columns frame,label, or record with --truth"
        )
    elif tally.effective is not None and tally.total:
        notes.append(
            f"live intervals count objects, not frames: consecutive frames show the same object, "
            f"so {tally.total} frames are worth {tally.effective:.0f} independent ones"
        )
    elif tally.total:
        notes.append("live intervals treat every image as independent of the others")
    for session, frames, truth in parts:
        name = session.path.name
        unlabelled = int((truth.label < 0).sum())
        if unlabelled and tally.total:
            notes.append(f"{name}: {unlabelled} of {len(frames)} frames have no label, not counted")
        if truth.guarded:
            notes.append(f"{name}: {_guard_text(truth.guarded)}")
        if truth.differing:
            notes.append(
                f"{name}: {truth.differing} frames were labelled differently by "
                f"{' and '.join(truth.people)}; the later label counts"
            )
        if truth.cant_tell:
            notes.append(f"{name}: {truth.cant_tell} frames whose label nobody can tell")
        if truth.unknown:
            shown = ", ".join(repr(label) for label in list(truth.unknown)[:5])
            notes.append(
                f"{name}: {sum(truth.unknown.values())} labels that the model doesn't have "
                f"({shown}), not counted"
            )
        if broken := frames.broken + truth.broken:
            notes.append(f"{name}: {broken} broken lines in {EVENTS_NAME}, skipped")
        if frames.repeated:
            notes.append(
                f"{name}: {frames.repeated} frames were logged twice; the later answer counts"
            )
        if frames.end is None:
            notes.append(f"{name}: has no end event: the run is still going on or was killed")
    return notes


def _label_notes(live: Live) -> list[str]:
    """For which frames the labels speak, and how many were given with the answer in view."""
    notes, counts = [], live.label_counts
    if not live.tally.total and counts.left_out:
        return [
            f"live accuracy is not identified: people or uncertain answers picked all "
            f"{counts.left_out} labelled frames; label random frames or a whole stretch too"
        ]
    if live.tally.estimate is not None:
        notes.append(
            f"live accuracy counts labels by the frames that they stand for: {counts.random} "
            "random frames stand for all that no labelled stretch holds"
        )
    elif counts.random and counts.whole:
        notes.append(
            f"live accuracy takes {counts.whole} frames of labelled stretches for as typical as "
            f"the {counts.random} random ones; 30 random labels make this assumption needless"
        )
    if counts.left_out:
        notes.append(
            f"live accuracy leaves out {counts.left_out} labels of frames that a person or an "
            "uncertain answer picked; the confusions show them"
        )
    if counts.seen:
        notes.append(
            f"{counts.seen} of {counts.seen + counts.blind} labels of people were given with the "
            "answer in view, and lean towards it"
        )
    return notes


def _file_notes(file: Path | None, labels: FileLabels | None) -> list[str]:
    """What became of the labels of --truth."""
    if file is None or labels is None:
        return []
    notes = [f"{file}: {len(labels.events)} labels are counted that the session does not hold"]
    if labels.known:
        notes.append(f"{file}: {labels.known} labels are in the session already")
    if labels.strangers:
        notes.append(f"{file}: {labels.strangers} labels of frames that the session does not hold")
    if labels.guarded:
        notes.append(f"{file}: {_guard_text(labels.guarded)}")
    return notes


def _guard_text(count: int) -> str:
    return (
        f"{count} frames near a change of the label are left unlabelled: a time can't say which "
        "of them shows what"
    )
