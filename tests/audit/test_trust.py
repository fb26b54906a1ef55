"""A session whose files don't fit together is refused or said to be so, in a person's words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, frame_event, truth_event, write_session

from edgecnn.audit.audit import audit
from edgecnn.audit.ledger.other_framing import FRAMING, framing_changes
from edgecnn.audit.ledger.other_light import LIGHT, light_changes
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.undo.splits import Return
from edgecnn.audit.undo.undo import Prescription, Undone
from edgecnn.cli.main import COMMANDS
from edgecnn.errors import SessionError


def recorded(path: Path, wrong_every: int = 8, **more) -> Path:
    """Forty frames, some read wrong, each with a truth; `more` goes to every frame."""
    events = []
    for k in range(40):
        right, label = k % wrong_every != 0, k % len(LABELS)
        events += [answer_event(k, right, truth=label, **more), truth_event(k, LABELS[label])]
    return write_session(path, PAST_BUNDLE, [*events, {"event": "end", "reason": "done"}])


def edit(session: Path, change) -> None:
    head = json.loads((session / "session.json").read_text())
    change(head)
    (session / "session.json").write_text(json.dumps(head))


CHANGES = {
    "labels": lambda head: head["card"].update(labels=head["card"]["labels"][::-1]),
    "temperature": lambda head: head["card"].update(temperature=2.5),
    "input": lambda head: head["card"]["input"].update(resize="stretch"),
    "artifact": lambda head: head.update(artifact_sha256="0" * 64),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_header_that_contradicts_the_bundle_it_names_is_refused(what, tmp_path):
    session = recorded(tmp_path / "s")
    edit(session, CHANGES[what])
    with pytest.raises(SessionError, match=rf"another {what} than .*copy the session again"):
        audit([session])


@pytest.mark.parametrize("key", ["card", "bundle", "artifact"])
def test_a_null_in_the_header_is_said_in_words(key, tmp_path):
    session = recorded(tmp_path / "s")
    edit(session, lambda head: head.update({key: None}))
    with pytest.raises(SessionError) as error:
        audit([session])
    assert "NoneType" not in str(error.value)
    assert "as the run wrote it" in str(error.value)


def test_a_newer_version_is_noted(tmp_path):
    session = recorded(tmp_path / "s")
    edit(session, lambda head: head.update(edgecnn="7.0.0"))
    assert any("recorded by edgecnn 7.0.0" in note for note in audit([session]).notes)


def test_scores_that_are_no_fractions_are_a_fault_that_stands_first(tmp_path):
    session = recorded(tmp_path / "s", c=95.0)
    report = audit([session])
    assert report.checks.faults[0].kind == "session"
    assert "outside of 0 to 1" in report.checks.faults[0].name
    assert report.verdict.startswith("The session can't be trusted")


def test_an_answer_that_is_not_its_highest_score_is_a_fault(tmp_path):
    scores = np.full(len(LABELS), 0.1)
    scores[3] = 0.3
    events = []
    for k in range(12):
        event = frame_event(k, scores, pool="uniform", p=1.0) | {"k": [[0, 25.6]]}
        events.append(event | {"scores": [256 * s for s in scores]})
    session = write_session(tmp_path / "s", PAST_BUNDLE, events)
    for k in range(12):
        (session / "frames" / f"{k:08d}.jpg").write_bytes(b"no picture")
    report = audit([session])
    assert "not their highest score" in report.checks.faults[0].name
    assert "12 of 12 kept frames" in report.checks.faults[0].evidence
    assert any("frames not re-answered" in n or "not checked" in n for n in report.notes)


def test_missing_and_foreign_pictures_are_noted(tmp_path):
    session = recorded(tmp_path / "s", pool="uniform", p=1.0)
    (session / "frames" / "holiday.jpg").write_bytes(b"no picture")
    notes = audit([session]).notes
    assert any("40 pictures were kept, but frames/ has none" in note for note in notes)
    assert any("1 files in frames/ belong to no answer" in note for note in notes)


def test_every_command_that_is_advised_exists(tmp_path):
    session = recorded(tmp_path / "s")
    edit(session, lambda head: head.update(source="a camera"))
    advised = audit([session]).next
    assert 1 <= len(advised) <= 3
    assert {step.command.split()[1] for step in advised} <= set(COMMANDS)
    assert any("'" in step.command for step in advised)  # a source with a space is quoted


def test_what_is_advised_takes_all_sessions_and_the_labels_that_there_are(tmp_path):
    """Where all kept pictures have labels, more of them can't be given: more must be recorded."""
    sessions = [
        recorded(tmp_path / name, every, pool="uniform", p=1.0)
        for name, every in (("a", 4), ("b", 5))
    ]
    for session in sessions:
        for k in range(40):
            (session / "frames" / f"{k:08d}.jpg").write_bytes(b"no picture")
        with (session / "events.jsonl").open("a") as log:  # these are labels too
            for k in (5, 6, 7, 9, 10, 11):
                log.write(json.dumps(truth_event(k, "none of these" if k < 9 else None)) + "\n")
    advised = [step.command for step in audit(sessions).next]
    (adapt,) = (command for command in advised if " adapt " in command)
    a, b = sessions
    assert f"--field {a} --field {b} --labels {a} --labels {b} " in adapt
    assert not any(" label " in command for command in advised)
    (more,) = (command for command in advised if command.endswith("--log more"))
    assert "OTHER_IMAGES" not in more
    edit(a, lambda head: head.update(source="/films/monday.mp4"))
    edit(b, lambda head: head.update(source="/films/tuesday.mp4"))
    # The same film again would bring no other object.
    assert any("--source OTHER_IMAGES " in step.command for step in audit(sessions).next)
    lines = (a / "events.jsonl").read_text().splitlines()
    kept = [line for line in lines if '"truth"' not in line or '"frame":3,' in line]
    (a / "events.jsonl").write_text("".join(f"{line}\n" for line in kept))
    assert any(" label " in step.command for step in audit(sessions).next)


