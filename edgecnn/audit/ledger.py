"""From lab accuracy to live accuracy, step by step: what each step costs, with its interval.

Every step here needs no field label. What no step explains is the residual, and the points of
the steps and the residual add up to the gap exactly. Points > 0: accuracy lost at this step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.audit import replay
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.intervals import independent_difference, paired_difference
from edgecnn.audit.session import Session, open_session
from edgecnn.bundle import Bundle, LabTestRow
from edgecnn.errors import ArtifactError, BundleError, MissingRuntimeError, SessionError
from edgecnn.records import Json, Progress, Tally

__all__ = ["Lab", "Residual", "Step", "find_bundle", "measure_lab", "residual"]

QUANTIZATION = "quantization (lab float -> lab quantized)"
DEVICE_PATH = "device path (lab quantized -> lab through the device path)"
UNEXPLAINED = "not explained yet: field conditions, class mix, labels, steps not measured"


@dataclass(frozen=True)
class Step:
    """One line of the ledger; `points`, `low` and `high` in accuracy points."""

    cause: str
    points: float
    low: float
    high: float
    evidence: str

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class Lab:
    """What the lab images say: float accuracy, the steps, and the accuracy after them.

    `quantized` is the accuracy of the session's artifact, `reached` that of the last step.
    """

    float_tally: Tally
    quantized: Tally
    reached: Tally
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    confidence: LabConfidence | None = None


@dataclass(frozen=True)
class Residual:
    """What is left of the gap after the steps, in points; None without field labels."""

    points: float | None
    low: float | None
    high: float | None


def find_bundle(session: Session, given: Path | None) -> tuple[Bundle | None, str | None]:
    """The session's bundle, verified by its digest; or None and a note that says why not.

    Raises:
        BundleError: `given` can't be used.
        SessionError: `given` is not the bundle that the session ran.
    """
    if given is not None:
        bundle = Bundle.open(given)
        if bundle.sha256 != session.bundle_sha256:
            raise SessionError(
                f"{session.path} ran bundle {session.bundle_sha256[:12]}, {given} is "
                f"{bundle.sha256[:12]}; give the bundle that the device ran"
            )
        return bundle, None
    recorded = Path(session.bundle_path)
    beside = session.path.parent / recorded.name
    reasons = []
    for path in dict.fromkeys((recorded, beside, Path(recorded.name))):
        try:
            bundle = Bundle.open(path)
        except BundleError as error:
            reasons.append(str(error))
            continue
        if bundle.sha256 == session.bundle_sha256:
            return bundle, None
        reasons.insert(0, f"{path} is another bundle than the one that ran")
    return None, f"bundle not read ({reasons[0]}); give it by --bundle"


def measure_lab(
    session: Session, bundle: Bundle | None, lab: Path | None, progress: Progress | None = None
) -> Lab:
    """Measure the steps between the float model in the lab and the device on lab images.

    Args:
        session: One of the audited sessions; all ran the same bundle and artifact.
        bundle: The bundle, or None to go by the tallies of the card.
        lab: The lab image folder, or a session that the device recorded over it, or None.

    Raises:
        DataError: `lab` holds none of the lab test images.
        SessionError: `lab` is a session of another bundle or artifact.
    """
    rows = bundle.lab_test() if bundle else []
    column = _column(rows, session.artifact)
    if bundle is None or column is None:
        why = f"lab_test.csv has no {session.artifact}" if bundle else "it needs the bundle"
        return _from_card(session, why if bundle or lab else f"{why} and --lab LAB")
    label = np.array([row.label for row in rows])
    floats = np.array([row.predicted["keras"] for row in rows]) == label
    quantized = np.array([row.predicted[column] for row in rows]) == label
    start, after = _count(floats), _count(quantized)
    step = _paired(QUANTIZATION, floats, quantized, f"{column} against the float model, paired on")
    base = Lab(start, after, after, (step,))
    if lab is None:
        note = "device path not measured: give --lab LAB (images, or a session run over them)"
        return replace(base, notes=(note,))
    return _with_device_path(base, session, bundle, column, lab, progress)


def residual(lab: Lab, live: Tally) -> Residual:
    """The gap that the steps don't explain.

    Its interval is that of the difference between the accuracy after the last step and live.
    """
    if lab.float_tally.accuracy is None or live.accuracy is None:
        return Residual(None, None, None)
    gap = 100 * (lab.float_tally.accuracy - live.accuracy)
    points = gap - sum(step.points for step in lab.steps)
    low, high = independent_difference(lab.reached, live)
    # The interval is centred on the last step's own images; it follows the residual when
    # those are only a part of the lab test.
    shift = points - 100 * ((lab.reached.accuracy or 0.0) - live.accuracy)
    return Residual(points, 100 * low + shift, 100 * high + shift)


def _with_device_path(
    base: Lab,
    session: Session,
    bundle: Bundle,
    column: str,
    lab: Path,
    progress: Progress | None,
) -> Lab:
    try:
        answers = _device_answers(session, bundle, lab, progress)
    except MissingRuntimeError as error:
        return replace(base, notes=(f"device path not measured: {error}",))
    label = np.array([row.label for row in answers.rows])
    expected = [row.predicted[column] for row in answers.rows]
    before, after = np.array(expected) == label, np.array(answers.predicted) == label
    differs = int((np.array(answers.predicted) != np.array(expected)).sum())
    step = _paired(
        DEVICE_PATH,
        before,
        after,
        f"{answers.how}; other answers than the lab's on {differs}; paired on",
        _hint(session, bundle, answers, expected),
    )
    notes = list(answers.notes)
    if answers.missing:
        notes.append(f"device path: {answers.missing} of the lab test images were not found")
    return replace(
        base,
        reached=_count(after),
        steps=(*base.steps, step),
        notes=tuple(notes),
        confidence=LabConfidence(answers.confidence, after),
    )


def _device_answers(
    session: Session, bundle: Bundle, lab: Path, progress: Progress | None
) -> replay.LabAnswers:
    if not (lab / "session.json").is_file():
        return replay.from_images(bundle, session.artifact, lab, progress)
    recorded = open_session(lab)
    if (recorded.bundle_sha256, recorded.artifact) != (session.bundle_sha256, session.artifact):
        raise SessionError(
            f"{lab} ran {recorded.artifact} of bundle {recorded.bundle_sha256[:12]}, "
            f"{session.path} ran {session.artifact} of {session.bundle_sha256[:12]}; "
            "record the lab images with the same artifact"
        )
    answers = replay.from_session(bundle, recorded)
    other = [
        f"{key} {recorded.info.get(key)!r} against {session.info.get(key)!r}"
        for key in ("device", "runtime", "source_color")
        if recorded.info.get(key) != session.info.get(key)
    ]
    if not other:
        return answers
    note = f"device path: {lab} was recorded with {', '.join(other)}, it may speak for itself only"
    return replace(answers, notes=(note,))


def _hint(
    session: Session, bundle: Bundle, answers: replay.LabAnswers, expected: Sequence[str]
) -> str:
    try:
        fault = replay.explain(bundle, session.artifact, answers, expected)
    except (MissingRuntimeError, ArtifactError):
        return ""
    return f"; {fault}" if fault else ""


def _from_card(session: Session, why: str) -> Lab:
    """Without the artifact's answers in lab_test.csv: the card's tallies, which can't be paired."""
    card = session.card
    start = card.lab.tally
    by_file = {artifact.file: artifact for artifact in card.artifacts}
    notes = (f"device path not measured: {why}",)
    if session.artifact not in by_file:
        note = f"quantization not measured: the card has no {session.artifact}"
        return Lab(start, start, start, (), (note, *notes))
    after = by_file[session.artifact].lab
    low, high = independent_difference(start, after)
    step = Step(
        QUANTIZATION,
        100 * ((start.accuracy or 0.0) - (after.accuracy or 0.0)),
        100 * low,
        100 * high,
        f"the card's tallies: float {start.correct} of {start.total}, {session.artifact} "
        f"{after.correct} of {after.total}; not paired, so the interval is too wide",
    )
    return Lab(start, after, after, (step,), notes)


def _column(rows: Sequence[LabTestRow], artifact: str) -> str | None:
    """The artifact's column in lab_test.csv; an Edge TPU file goes by its uncompiled twin."""
    have = rows[0].predicted if rows else {}
    twin = artifact.replace("_edgetpu.tflite", ".tflite")
    if "keras" not in have:
        return None
    return next((name for name in (artifact, twin) if name in have), None)


def _count(correct: np.ndarray) -> Tally:
    return Tally(int(correct.sum()), len(correct))


def _paired(cause: str, before: np.ndarray, after: np.ndarray, how: str, hint: str = "") -> Step:
    low, high = paired_difference(before, after)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return Step(
        cause,
        100 * (lost - won) / len(before),
        100 * low,
        100 * high,
        f"{how} {len(before)} lab test images: {lost} lost, {won} won{hint}",
    )
