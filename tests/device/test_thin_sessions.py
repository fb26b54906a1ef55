"""Labels after a run whose log left answers out say of all answers what they say of a whole log."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import events
from sessions import PAST, PAST_BUNDLE

from edgecnn.audit.audit import AuditOptions, AuditReport, audit
from edgecnn.bundle.folder import Bundle
from edgecnn.device.label.label import LabelOptions, label
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.session.events import TruthEvent
from edgecnn.session.read import open_session, read_frames, read_truth

LABELS = Bundle.open(PAST_BUNDLE).card.labels
COUNT = 600


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> tuple[Path, Path]:
    """Pictures of the past, each darker or lighter, and a truth CSV of all of them."""
    root = tmp_path_factory.mktemp("film")
    (root / "frames").mkdir()
    session = open_session(PAST / "field")
    frames = read_frames(session)
    truth = read_truth(session, frames)
    rows = [row for row in sorted(frames.images) if truth.label[row] >= 0]
    rng, lines = np.random.default_rng(0), ["frame,label"]
    for k in range(COUNT):
        row = rows[k % len(rows)]
        image = cv2.imread(str(session.picture(frames.images[row]))) * rng.uniform(0.3, 1.5)
        cv2.imwrite(str(root / "frames" / f"{k}.png"), np.clip(image, 0, 255).astype(np.uint8))
        lines.append(f"{k},{LABELS[truth.label[row]]}")
    (root / "truth.csv").write_text("\n".join(lines) + "\n")
    return root / "frames", root / "truth.csv"


@pytest.fixture(scope="module")
def whole(film, tmp_path_factory) -> AuditReport:
    """What the audit says of a log of all answers."""
    log = tmp_path_factory.mktemp("whole") / "s"
    run(PAST_BUNDLE, str(film[0]), RunOptions(log=log, keep_frames=120))
    return audit([log], AuditOptions(truth=film[1]))


def as_lines(csv: Path, session: Path) -> Path:
    """The same labels as lines of truth events that don't say why they were given."""
    held = {event["frame"] for event in events(session, "frame")}
    rows = [line.split(",") for line in csv.read_text().splitlines()[1:]]
    given = [TruthEvent(int(k), name, "label") for k, name in rows if int(k) in held]
    place = session.with_name("lines.jsonl")
    place.write_bytes(b"".join(event.to_line() for event in given))
    return place


@pytest.mark.parametrize("form", ["csv", "lines"])
def test_a_thin_log_with_labels_after_the_run_gives_the_figure_of_a_whole_one(
    film, whole, tmp_path, form
):
    log = tmp_path / "s"
    run(PAST_BUNDLE, str(film[0]), RunOptions(log=log, keep_frames=120, log_every=3600.0))
    logged = len(events(log, "frame"))
    assert logged < 0.7 * COUNT
    file = film[1] if form == "csv" else as_lines(film[1], log)
    report = audit([log], AuditOptions(truth=file))
    expected, tally, counts = whole.live.tally, report.live.tally, report.live.label_counts
    assert tally.accuracy == pytest.approx(expected.accuracy, abs=0.03)
    by_count = sum(r[k] for k, r in enumerate(report.live.confusion)) / logged
    assert by_count < expected.accuracy - 0.05  # what uncertain frames made of it
    assert (counts.random + counts.chosen, counts.whole) == (logged, 0)
    assert any(f"the log holds {logged} of about {COUNT} answers" in n for n in report.notes)
    for limit in ("low", "high"):
        assert getattr(report.estimate, limit) == pytest.approx(
            getattr(whole.estimate, limit), abs=0.08
        )
    merged = label([log], LabelOptions(merge=file))
    assert merged.added == logged
    assert label([log], LabelOptions(merge=file)).added == 0
    again = audit([log])
    assert again.live.tally == tally
    assert again.live.per_class == report.live.per_class


def test_an_audit_says_that_a_log_ends_before_the_run(film, tmp_path):
    log = tmp_path / "s"
    given = {"truth": (str(film[1]),), "keep_frames": 0}
    result = run(PAST_BUNDLE, str(film[0]), RunOptions(log=log, log_mb=0.02, **given))
    said = [e["message"] for e in events(log, "health") if "message" in e]
    assert said == list(result.warnings)
    assert len(said) == len(set(said))
    last = events(log, "frame")[-1]["frame"]
    assert last < COUNT - 1
    (note,) = (one for one in audit([log]).notes if "--log-mb" in one)
    assert f"the log ends at frame {last}, and the run answered {COUNT} frames" in note
    whole = tmp_path / "whole"
    run(PAST_BUNDLE, str(film[0]), RunOptions(log=whole, **given))
    assert not any("--log-mb" in one for one in audit([whole]).notes)
    for cut in (log, whole):
        lines = (cut / "events.jsonl").read_bytes().splitlines(keepends=True)
        (cut / "events.jsonl").write_bytes(b"".join(lines[:-1]))  # killed
        notes = [one for one in audit([cut]).notes if "--log-mb" in one]
        assert ["the run went on" in one for one in notes] == [True] * (cut == log)


def test_labels_during_the_run_count_as_they_do_in_the_run(film, tmp_path):
    """What has a label is logged, so that the log holds all that the run counts."""
    half = tmp_path / "half.csv"
    half.write_text("\n".join(film[1].read_text().splitlines()[: COUNT // 2]) + "\n")
    log = tmp_path / "s"
    options = RunOptions(log=log, keep_frames=120, log_every=3600.0, truth=(str(half),))
    result = run(PAST_BUNDLE, str(film[0]), options)
    assert len(events(log, "frame")) < COUNT
    report = audit([log])
    assert report.live.tally == result.live
    assert report.alarm == result.alarm
    assert report.live.label_counts.chosen == 0
