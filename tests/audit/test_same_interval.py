"""The same answers have the same interval wherever they are printed; none counts twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, truth_event, write_session

from edgecnn.accuracy.shadow_pairs import ShadowPairs
from edgecnn.accuracy.tally import Tally
from edgecnn.adapt.data import read_field
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.audit.beside import too_few_to_adapt
from edgecnn.audit.recordings.recordings import read_recordings
from edgecnn.audit.verdict import alike_gap, verdict
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.last_layer import FEWEST_GROUPS
from edgecnn.device.benchmark.benchmark import benchmark
from edgecnn.device.evaluate import evaluate
from edgecnn.device.label.session_desk import SessionDesk
from edgecnn.device.options import BenchmarkOptions, EvaluateOptions, RunOptions
from edgecnn.device.run.run import run
from edgecnn.device.web.desk import figure_json
from edgecnn.errors import OptionError, SessionError
from edgecnn.session.answers import Answers
from edgecnn.session.events import TruthEvent
from edgecnn.session.read import open_session, read_frames, read_truth


@pytest.fixture
def copies(tmp_path):
    """A folder of near-duplicates: 12 things in 2 classes, each photographed 1 to 9 times."""
    rng = np.random.default_rng(6)
    for thing in range(12):
        folder = tmp_path / "data" / LABELS[thing % 2]
        folder.mkdir(parents=True, exist_ok=True)
        look = cv2.resize(rng.integers(0, 255, (4, 4, 3)).astype(np.uint8), (64, 64))
        for shot in range(1 + int(rng.integers(0, 9))):
            seen = (look * rng.uniform(0.8, 1.0) + rng.normal(0, 2, look.shape)).clip(0, 255)
            cv2.imwrite(str(folder / f"{thing}_{shot}.png"), seen.astype(np.uint8))
    return tmp_path / "data"


def test_run_page_evaluate_benchmark_and_audit_print_the_same_interval(tmp_path, copies):
    session = tmp_path / "session"
    ran = run(PAST_BUNDLE, str(copies), RunOptions(truth=("folder",), log=session))
    expected = ran.live
    assert 0 < expected.effective <= 12.5 < expected.total
    whole = evaluate(PAST_BUNDLE, copies)
    evaluated = whole.accuracy
    options = BenchmarkOptions(repeats=2, warmup=1, warmup_seconds=0.0, seconds=0.1)
    rows = benchmark(PAST_BUNDLE, copies, options).rows
    row = next(row for row in rows if row.file == ran.artifact)
    audited = audit([session])
    desk = SessionDesk([session])
    page = figure_json(desk.result().live)
    desk.close()
    assert page["text"] == expected.text()
    assert audited.alarm == ran.alarm
    for tally in (evaluated, row.accuracy, audited.live.tally):
        assert (tally.correct, tally.total, tally.text()) == (
            expected.correct,
            expected.total,
            expected.text(),
        )
        assert tally.interval == pytest.approx(expected.interval)
    assert len(whole.per_class) == 2
    for label, tally in whole.per_class.items():
        assert audited.live.per_class[label].text() == tally.text()


def test_what_a_person_says_of_things_counts_everywhere(tmp_path, copies):
    session = tmp_path / "session"
    options = RunOptions(truth=("folder",), log=session, things="each")
    ran = run(PAST_BUNDLE, str(copies), options).live
    assert ran.interval == Tally(ran.correct, ran.total).interval
    desk = SessionDesk([session])
    assert figure_json(desk.result().live)["text"] == ran.text()
    desk.close()
    assert audit([session]).live.tally.text() == ran.text()
    counted = evaluate(PAST_BUNDLE, copies, EvaluateOptions(things="each")).accuracy
    assert counted.text() == ran.text()
    with pytest.raises(SessionError, match="recorded with --things each"):
        audit([session], AuditOptions(things="looks"))
    # A run that took looks for things can be told afterwards; files have no times to tell by.
    looks = run(PAST_BUNDLE, str(copies), replace(options, log=tmp_path / "looks", things="looks"))
    assert looks.live.worth < ran.worth
    told = audit([tmp_path / "looks"], AuditOptions(things="each"))
    assert told.live.tally.text() == ran.text()
    with pytest.raises(SessionError, match="no times"):
        audit([tmp_path / "looks"], AuditOptions(things="2s"))
    with pytest.raises(OptionError, match="have none"):
        run(PAST_BUNDLE, str(copies), RunOptions(things="2s"))


def test_things_told_by_time_are_those_of_the_run_and_never_return(tmp_path):
    """40 frames, one in 500 ms, of a look each; a thing stays for 1 s: two things in 2 s.

    What lies on the cut between two stretches must not count in both: labels part no stretch.
    """
    events, live, pairs = [], Answers(LABELS, by_looks=False), ShadowPairs(by_looks=False)
    for k in range(40):
        events += [answer_event(k, k % 5 > 0, t=500 * k, g=0), truth_event(k, LABELS[k % 2])]
        live.answer(k, 0, k // 4)
        live.truth(TruthEvent(k, LABELS[k % 2], "csv"))
        pairs.answer(k, 0, 1, k // 4)
        pairs.truth(k, k % 2, counts=True)
    assert live.first_answers == (10, 10)
    compared = pairs.comparison("b", "0")
    assert (compared.first_lost, compared.first_won) == (10, 0)
    paths = [
        write_session(tmp_path / name, PAST_BUNDLE, events, boot_id=name, started_at=start)
        for name, start in (("a", "2026-05-01T10:00:00Z"), ("b", "2026-05-02T10:00:00Z"))
    ]
    frames = read_frames(open_session(paths[0]), things="1s")
    assert frames.thing.tolist() == [k // 4 for k in range(40)]
    assert not frames.by_looks
    for rule, count in (("1s", 10), ("each", 40)):
        recorded = read_recordings(paths, None, None, things=rule)
        numbers = np.concatenate([one.thing for one in recorded.frames])
        assert len(np.unique(numbers)) == 2 * count
        report = audit([paths[0]], AuditOptions(things=rule))
        assert report.alarm.things == count
        assert not any("look alike" in note for note in report.notes)


def test_things_told_by_time_go_on_in_the_next_session_of_a_run(tmp_path):
    """A run of 40 frames, one in 500 ms, that went on in a second session after 20."""
    begun, went_on = "2026-05-01T10:00:00Z", "2026-05-01T10:00:13Z"
    part = {"started_at": begun, "first_frame_ms": -10_000}
    paths = [
        write_session(
            tmp_path / at[-3:],
            PAST_BUNDLE,
            [
                answer_event(k, True, t=500 * (k - first) + late, g=0)
                for k in range(first, first + 20)
            ],
            started_at=at,
            run=run_part,
            boot_id="boot",
        )
        for first, late, at, run_part in ((0, 3000, begun, None), (20, 0, went_on, part))
    ]
    for rule, numbers in (("1s", [k // 4 for k in range(40)]), ("each", list(range(40)))):
        recorded = read_recordings(paths, None, None, things=rule)
        assert np.concatenate([one.thing for one in recorded.frames]).tolist() == numbers


def test_a_session_that_says_each_needs_no_numbers_and_takes_large_ones(tmp_path):
    events = [answer_event(k + 2**40, k % 5 > 0) for k in range(40)]
    path = write_session(tmp_path / "s", PAST_BUNDLE, events, things="each")
    frames = read_frames(open_session(path))
    assert not frames.by_looks
    assert len(np.unique(frames.thing)) == len(frames) == 40
    assert frames.thing.tolist() == read_frames(open_session(path), things="each").thing.tolist()


def answered(count: int, start: int = 0):
    rng = np.random.default_rng(9)
    for k in range(count):
        yield answer_event(k + start, bool(rng.random() < 0.8), confidence=rng.uniform(0.4, 1))
        yield truth_event(k + start, LABELS[0])


def test_the_same_recording_given_twice_is_refused_under_any_name(tmp_path):
    one = write_session(tmp_path / "one", PAST_BUNDLE, list(answered(40)))
    copy = shutil.copytree(one, tmp_path / "copy")
    again = write_session(tmp_path / "again", PAST_BUNDLE, list(answered(60)), boot_id="other")
    for other in (copy, again):
        with pytest.raises(SessionError, match="given twice"):
            audit([one, other])
    assert audit([one]).live.tally.total == 40


def test_still_lives_with_equal_answers_are_two_recordings(tmp_path):
    events = [e for k in range(50) for e in (answer_event(k, True), truth_event(k, LABELS[0]))]
    paths = [write_session(tmp_path / name, PAST_BUNDLE, events) for name in "ab"]
    assert audit(paths).live.tally.total == 100


@pytest.mark.parametrize(
    ("sources", "refused"),
    [
        (("/images/field", "/images/field"), True),
        (("/images/field", "/images/other"), False),
        (("0", "0"), False),  # of one camera twice
    ],
)
def test_a_sure_model_over_the_same_files_is_one_recording(tmp_path, sources, refused):
    """The answers change too seldom to tell two films of a camera apart."""
    classes = [k // 8 % 2 for k in range(50)]
    events = []
    for k, label in enumerate(classes):
        events += [answer_event(k, True, truth=label, name=f"{k}.png")]
        events += [truth_event(k, LABELS[label])]
    paths = [
        write_session(tmp_path / name, PAST_BUNDLE, events, source=source)
        for name, source in zip("ab", sources, strict=True)
    ]
    if refused:
        with pytest.raises(SessionError, match="given twice"):
            audit(paths)
    else:
        assert audit(paths).live.tally.total == 100


def test_what_returns_is_one_thing_and_a_session_without_numbers_says_so(tmp_path):
    events = []
    for k in range(80):  # two things of two classes, in turns
        thing = k // 2 % 2
        events += [answer_event(k, True, thing, g=thing), truth_event(k, LABELS[thing])]
    known = audit([write_session(tmp_path / "known", PAST_BUNDLE, events)])
    assert known.live.tally.effective <= 2
    changes, last = [], None
    for event in events:  # as a run logs it: only where the thing is another one
        same, last = event.get("g", last) == last, event.get("g", last)
        changes.append({key: value for key, value in event.items() if key != "g" or not same})
    again = audit([write_session(tmp_path / "changes", PAST_BUNDLE, changes)])
    assert again.live.tally == known.live.tally
    unknown = [{key: value for key, value in event.items() if key != "g"} for event in events]
    found = audit([write_session(tmp_path / "unknown", PAST_BUNDLE, unknown)])
    assert found.live.tally.effective > 20
    assert any("which frames look alike" in note for note in found.notes)


def test_what_returns_in_another_session_is_the_same_thing_where_pictures_were_kept(
    tmp_path, copies
):
    sessions = [tmp_path / "monday", tmp_path / "tuesday"]
    run(PAST_BUNDLE, str(copies), RunOptions(truth=("folder",), log=sessions[0]))
    for file in copies.rglob("*.png"):  # the same things in other light
        cv2.imwrite(str(file), (cv2.imread(str(file)) * 0.8).astype(np.uint8))
    run(PAST_BUNDLE, str(copies), RunOptions(truth=("folder",), log=sessions[1]))
    alone = audit(sessions[:1]).live.tally
    both = audit(sessions).live.tally
    assert both.total == 2 * alone.total
    assert both.effective == pytest.approx(alone.effective, rel=0.1)
    for picture in (sessions[1] / "frames").iterdir():
        picture.unlink()
    assert audit(sessions).live.tally.effective > 1.5 * alone.effective


def test_a_field_that_is_worse_than_the_lab_raises_the_alarm_and_fails_the_gate(tmp_path, copies):
    log = tmp_path / "session"
    gated = run(PAST_BUNDLE, str(copies), RunOptions(truth=("folder",), fail_on="alarm", log=log))
    assert gated.live.accuracy < 0.5
    assert gated.alarm.raised
    assert not gated.ok
    assert gated.to_text().count("worse than the lab") == 1
    assert run(PAST_BUNDLE, str(copies), RunOptions(truth=("folder",))).ok
    audited = audit([log], AuditOptions(fail_on=("alarm",)))
    assert audited.alarm.raised
    assert not audited.ok
    assert audit([log], AuditOptions(fail_on=("path", "truth", "session"))).ok


def test_where_one_thing_holds_most_frames_the_finding_says_that_the_others_are_misread(tmp_path):
    """Frames say that there is no gap, things that there is one: neither is left out."""
    events = []
    for k in range(320):
        other = k >= 300  # ten of twenty things that are seen once are misread
        truth = k % len(LABELS) if other else 0
        answer = answer_event(k, not (other and k % 2), truth=truth, g=k if other else 0)
        events += [answer, truth_event(k, LABELS[truth])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.verdict.startswith("No gap is proved: ")
    assert report.alarm.raised
    assert report.verdict.endswith("the alarm is raised: 11 of 21 different things right.")


def test_a_gap_that_hangs_on_whether_frames_show_one_thing_says_so(tmp_path):
    """Parts under an inspection camera all look alike, and one part that stays in view does too."""
    events = []
    for k in range(400):
        right = k % 5 > 0
        events.append(answer_event(k, right, truth=0, g=0))
        events.append(truth_event(k, LABELS[0]))
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.gap_points > 10
    chance = "may be chance if pictures that look alike show one thing (400 frames count like 1); "
    assert chance in report.verdict
    assert report.verdict.endswith("if each shows another: audit with `--things each` then.")
    assert any("--things each if each shows another" in note for note in report.notes)
    told = audit([tmp_path / "s"], AuditOptions(things="each"))
    assert told.live.tally.text() == Tally(320, 400).text()
    assert "below lab accuracy" in told.verdict
    header = json.loads((tmp_path / "s" / "session.json").read_text())
    header["card"]["lab"]["effective"] = 3.0
    header["card"]["training"]["train"] = {"correct": 60, "total": 60, "effective": 2.0}
    (tmp_path / "s" / "session.json").write_text(json.dumps(header))
    assert audit([tmp_path / "s"]).lab.float_tally.effective == 3
    told = audit([tmp_path / "s"], AuditOptions(things="each"))
    assert told.overfitting is not None
    for tally in (told.lab.float_tally, told.card.lab.tally, told.overfitting.train):
        assert tally.effective is None
    # The lab's test may be what looks alike; few pictures that all differ are no such thing.
    lab, live, known = Tally(120, 120, 3), Tally(320, 400), (report.live, report.estimate)
    said = verdict(lab, replace(known[0], tally=live), known[1], report.checks, (-1.0, 30.0))
    assert "show one thing (120 lab images count like 3);" in said
    assert alike_gap(replace(lab, effective=None), Tally(1, 8, 7.9)) == -100
    alone = audit([write_session(tmp_path / "t", PAST_BUNDLE, events[:20])])  # ten frames
    assert "look alike" not in alone.verdict


def test_what_adapt_takes_is_not_sent_to_record_more(tmp_path):
    """Pictures in a chain of near-duplicates are one thing, and many looks."""
    events = [answer_event(k, True, truth=0, g=0, pool="uniform") for k in range(60)]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    for k in range(60):
        picture = np.full((64, 64, 3), 70, np.uint8)
        place = (int(32 + 9 * np.cos(k / 9.5)), int(32 + 9 * np.sin(k / 9.5)))
        cv2.circle(picture, place, 12, (200, 200, 200), -1)
        cv2.imwrite(str(session / "frames" / f"{k:08d}.png"), picture)
    images = read_field([session], Bundle.open(PAST_BUNDLE).card)
    looks = len(np.unique(images.groups))
    assert looks >= FEWEST_GROUPS
    said = f"{len(images)} images into 1 group; {looks} looks are taken for groups"
    assert said in images.passed_over[-1]
    opened = open_session(session)
    frames = read_frames(opened)
    parts = [(opened, frames, read_truth(opened, frames))]
    assert too_few_to_adapt(parts, each=False) == ""
    for k in range(1, 60):
        shutil.copy(session / "frames" / "00000000.png", session / "frames" / f"{k:08d}.png")
    assert "chance kept 60 pictures of 1" in too_few_to_adapt(parts, each=False)
    each = read_frames(opened, things="each")  # `adapt` goes by looks whatever a person says
    parts = [(opened, each, parts[0][2])]
    assert "chance kept 60 pictures of 1" in too_few_to_adapt(parts, each=False)
