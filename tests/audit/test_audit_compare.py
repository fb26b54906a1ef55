"""The audit: figures that can be counted by hand, and a ledger that adds up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sessions import ARTIFACT, LABELS, answer_event, record_folder, truth_event, write_session

import edgecnn
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.audit.estimate import LabConfidence
from edgecnn.audit.ledger.ledger import measure_lab
from edgecnn.audit.undo.run_again import run_again
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.onboard.stored_network import open_network
from edgecnn.device.benchmark.benchmark import benchmark
from edgecnn.device.options import BenchmarkOptions
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import BundleError, DataError, SessionError
from edgecnn.export.imported.import_model import ImportOptions, import_model
from edgecnn.session.header import open_session

TALLY = {"correct", "total", "accuracy", "low", "high"}


@pytest.fixture(scope="module")
def field_session(color_bundle, color_folders, tmp_path_factory):
    """What `edgecnn run` writes over the field images."""
    path = tmp_path_factory.mktemp("audit") / "field"
    run(color_bundle, str(color_folders.field), RunOptions(truth="folder", log=path))
    return path


@pytest.fixture(scope="module")
def lab_session(color_bundle, color_folders, tmp_path_factory):
    path = tmp_path_factory.mktemp("audit") / "lab"
    run(color_bundle, str(color_folders.lab), RunOptions(truth="folder", log=path))
    return path


@pytest.fixture(scope="module")
def swapped_lab_session(color_bundle, color_folders, tmp_path_factory):
    """The device runs over the lab images and takes B, G, R for R, G, B."""
    path = tmp_path_factory.mktemp("audit") / "swapped"
    run(color_bundle, str(color_folders.lab), RunOptions(truth="folder", log=path, color="rgb"))
    return path


def _step(report, word):
    found = [step for step in report.steps if step.cause.startswith(word)]
    return found[0] if found else None


def _adds_up(report):
    data = json.loads(json.dumps(report.to_json()))
    total = sum(step["points"] for step in data["ledger"]) + data["residual_points"]
    return abs(total - data["gap_points"]) < 0.1


def test_live_and_lab_are_what_counting_by_hand_gives(field_session, color_bundle):
    log = [json.loads(line) for line in (field_session / "events.jsonl").read_text().splitlines()]
    answers = {e["frame"]: LABELS[e["k"][0][0]] for e in log if e["event"] == "frame"}
    truths = {e["frame"]: e["label"] for e in log if e["event"] == "truth"}
    right = sum(answers[frame] == label for frame, label in truths.items())
    rows = Bundle.open(color_bundle).lab_test()
    lab = sum(row.predicted["keras"] == row.label for row in rows)
    data = edgecnn.audit([field_session]).to_json()
    assert (data["live"]["correct"], data["live"]["total"]) == (right, len(truths))
    assert (data["lab"]["correct"], data["lab"]["total"]) == (lab, len(rows))
    assert data["gap_points"] == pytest.approx(100 * (lab / len(rows) - right / len(truths)))
    assert data["gap_low"] < data["gap_points"] < data["gap_high"]
    assert sum(map(sum, data["confusion"])) == len(truths)
    assert sum(data["confusion"][k][k] for k in range(len(LABELS))) == right


def test_the_json_holds_what_design_promises(field_session):
    data = json.loads(json.dumps(audit([field_session]).to_json()))
    assert set(data["lab"]) >= TALLY
    assert set(data["live"]) >= TALLY
    assert set(data["estimate"]) >= {"low", "high", "flag"}
    assert all(set(s) == {"cause", "points", "low", "high", "evidence"} for s in data["ledger"])
    assert {"per_class", "worst_frames", "sessions", "notes"} <= set(data)
    assert {"lab_file", "faults", "next", "residual_points", "verdict"} <= set(data)
    keys = {"command", "why", "points_low", "points_high"}
    assert all(set(step) == keys for step in data["next"])
    assert len(data["next"]) <= 3


def test_ledger_and_residual_add_up_to_the_gap(
    field_session, lab_session, swapped_lab_session, color_folders
):
    for lab in ((), (color_folders.lab,), (lab_session,), (color_folders.lab, swapped_lab_session)):
        assert _adds_up(audit([field_session], AuditOptions(lab=lab)))


def test_a_bgr_rgb_swap_between_lab_and_device_shows_in_the_device_path_step(
    color_bundle, color_folders, swapped_lab_session, tmp_path
):
    live = tmp_path / "live"
    run(color_bundle, str(color_folders.field), RunOptions(truth="folder", log=live, color="rgb"))
    report = audit([live], AuditOptions(lab=(swapped_lab_session,)))
    assert _step(report, "device path").low > 50
    # The session keeps what was classified: no label and no light is blamed for what the lab shows.
    assert report.checks.faults == ()
    assert "over the lab images the device does not do what the lab did" in report.verdict
    assert report.next[0].command.startswith(f"edgecnn audit {swapped_lab_session} --bundle ")
    assert all(abs(step.points) < 3 for step in report.checks.steps)
    assert abs(_step(report, "quantization").points) < 3
    # What is left is what the field costs without the swap, not the swap itself.
    assert report.residual.points < 0.3 * report.gap_points
    assert _adds_up(report)


def test_a_device_that_does_as_the_lab_loses_nothing_in_the_device_path(
    field_session, lab_session, color_folders
):
    by_lab = audit([field_session], AuditOptions(lab=(lab_session, color_folders.lab)))
    by_field = audit([field_session], AuditOptions(lab=(color_folders.lab,)))
    assert "answers than the lab's on 0" in _step(by_lab, "device path").evidence
    # Lab images that are answered here say nothing of the device; its own kept frames do.
    assert (
        "111 of 111 kept frames, answered again, agree with the device"
        in _step(by_field, "device path").evidence
    )
    for report in (by_lab, by_field):
        step = _step(report, "device path")
        assert step.points == 0
        assert step.low < 0 < step.high
        assert report.checks.faults == ()
        assert report.lab.confidence is not None


def test_a_lab_session_needs_no_labels_and_may_have_run_on_a_folder_below(
    field_session, color_bundle, color_folders, tmp_path
):
    part = tmp_path / LABELS[0]
    shutil.copytree(color_folders.lab / LABELS[0], part)
    session = record_folder(tmp_path / "s", color_bundle, part, truth=False)
    report = audit([field_session], AuditOptions(lab=(session,)))
    count = len(list(part.iterdir()))
    assert f"paired on {count} lab test images" in _step(report, "device path").evidence
    assert any("were not found" in note for note in report.notes)
    assert _adds_up(report)


def test_without_a_bundle_the_cards_tallies_serve(field_session, color_bundle, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(field_session, copied)
    head = json.loads((copied / "session.json").read_text())
    head["bundle"]["path"] = "/nowhere/color.edgecnn"
    (copied / "session.json").write_text(json.dumps(head))
    report = audit([copied])
    with_bundle = audit([copied], AuditOptions(bundle=color_bundle))
    assert "not paired" in _step(report, "quantization").evidence
    assert any("--bundle" in note for note in report.notes)
    assert _step(with_bundle, "quantization").points == _step(report, "quantization").points
    assert report.gap_points == with_bundle.gap_points
    assert _adds_up(report)


def test_a_bundle_that_did_not_run_is_refused(field_session, color_bundle, tmp_path):
    from edgecnn.bundle.folder import seal

    other = tmp_path / "other.edgecnn"
    shutil.copytree(color_bundle, other)
    (other / "golden" / "extra.txt").write_text("x")
    seal(other)
    with pytest.raises(SessionError, match="give the bundle that the device ran"):
        audit([field_session], AuditOptions(bundle=other))


def test_lab_images_of_another_data_set_are_refused(field_session, color_folders):
    with pytest.raises(DataError, match="none of the 240 lab test images"):
        audit([field_session], AuditOptions(lab=(color_folders.field,)))
    with pytest.raises(SessionError, match="none of the 240 lab test images"):
        audit([field_session], AuditOptions(lab=(field_session,)))


def test_without_labels_everything_but_the_gap_is_there(color_bundle, color_folders, tmp_path):
    session = tmp_path / "s"
    run(color_bundle, str(color_folders.field), RunOptions(truth="none", log=session))
    report = audit([session], AuditOptions(lab=(color_folders.lab,)))
    data = report.to_json()
    assert (data["live"]["total"], data["gap_points"], data["residual_points"]) == (0, None, None)
    assert len(data["ledger"]) == 2
    assert 0 <= data["estimate"]["low"] < data["estimate"]["high"] <= 1
    assert report.ok
    assert "--truth" in report.to_text()
    gated = audit([session], AuditOptions(max_gap=5))
    assert not gated.ok
    assert gated.to_text().endswith("\nnot passed: --max-gap 5: the gap is unknown")


def test_the_gate_closes_when_the_gap_is_too_wide(field_session):
    gap = audit([field_session]).gap_points
    assert audit([field_session], AuditOptions(max_gap=gap + 0.01)).ok
    gated = audit([field_session], AuditOptions(max_gap=1, fail_on=("path", "alarm")))
    assert not gated.ok
    lines = gated.to_text().splitlines()
    assert lines[-2:] == [
        "not passed: --fail-on alarm",
        f"not passed: --max-gap 1: the gap is {gap:.2f}",
    ]
    assert not audit([field_session], AuditOptions(max_gap=gap - 0.01)).ok


def test_frames_of_a_video_count_by_object_and_images_by_themselves(color_bundle, tmp_path):
    video, images = [], []
    for k in range(600):
        label, right = (k // 30) % 2, k // 30 != 7
        video += [answer_event(k, right, truth=label), truth_event(k, LABELS[label])]
        images += [
            answer_event(k, right, truth=label, name=f"{k}.png"),
            truth_event(k, LABELS[label]),
        ]
    a = audit([write_session(tmp_path / "video", color_bundle, video)])
    b = audit([write_session(tmp_path / "images", color_bundle, images)])
    assert a.live.tally.accuracy == b.live.tally.accuracy == 0.95
    assert a.live.tally.effective <= 20
    assert b.live.tally.effective is None
    assert a.gap_interval[0] < b.gap_interval[0]
    assert a.gap_interval[1] > b.gap_interval[1]
    assert "worth" in a.live.tally.text()
    assert any("independent" in note for note in a.notes)
    # Thirty frames of one misread object are one entry among the worst frames.
    assert len(a.live.worst) == 1
    assert a.live.confusions[0].objects == 1


def test_an_unlabelled_pause_separates_two_objects_of_one_class(color_bundle, tmp_path):
    labelled = [k for k in range(90) if k % 30 < 20]
    events = [answer_event(k, k >= 30) for k in range(90)]
    events += [truth_event(k, LABELS[0]) for k in labelled]
    report = audit([write_session(tmp_path / "s", color_bundle, events)])
    assert report.live.confusions[0].objects == 1
    assert report.live.tally.effective == pytest.approx(3, rel=0.9)
    assert any("30 of 90 frames have no label" in note for note in report.notes)


def test_two_sessions_are_pooled(field_session, color_bundle, tmp_path):
    events = [e for k in range(10) for e in (answer_event(k, True), truth_event(k, LABELS[0]))]
    more = write_session(tmp_path / "more", color_bundle, events)
    alone, both = audit([field_session]), audit([field_session, more])
    assert both.live.tally.correct == alone.live.tally.correct + 10
    assert both.live.tally.total == alone.live.tally.total + 10
    assert {part.session for part in both.live.over_time} == {str(field_session), str(more)}


def test_the_label_free_band_holds_the_truth_where_nothing_changed(
    lab_session, color_folders, color_bundle
):
    report = audit([lab_session], AuditOptions(lab=(color_folders.lab,)))
    assert report.estimate.low <= report.live.tally.accuracy <= report.estimate.high
    assert report.estimate.flag == "assumes calibrated confidence"
    assert f"\nband   {report.estimate.range}, by the answers alone" in report.to_text()


def test_confidence_that_never_changes_identifies_nothing(color_bundle, tmp_path):
    events = [answer_event(k, True) for k in range(20)]
    report = audit([write_session(tmp_path / "s", color_bundle, events)])
    estimate = report.estimate
    assert (estimate.low, estimate.high, estimate.flag) == (0.0, 1.0, "not identified")
    assert "not identified: all answers are equally sure" in report.to_text()


def test_a_bundle_knows_how_sure_each_file_was_in_the_lab(field_session, color_folders):
    """So that the band needs no lab image; from lab images it is the same one."""
    alone = audit([field_session]).estimate
    again = audit([field_session], AuditOptions(lab=(color_folders.lab,))).estimate
    assert set(alone.methods) == {"average_confidence", "difference_of_confidence", "threshold"}
    for name, value in again.methods.items():
        assert alone.methods[name] == pytest.approx(value, abs=0.01)


def test_the_text_says_what_the_json_says(field_session, lab_session):
    report = audit([field_session], AuditOptions(lab=(lab_session,)))
    text = report.to_text()
    assert f"{100 * report.live.tally.accuracy:.1f} %" in text
    assert f"{100 * report.lab.float_tally.accuracy:.1f} %" in text
    assert f"{report.gap_points:.1f} points" in text
    assert "device path" in text
    assert "not explained" in text
    lost = replace(report, lab=replace(report.lab, quantized=Tally(1, 4))).to_text()
    assert f"{report.gap_points:.1f} points, 95 % interval" in lost
    assert ": to the network in float" in lost


def test_an_imported_file_has_no_network_in_float_and_its_lab_images_are_answered(
    color_bundle, color_folders, tmp_path
):
    """Its tallies were compared with each other: "quantization +0.0" was known of no network."""
    options = ImportOptions(normalize="none")
    result = import_model(
        color_bundle / ARTIFACT, None, color_folders.lab, tmp_path / "own.edgecnn", options
    )
    bundle = Bundle.open(result.bundle)
    assert (bundle.card.has_float, Bundle.open(color_bundle).card.has_float) == (False, True)
    short = BenchmarkOptions(warmup=1, warmup_seconds=0.01, repeats=2)
    floats = tmp_path / "floats.edgecnn"
    import_model(color_bundle / "model_float32.tflite", None, color_folders.lab, floats, options)
    (row,) = benchmark(floats, color_folders.lab, short).rows
    assert (row.lab_agreement, row.agreement) == (None, None)
    session = write_session(tmp_path / "session", result.bundle, [])
    lab = measure_lab(open_session(session), bundle, [color_folders.lab])
    assert lab.steps == ()
    assert "quantization not measured" in lab.notes[0]
    assert not any("lab images not answered" in note for note in lab.notes)
    rows = LabConfidence.of_rows(bundle.lab_test(), ARTIFACT)
    np.testing.assert_allclose(lab.confidence.confidence, rows.confidence, atol=1e-3)
    # `adapt` refuses it, so that an audit advises what makes a network that it takes.
    with pytest.raises(BundleError, match="a network of another program"):
        open_network(bundle)
    names, events = bundle.card.labels, []
    for k in range(40):
        events += [
            answer_event(k, k % 2 > 0, k % len(names)),
            truth_event(k, names[k % len(names)]),
        ]
    read = audit([write_session(tmp_path / "labelled", result.bundle, events)])
    assert any(step.command == "edgecnn train LAB -o MODEL" for step in read.next)
    assert not any(" adapt " in step.command for step in read.next)


def test_an_artifact_that_the_card_lacks_leaves_the_step_open(field_session, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(field_session, copied)
    head = json.loads((copied / "session.json").read_text())
    (copied / "session.json").write_text(json.dumps({**head, "artifact": "other.tflite"}))
    report = audit([copied])
    assert report.lab.steps == ()
    assert report.residual.points == pytest.approx(report.gap_points)
    assert "--artifact" not in run_again(open_session(copied).header, "B", "again")
    assert any("quantization not measured" in note for note in report.notes)
    assert any("kept frames not re-answered" in note for note in report.notes)
    assert replace(report, notes=()).to_json()["ledger"] == []
