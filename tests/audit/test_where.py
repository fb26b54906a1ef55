"""Where and when: parts that are worse than the rest, and changes from a day on."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sessions import LABELS, PAST_BUNDLE, answer_event, keep_pictures, truth_event, write_session

from edgecnn.adapt.data import sessions_of
from edgecnn.audit.audit import audit
from edgecnn.bundle.folder import Bundle
from edgecnn.session.layout import is_session

FIRST_DAY = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
A_DAY = 24 * 60


def weeks(path: Path, right, confidence, days: int, minutes: int = 60, **header) -> Path:
    """A session of one frame an hour; right and confidence: functions of (day, random)."""
    rng = np.random.default_rng(list(path.name.encode()))
    events = []
    for frame in range(days * A_DAY // minutes):
        moment = FIRST_DAY + timedelta(minutes=minutes * frame)
        day = (moment.date() - FIRST_DAY.date()).days
        truth = int(rng.integers(len(LABELS)))
        event = answer_event(frame, right(day, rng), truth, confidence(day, rng))
        events.append(event | {"t": 60_000 * minutes * frame, "at": moment.isoformat()})
        events.append(truth_event(frame, LABELS[truth]))
    end = {"event": "end", "reason": "done"}
    return write_session(path, PAST_BUNDLE, [*events, end], **header)


def often(share: float):
    return lambda _, rng: bool(rng.random() < share)


def about(middle: float):
    return lambda _, rng: float(np.clip(rng.normal(middle, 0.03), 0.3, 0.99))


def test_a_bad_day_is_found_and_good_ones_are_not(tmp_path):
    def right(day, rng):
        return bool(rng.random() < (0.4 if day == 4 else 0.95))

    report = audit([weeks(tmp_path / "s", right, about(0.9), days=10, minutes=20)])
    sure = [part for part in report.weak_parts if part.is_sure]
    assert [(part.field, part.value) for part in sure] == [("day", "2026-03-05")]
    assert sure[0].low <= sure[0].points <= sure[0].high
    assert sure[0].frames == 72
    assert "day 2026-03-05" in report.to_text()


def test_a_bad_device_is_named_by_every_field_in_which_it_differs(tmp_path):
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=8, name=f"camera {k}", site="roof")
        for k, share in enumerate((0.95, 0.6, 0.95))
    ]
    report = audit(paths)
    sure = {(part.field, part.value) for part in report.weak_parts if part.is_sure}
    assert ("name", "camera 1") in sure
    assert ("session", str(paths[1])) in sure
    assert not any(field in ("site", "day") for field, _ in sure)


def test_of_many_equal_parts_none_is_accused(tmp_path):
    accused = 0
    for seed in range(12):
        path = tmp_path / ("s" * (seed + 1))
        report = audit([weeks(path, often(0.85), about(0.9), days=20)])
        assert len(report.weak_parts) >= 15
        accused += any(part.is_sure for part in report.weak_parts)
        assert not report.drift
    assert accused <= 2


@pytest.mark.parametrize("day", [3, 9, 16])
def test_a_change_is_dated_within_a_day(day, tmp_path):
    def confidence(today, rng):
        return float(np.clip(rng.normal(0.8 if today >= day else 0.93, 0.05), 0.3, 0.99))

    report = audit([weeks(tmp_path / "s", often(0.9), confidence, days=20)])
    found = next(one for one in report.drift if one.what == "confidence")
    dated = datetime.fromisoformat(found.since).date()
    assert abs((dated - FIRST_DAY.date()).days - day) <= 1
    assert found.before > 0.9 > 0.83 > found.after
    assert not any(part.is_sure for part in report.weak_parts)
    assert "not that it is worse" in report.to_text()


def test_a_session_without_a_clock_has_no_days(tmp_path):
    events = []
    for frame in range(100):
        event = answer_event(frame, frame % 10 > 0)
        event.pop("at", None)
        events += [event, truth_event(frame, LABELS[0])]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    assert report.drift == ()
    assert not [part for part in report.weak_parts if part.field == "day"]


def test_each_region_has_a_time_of_its_own(tmp_path):
    events = []
    for frame in range(120):
        truth = int(frame * 5 % 8)
        for region, is_right in (("left", False), ("right", True)):
            event = answer_event(frame, is_right, truth=truth, roi=region)
            events += [event, truth_event(frame, LABELS[truth], roi=region)]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events)])
    found = [(part.region, part.first, part.tally.accuracy) for part in report.live.over_time]
    assert {region: accuracy for region, _, accuracy in found} == {"left": 0.0, "right": 1.0}
    assert [region for region, first, _ in found if first == 0] == ["left", "right"]
    assert {misread.region for misread in report.live.worst} == {"left"}


def thinned(path: Path, days: int, thin_from: int, a_day: int = 100) -> Path:
    """A log that holds every answer at first, and later those alone whose picture was kept.

    One answer in eight is uncertain on every day; half of these are kept for that.
    """
    rng = np.random.default_rng(1)
    events = []
    for frame in range(days * a_day):
        day, moment = frame // a_day, FIRST_DAY + timedelta(days=frame / a_day)
        is_hard = frame % 8 == 0
        event = answer_event(frame, True, frame % len(LABELS), 0.5 if is_hard else 0.95)
        event |= {"t": round(86_400_000 * frame / a_day), "at": moment.isoformat()}
        p = min(1.0, 150 / (frame + 1))
        if rng.random() < p:
            event |= {"pool": "uniform", "p": round(p, 6)}
        elif is_hard and frame % 16 == 0:
            event |= {"pool": "hard", "p": 0}
        if day < thin_from or "pool" in event:
            events.append(event)
    end = {"event": "end", "reason": "done", "frames": days * a_day}
    return write_session(path, PAST_BUNDLE, [*events, end])


def test_a_log_that_leaves_sure_answers_out_is_no_change_of_the_field(tmp_path):
    assert not audit([thinned(tmp_path / "s", days=16, thin_from=9)]).drift


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({}, "session s1"),
        ({"name": "camera 7"}, "the device called camera 7"),
        (
            {"regions": [{"region": [0, 0, 9, 9], "rotate": 90, "flip": None, "name": None}]},
            "session s1, recorded with another --roi and --rotate,",
        ),
        ({"source_color": "rgb"}, "session s1, recorded with another --color,"),
    ],
)
def test_a_session_that_makes_most_of_the_gap_is_named_and_looked_at_first(header, said, tmp_path):
    others = {"name": "camera 6"} if "name" in header else {}
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=8, **more)
        for k, (share, more) in enumerate(((0.95, others), (0.3, header), (0.95, others)))
    ]
    report = audit(paths)
    assert report.weak_sessions.sessions[0].path == paths[1]
    points = max(part.points for part in report.weak_parts)
    assert f"; {said} is {points:.1f} points below the rest." in report.verdict
    assert report.next[0].command.startswith(f"edgecnn audit {paths[1]} --bundle ")
    # One line for all fields in which it is alone.
    assert sum(str(paths[1]) in line for line in report.where) == 1
    assert len(report.where) == len(set(report.where)) == 1


def test_each_device_has_a_row_and_one_without_labels_says_so(tmp_path):
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=8, name=f"camera {k}", site="roof")
        for k, share in enumerate((0.95, 0.4, 0.7))
    ]
    log = paths[2] / "events.jsonl"
    log.write_text(
        "".join(x for x in log.read_text().splitlines(keepends=True) if '"event": "truth"' not in x)
    )
    report = audit(paths)
    assert [one.name for one in report.devices] == ["camera 1", "camera 0", "camera 2"]
    alone = audit([paths[1]])
    assert report.devices[0].live.correct == alone.live.tally.correct
    assert report.devices[0].gap_points == alone.gap_points
    assert report.devices[2].gap_points is None
    lines = report.to_text().splitlines()
    (row,) = (line for line in lines if line.startswith("camera 2, roof"))
    assert row.endswith("no field labels")
    assert report.to_json()["devices"][0]["live"]["total"] == alone.live.tally.total
    assert alone.devices == ()


def test_a_session_that_is_far_worse_is_named_beside_one_with_wrong_labels(tmp_path):
    """Of two broken devices the finding must not hide one behind the other."""
    names = ("wrong labels", "dark", *"abcdef")
    shares = (0.95, 0.4, *[0.95] * 6)
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=8, name=name)
        for k, (name, share) in enumerate(zip(names, shares, strict=True))
    ]
    _late(paths[0])
    report = audit(paths)
    assert "(1 of 8 sessions: s0): labels come 1 frame late" in report.verdict
    assert " Besides, the device called dark is " in report.verdict
    assert [step.command.split()[1] for step in report.next] == ["run", "audit"]
    assert str(paths[1]) in report.next[1].command
    # The one that the finding names already is not named again, and a second fault is.
    assert "Besides" not in audit(paths[:1] + paths[2:]).verdict
    _late(paths[2])
    _late(paths[2])
    assert " Besides, in s2 labels come 2 frames late; the device " in audit(paths).verdict


def _late(path: Path) -> None:
    """Give each frame the label of the one before it."""
    log = path / "events.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    labels = [one["label"] for one in events if one["event"] == "truth"]
    for one in events:
        if one["event"] == "truth":
            one["label"] = labels[max(0, one["frame"] - 1)]
    log.write_text("".join(json.dumps(one) + "\n" for one in events))


def test_a_camera_that_is_added_is_no_change_and_one_that_changes_is_named(tmp_path):
    def later(path: Path, days: int) -> Path:
        """The same, some days later."""
        log = path / "events.jsonl"
        events = [json.loads(line) for line in log.read_text().splitlines()]
        for one in events:
            if "at" in one:
                moment = datetime.fromisoformat(one["at"]) + timedelta(days=days)
                one["at"] = moment.isoformat()
        log.write_text("".join(json.dumps(one) + "\n" for one in events))
        return path

    def changes(day, rng):
        return float(np.clip(rng.normal(0.8 if day >= 9 else 0.93, 0.05), 0.3, 0.99))

    old = weeks(tmp_path / "old", often(0.9), about(0.93), days=18, name="old")
    new = later(weeks(tmp_path / "new", often(0.9), about(0.6), days=9, name="new"), 9)
    assert audit([old, new]).drift == ()
    moved = weeks(tmp_path / "moved", often(0.9), changes, days=18, name="moved")
    report = audit([old, new, moved])
    assert {one.device for one in report.drift} == {"moved"}
    assert any(line.startswith("moved: since 2026-03-1") for line in report.where)


def test_no_session_is_named_where_all_are_about_as_bad(tmp_path):
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=8, name=f"camera {k}")
        for k, share in enumerate((0.55, 0.5, 0.45))
    ]
    report = audit(paths)
    assert "below the rest" not in report.verdict
    assert not any(" audit " in step.command for step in report.next)


def test_a_worse_session_that_makes_little_of_the_gap_is_not_the_finding(tmp_path):
    """The others are far below the lab too."""
    paths = [
        weeks(tmp_path / f"s{k}", often(share), about(0.9), days=20)
        for k, share in enumerate((0.35, 0.5, 0.5, 0.5))
    ]
    report = audit(paths)
    assert any(part.is_sure and part.value == str(paths[0]) for part in report.weak_parts)
    assert report.weak_sessions is None
    assert "below the rest" not in report.verdict


def test_each_device_is_to_be_adapted_by_itself(tmp_path):
    def advised(names: tuple[str, str]) -> str:
        paths = [
            keep_pictures(
                weeks(tmp_path / "-".join(names) / f"s{k}", often(0.6), about(0.9), 8, name=name)
            )
            for k, name in enumerate(names)
        ]
        return next(step.command for step in audit(paths).next if " adapt " in step.command)

    assert advised(("hall", "yard")).endswith(" --per device -o MODELS")
    assert advised(("hall", "hall")).endswith(" -o MODEL2")


def test_a_network_of_another_program_is_not_to_be_adapted_and_empty_classes_have_no_row(tmp_path):
    card = Bundle.open(PAST_BUNDLE).card.to_json()
    card["training"] = {"imported": {"file": "net.tflite", "ending": "softmax"}}
    # Of two classes there is no image in the lab, and of one none in the field.
    card["lab"]["confusion"] = [[0] * len(LABELS)] * 2 + card["lab"]["confusion"][2:]
    path = weeks(tmp_path / "s", often(0.6), about(0.9), days=8, card=card, sha256="0" * 64)
    log = keep_pictures(path) / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if f'"label": "{LABELS[0]}"' not in line))
    report = audit([path])
    assert "adapt" not in [step.command.split()[1] for step in report.next]
    classes = report.to_text().split("\nclass ")[1].split("\n\n")[0]
    assert [label in classes for label in LABELS] == [False] + [True] * (len(LABELS) - 1)


def test_weeks_of_each_device_are_named_by_its_root_and_never_joined(tmp_path, monkeypatch):
    hall, yard = (
        [
            keep_pictures(weeks(tmp_path / name / day, often(0.6), about(sure), days=8, name=name))
            for day in ("2026-03-01T00-00-00Z", "2026-03-02T00-00-00Z")
        ]
        for name, sure in (("hall", 0.9), ("yard", 0.8))
    )
    roots = [tmp_path / "hall", tmp_path / "yard"]
    report = audit(roots)

    def adapt(*labels: Path) -> str:
        each = " ".join(f"--field {root}" for root in roots)
        given = " ".join(f"--labels {place}" for place in labels)
        return f"edgecnn adapt MODEL {each} {given} --per device -o MODELS"

    assert adapt(tmp_path) in [step.command for step in report.next]
    assert [one.path for one in sessions_of([tmp_path])] == [*hall, *yard]
    assert audit([tmp_path]).next == report.next

    # Beside them may be what is not ours: nobody asked about it.
    def shut(folder: Path) -> bool:
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return is_session(folder)

    (tmp_path / "lost+found").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("edgecnn.session.layout.is_session", shut)
        assert adapt(*roots) in [step.command for step in audit(roots).next]
    # Midnight begins a session of each.
    said = {note.split(":")[0] for note in report.notes if "look alike (" in note}
    assert said == {f"{one.parent.name}/{one.name}" for one in (*hall, *yard)}
    # A run that was stopped at its start, or ran another bundle, is of that device too.
    weeks(tmp_path / "yard" / "2026-03-03T00-00-00Z", often(0.6), about(0.7), 0, name="yard")
    assert adapt(*roots) in [step.command for step in audit(roots).next]
    # No two folders of one name: the first device alone.
    alone = f"edgecnn adapt MODEL --field {hall[0]} --labels {hall[0]} -o MODEL2"
    assert alone in [step.command for step in audit([hall[0], yard[0]]).next]
    # A device with one session is named by its root too: dates are alike.
    shutil.rmtree(hall[1])
    assert adapt(*roots) in [step.command for step in audit(roots).next]
    # Two sites may use one name.
    for path, site in ((hall[0], "Graz"), (yard[0], "Linz"), (yard[1], "Linz")):
        header = json.loads((path / "session.json").read_text())
        (path / "session.json").write_text(json.dumps(header | {"name": "gate", "site": site}))
    table = audit([hall[0], *yard]).devices
    assert {(one.called, one.sessions) for one in table} == {("gate, Graz", 1), ("gate, Linz", 2)}


@pytest.mark.parametrize(("labels", "first"), [(20, "label"), (192, "adapt")])
def test_few_labels_are_not_spent_on_adapting_before_the_gap_is_known(labels, first, tmp_path):
    path = keep_pictures(weeks(tmp_path / "s", often(0.5), about(0.9), days=8))
    log = path / "events.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kept = (x for x in events if x["event"] != "truth" or x["frame"] >= 192 - labels)
    log.write_text("".join(json.dumps(one) + "\n" for one in kept))
    assert audit([path]).next[0].command.split()[1] == first


@pytest.mark.parametrize(("names", "count", "is_enough"), [("ab", 19, False), ("aa", 10, True)])
def test_adapting_is_advised_where_it_would_take_the_pictures(names, count, is_enough, tmp_path):
    """Of several devices each needs pictures enough."""
    paths = [
        weeks(tmp_path / f"s{k}", often(0.6), about(0.9), days=8, name=name)
        for k, name in enumerate(names)
    ]
    for path in paths:
        keep_pictures(path, count)
    found = audit(paths).next
    assert any(" adapt " in step.command for step in found) == is_enough
    assert is_enough or found[0].command.startswith("edgecnn run ")


def test_many_sessions_of_one_root_are_named_by_it(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for k in range(5):
        keep_pictures(weeks(root / f"s{k}", often(0.6), about(0.9), days=8))

    def adapt(*places: Path) -> str:
        return next(step.command for step in audit(places).next if " adapt " in step.command)

    assert adapt(root) == f"edgecnn adapt MODEL --field {root} --labels {root} -o MODEL2"
    first = [root / f"s{k}" for k in range(4)]  # and not the fifth
    assert adapt(*first).count(" --field ") == 4
    monkeypatch.chdir(root)  # MODEL2 would be among the sessions that are read
    assert adapt(root).count(" --field ") == 5


@pytest.mark.parametrize("source", ["0", "folder/"])
def test_a_change_in_the_middle_of_a_session_is_said(source, tmp_path):
    """A camera that was moved; in a folder of images nothing comes before anything else."""
    rng = np.random.default_rng(0)
    events = []
    for k in range(600):
        truth = int(rng.integers(len(LABELS)))
        more = {"name": f"{k:04d}.png"} if source != "0" else {}
        right = bool(rng.random() < (0.95 if k < 400 else 0.6))
        events.append(answer_event(k, right, truth, **more))
        events.append(truth_event(k, LABELS[truth]))
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events, source=source)])
    said = [line for line in report.where if line.startswith("time last third: ")]
    assert len(said) == (source == "0")


def test_a_region_that_makes_most_of_the_gap_is_named(tmp_path):
    rng = np.random.default_rng(0)
    events = []
    for name, share in (("left", 0.95), ("right", 0.3)):
        for k in range(300):
            truth = int(rng.integers(len(LABELS)))
            events.append(answer_event(k, bool(rng.random() < share), truth, roi=name))
            events.append(truth_event(k, LABELS[truth], roi=name))
    regions = [
        {"region": [x, 0, 9, 9], "rotate": 0, "flip": None, "name": name}
        for x, name in ((0, "left"), (9, "right"))
    ]
    report = audit([write_session(tmp_path / "s", PAST_BUNDLE, events, regions=regions)])
    (part,) = (part for part in report.weak_parts if part.value == "right")
    assert f"; region right is {part.points:.1f} points below the rest." in report.verdict
    assert not any(" audit " in step.command for step in report.next)
    # What is tried on all regions together finds no setting for one of them.
    assert " --source 0 --roi right=9,0,9,9 --truth folder --log alone" in report.next[0].command
    assert "was sought for all regions: record this one alone" in report.next[0].why
