"""`edgecnn audit`: live accuracy against lab accuracy, and the gap split into causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.tally import gap_points
from edgecnn.audit.beside import adapted_gain, compare_shadow, learned_frames
from edgecnn.audit.estimate import Estimate, estimate_accuracy
from edgecnn.audit.faults import FieldChecks, check_labels, reanswer_all, settle_path
from edgecnn.audit.ledger.answers_csv import ANSWERS_HEADER, write_answers
from edgecnn.audit.ledger.ledger import Lab, measure_lab, residual
from edgecnn.audit.ledger.reanswer import Reanswered
from edgecnn.audit.live import measure_live
from edgecnn.audit.next_steps import MODEL, GapFigures, next_steps
from edgecnn.audit.notes import contradictions, file_notes, network_notes, reading_notes
from edgecnn.audit.options import AuditOptions
from edgecnn.audit.recordings.recordings import Recordings, read_recordings
from edgecnn.audit.result import AuditReport
from edgecnn.audit.undo.undo import undo
from edgecnn.audit.where.drift import find_drift
from edgecnn.audit.where.each_device import each_device
from edgecnn.audit.where.frame_table import FrameTable
from edgecnn.audit.where.weak_parts import weak_parts
from edgecnn.audit.where.weak_sessions import weak_sessions
from edgecnn.bundle.onboard.stored_network import lacking_files
from edgecnn.errors import OptionError
from edgecnn.files.manifest import check_csv_place
from edgecnn.files.own_folders import check_outside
from edgecnn.records import Progress
from edgecnn.session.headline import joined, live_alarm
from edgecnn.session.label_file import FileLabels, read_labels
from edgecnn.session.read import Frames, Session, Truth, read_truth
from edgecnn.session.reading.thin_log import stands_for

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

        check_outside(options.report, options.lab)
        check_page(options.report, "report")
    if options.csv is not None:
        check_outside(options.csv, options.lab, "--csv")
        check_csv_place(options.csv, ANSWERS_HEADER)
        if options.report is not None and options.csv.resolve() == options.report.resolve():
            raise OptionError(f"-o and --csv are both {options.csv}; give each a name of its own")
    recordings = read_recordings(
        sessions,
        options.bundle,
        progress,
        keep_names=options.csv is not None,
        things=options.things,
    )
    file = _read_file(recordings, options.truth)  # a missing one is said before the long work
    lab = measure_lab(recordings.first, recordings.bundle, options.lab, progress)
    answers = _look_at_answers(recordings, lab, progress)
    labels = _read_labels(recordings, file)
    lab, checks = _check_field(recordings, lab, answers, labels, progress)
    report = _explain(recordings, lab, checks, answers, labels, options)
    if options.report is not None:
        from edgecnn.audit.report import write_report

        write_report(report, options.report, bundle_sha256=recordings.first.bundle_sha256)
    if options.csv is not None:
        write_answers(options.csv, labels.parts)
    return report


@dataclass(frozen=True)
class _Answers:
    """What the answers say without a field label: the band, and the kept frames answered again."""

    estimate: Estimate
    again: list[Reanswered | None]
    notes: list[str]


@dataclass(frozen=True)
class _Labels:
    """The field labels of each session, and those of --truth among them."""

    parts: list[tuple[Session, Frames, Truth]]
    file: FileLabels | None


def _look_at_answers(recordings: Recordings, lab: Lab, progress: Progress | None) -> _Answers:
    """All that needs no label, and is given none."""
    estimate = estimate_accuracy(
        joined([frames.calibrated for frames in recordings.frames]),
        lab.quantized.accuracy or 0.0,
        lab.confidence,
        stands_for(recordings.frames),
    )
    again, notes = reanswer_all(list(recordings), recordings.bundle, progress)
    return _Answers(estimate, again, notes)


def _read_file(recordings: Recordings, file: Path | None) -> FileLabels | None:
    """The labels of --truth, which are for one session."""
    if file is not None and len(recordings.sessions) > 1:
        raise OptionError(
            f"--truth {file} is of one session, but {len(recordings.sessions)} are given; audit "
            "them one by one, or merge the labels into their session"
        )
    return None if file is None else read_labels(file, recordings.first)


def _read_labels(recordings: Recordings, file: FileLabels | None) -> _Labels:
    """The labels that the sessions hold, and those of a file."""
    more = () if file is None else file.events
    return _Labels([(s, f, read_truth(s, f, more)) for s, f in recordings], file)


def _check_field(
    recordings: Recordings,
    lab: Lab,
    answers: _Answers,
    labels: _Labels,
    progress: Progress | None,
) -> tuple[Lab, FieldChecks]:
    """Faults first: of the files, the device's path and the labels. What framing and light return
    is measured with these put right, else the answers are wrong for another reason.
    """
    # What the device loses over lab images no label and no light is to be blamed for.
    expected = lab.reached.accuracy or 0.0
    found, sound = check_labels(answers.again, labels.parts, recordings.bundle, expected, progress)
    lab, checks = settle_path(lab, found)
    checks = checks.with_faults(recordings.faults)
    if recordings.faults or recordings.bundle is None or not sound:
        return lab, checks
    expected = lab.reached.accuracy or 0.0
    return lab, checks.with_undone(undo(sound, recordings.bundle, expected, progress))


def _network(recordings: Recordings) -> Path | None:
    """What `adapt` takes: a MODEL folder; of another program's network the bundle, if it can."""
    if not recordings.first.card.is_foreign:
        return MODEL
    bundle = recordings.bundle
    return None if bundle is None or lacking_files(bundle) else Path(recordings.bundle_path)


def _explain(
    recordings: Recordings,
    lab: Lab,
    checks: FieldChecks,
    answers: _Answers,
    labels: _Labels,
    options: AuditOptions,
) -> AuditReport:
    """Set live accuracy beside lab accuracy, split the gap, and say what to do about it."""
    parts, estimate, card = labels.parts, answers.estimate, recordings.first.card
    live, learned = measure_live(parts, card.labels), learned_frames(parts)
    alarm = live_alarm([(f, t) for _, f, t in parts], lab.quantized)
    table = FrameTable.of(parts)
    left = residual(lab, live.tally, checks.steps, name=checks.rest)
    worse = weak_parts(table)
    gap = gap_points(lab.float_tally, live.tally)
    faulty = {fault.session for fault in checks.faults}
    weak = weak_sessions(recordings.sessions, worse, gap, faulty)
    return AuditReport(
        card=card,
        lab=lab,
        live=live,
        alarm=alarm,
        estimate=estimate,
        checks=checks,
        residual=left,
        weak_parts=worse,
        weak_sessions=weak,
        devices=each_device(parts, lab.float_tally, checks.faults, card.labels),
        drift=find_drift(table, card.labels),
        shadow=compare_shadow(parts),
        adapted=adapted_gain(card, live.tally, learned),
        learned=learned,
        next=next_steps(
            parts,
            recordings.bundle_path,
            checks,
            GapFigures(lab, live, left, weak, _network(recordings)),
            options,
        ),
        sessions=tuple({**s.summary(), "frames": len(f), "end": f.end} for s, f in recordings),
        notes=(
            *recordings.notes,
            *lab.notes,
            *answers.notes,
            *checks.notes,
            *checks.undone.notes,
            *reading_notes(parts, live),
            *network_notes(card, learned),
            *contradictions(live, estimate, checks),
            *file_notes(options.truth, labels.file),
        ),
        options=options,
    )
