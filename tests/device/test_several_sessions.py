"""A run that writes several sessions: no frame is parted from its labels, and all are named."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_run import events

from edgecnn.audit.audit import audit
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run

ROI = ("left=0,0,20,44", "right=16,0,20,44")


def named(text: str) -> list[list[str]]:
    """The commands that a result names at its end."""
    lines = text[text.index("\nnext ") :].removeprefix("\nnext").strip().splitlines()
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("roi", [(), ROI], ids=["one", "regions"])
def test_a_session_that_is_full_ends_between_two_frames(roi, digits_bundle, digits_field, tmp_path):
    truth = tuple(f"{one.partition('=')[0]}=folder" for one in roi) or ("folder",)
    options = RunOptions(
        log_root=tmp_path / "root", session_mb=0.01, roi=roi, truth=truth, keep_frames=0
    )
    result = run(digits_bundle, str(digits_field), options)
    (sessions,) = result.sessions
    assert len(sessions) > 3
    for session in sessions:
        places = [
            {(event["frame"], event.get("roi")) for event in events(session, kind)}
            for kind in ("frame", "truth")
        ]
        assert places[0] == places[1]
    report = audit(list(sessions))
    found, expected = report.live.tally, result.live
    assert (found.correct, found.total) == (expected.correct, expected.total)
    assert expected.total == result.frames * max(1, len(roi))


def test_what_returns_in_another_session_of_the_run_is_no_other_thing(
    digits_bundle, digits_field, tmp_path
):
    pictures = sorted(digits_field.rglob("*.png"))[::25]
    for k in range(300):
        one = pictures[k // 5 % len(pictures)]
        place = tmp_path / "field" / one.parent.name / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one, place)
    options = RunOptions(
        log_root=tmp_path / "root", session_mb=0.01, truth=("folder",), keep_frames=2
    )
    result = run(digits_bundle, str(tmp_path / "field"), options)
    (sessions,) = result.sessions
    report = audit(list(sessions))
    assert len(sessions) > 2
    assert report.live.tally == result.live
    assert (report.alarm.things, report.alarm.right) == (result.alarm.things, result.alarm.right)


def test_the_next_command_names_the_sessions_of_the_run_or_the_folder_of_very_many(
    digits_bundle, digits_field, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for mb, truth, keep in (
        (0.03, "folder", 0),
        (0.03, "none", 2),
        (0.03, "none", 0),  # without a picture `label` refuses it
        (0.01, "folder", 0),
    ):
        root = Path(f"-{mb}{truth}{keep}")  # a name that a shell takes for an option
        options = RunOptions(log_root=root, session_mb=mb, truth=truth, keep_frames=keep)
        result = run(digits_bundle, str(digits_field), options)
        *before, (program, then, *paths) = named(result.to_text())
        assert (program, then) == ("edgecnn", "label" if keep else "audit")
        merged = paths if truth == "none" and not keep else []
        assert before == [["edgecnn", "label", one, "--merge", "FILE.csv"] for one in merged]
        (sessions,) = result.sessions
        expected = sessions if len(sessions) <= 8 else [root]
        assert len(sessions) > 1
        assert paths == [f"./{one}" for one in expected]


@pytest.mark.parametrize("truth", ["folder", "none"])
def test_the_next_command_after_many_sessions_of_several_bundles_is_one_that_an_audit_takes(
    truth, digits_bundle, digits_field, tmp_path
):
    options = RunOptions(log=tmp_path / "s", truth=(truth,), keep_frames=0, max_frames=9)
    result = run(digits_bundle, str(digits_field), options)
    first, second = ([tmp_path / f"{name}{k}" for k in range(10)] for name in "ab")
    many = replace(result, session=second[-1], sessions=(tuple(first), tuple(second)))
    newest = list(map(str, second[-8:]))
    *before, last = named(many.to_text())
    assert last == ["edgecnn", "audit", *newest]
    merged = newest if truth == "none" else []
    assert before == [["edgecnn", "label", one, "--merge", "FILE.csv"] for one in merged]


def test_a_run_whose_last_session_has_just_begun_has_pictures_to_label(
    digits_bundle, digits_field, tmp_path
):
    options = RunOptions(log=tmp_path / "s", max_frames=9)
    result = run(digits_bundle, str(digits_field), options)
    new = tmp_path / "new"
    later = replace(result, session=new, sessions=((tmp_path / "s", new),))
    assert named(later.to_text()) == [["edgecnn", "label", str(tmp_path / "s"), str(new)]]


def test_answers_of_several_regions_without_truth_are_no_frames(digits_bundle, digits_field):
    options = RunOptions(roi=ROI, truth=("left=folder",), max_frames=5)
    text = run(digits_bundle, str(digits_field), options).to_text()
    assert "frames    5 (0 dropped, 5 answers not in the live accuracy)" in text