_HALF, _WHOLE = (0.0, 30.0), (15.0, 15.0)  # what the splits of a setting return


@pytest.mark.parametrize(
    ("cause", "splits", "advised"),
    [
        (FRAMING, _HALF, True),
        (FRAMING, _WHOLE, False),
        (LIGHT, _HALF, True),
        (LIGHT, _WHOLE, True),  # no option makes it
    ],
)
def test_adapting_is_advised_too_where_no_option_surely_returns_the_gap(
    cause, splits, advised, tmp_path, monkeypatch
):
    """Not everybody can record anew or change a lamp."""
    session = recorded(tmp_path / "s", 4, pool="uniform", p=1.0)
    for k in range(40):
        (session / "frames" / f"{k:08d}.jpg").write_bytes(b"no picture")
    found = Return(0, np.array(splits), 1.0, 0.01)
    step = Step(cause, found.points, found.low, found.high, "made")
    change = (framing_changes() if cause == FRAMING else light_changes())[0]
    setting = Prescription(cause, change, found, (32, 32, 3), is_one_shape=True)
    monkeypatch.setattr("edgecnn.audit.audit.undo", lambda *_: Undone((step,), setting))
    steps = audit([session]).next
    assert steps[0].command.endswith("--log changed")
    assert any(" adapt " in step.command for step in steps) == advised


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("darker", "change the lamp"),
        ("dark and bright exchanged", "no lamp does that: put a ground behind the object"),
        ("much sharper", "set the focus"),
        ("without a tint", "white balance"),
    ],
)
def test_the_remedy_is_one_that_makes_the_setting(name, remedy, tmp_path, monkeypatch):
    """No exposure exchanges dark and bright, and no lamp focuses a lens."""
    assert all(bool(one.remedy) != one.swaps_colour for one in light_changes())
    (change,) = (one for one in light_changes() if one.name == name)
    found = Return(0, np.array([15.0, 15.0]), 1.0, 0.01)
    setting = Prescription(LIGHT, change, found, (32, 32, 3), is_one_shape=True)
    monkeypatch.setattr("edgecnn.audit.audit.undo", lambda *_: Undone((), setting))
    advised = audit([recorded(tmp_path / "s", 4)]).next[0]
    assert f"changed: {name} (" in advised.why
    assert remedy in advised.why


def test_a_session_without_a_frame_is_left_out_and_said(tmp_path):
    good, other = recorded(tmp_path / "root" / "a"), recorded(tmp_path / "b", wrong_every=5)
    newest = "2030-01-01T00:00:00+00:00"
    empty = write_session(
        tmp_path / "root" / "z", PAST_BUNDLE, [], sha256="0" * 64, started_at=newest
    )
    alone = audit([good])
    for given in ([empty, good], [tmp_path / "root"]):
        report = audit(given)
        assert report.live.tally == alone.live.tally
        assert f"{empty} holds no frame and is left out" in "".join(report.notes)
    assert len(audit([other, tmp_path / "root"]).sessions) == 2
    with pytest.raises(SessionError, match=r"holds no frame .* leave this session out"):
        audit([empty])


@pytest.mark.parametrize(("num_labels", "advised"), [(40, True), (1200, False)])
def test_more_labels_are_advised_only_where_they_narrow_the_gap(num_labels, advised, tmp_path):
    """The lab test has 60 images: no labels make the interval less than 10 points wide."""
    events = []
    for k in range(num_labels):
        events += [answer_event(k, k % 3 != 0, k % 4, g=k), truth_event(k, LABELS[k % 4])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.gap_interval[1] - report.gap_interval[0] > 10
    assert any("more labels" in step.why for step in report.next) == advised
