"""What `edgecnn label` asks, in which order, and what it writes."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from served import free_port
from sessions import frame_event, truth_event, write_session

from edgecnn.audit.audit import audit
from edgecnn.bundle.folder import Bundle
from edgecnn.device.label.folder_desk import FolderDesk
from edgecnn.device.label.label import LabelOptions, label
from edgecnn.device.label.session_desk import SessionDesk
from edgecnn.device.web.given import GivenLabel
from edgecnn.errors import DataError, OptionError, OutputError, SessionError
from edgecnn.session.read import open_session, truth_events

pytest.importorskip("starlette", reason="the extra web is not installed")


def given(desk, frame: int, name: str | None, by: str = "Ada", **more) -> GivenLabel:
    return GivenLabel(
        id=more.get("id", uuid4().hex),
        run=more.get("run", desk.about()["run"]),
        first=frame,
        last=frame,
        label=name,
        via="label",
        by=by,
        blind=False,
        at=more.get("at", datetime.now(timezone.utc)),
        withdrawn=more.get("withdrawn", False),
    )


def undone(desk, frame: int) -> GivenLabel:
    return given(desk, frame, None, withdrawn=True)


@pytest.fixture
def session(tmp_path, digits_bundle, digits_field) -> Path:
    """60 answers: 20 kept by chance, 10 for being hard, all of one class."""
    labels = Bundle.open(digits_bundle).card.labels
    events, files = [], sorted(digits_field.rglob("*.png"))
    for k in range(60):
        scores = [0.0] * len(labels)
        scores[0], scores[1] = 0.95 - k / 200, 0.05 + k / 200
        pool = {0: "uniform", 1: "hard"}.get(k % 3) if k % 6 != 4 else None
        more = {} if pool is None else {"pool": pool, **({"p": 0.3} if pool == "uniform" else {})}
        events.append(frame_event(k, scores, **more))
    folder = write_session(tmp_path / "session", digits_bundle, events)
    for event in events:
        if "pool" in event:
            shutil.copy(files[event["frame"]], folder / "frames" / f"{event['frame']:08d}.png")
    return folder


def test_pictures_kept_by_chance_come_first_then_the_least_certain(session):
    desk = SessionDesk([session])
    left = desk.state()["left"]
    notes, pictures = [], []
    for _ in range(left):
        question = desk.question("a")
        notes.append(question["note"])
        pictures.append(desk.picture(question["frame"]))
        assert desk.give([given(desk, question["frame"], "0")]) == [None]
    assert desk.question("a") is None
    assert all(jpeg.startswith(b"\xff\xd8") for jpeg in pictures)
    randoms = [k for k, note in enumerate(notes) if note.startswith("Random")]
    assert randoms == list(range(20))
    frames = [int(note.split()[-1]) for note in notes]
    assert frames[:20] != sorted(frames[:20])
    assert frames[20:] == sorted(frames[20:], reverse=True)  # confidence falls with the number
    desk.close()
    truths = list(truth_events(open_session(session)))
    assert [truth.frame for truth in truths] == frames
    assert [truth.why for truth in truths] == ["uniform"] * 20 + ["hard"] * (left - 20)
    assert {truth.probability for truth in truths[:20]} == {20 / 60}
    assert {truth.probability for truth in truths[20:]} == {None}
    assert {(truth.via, truth.by) for truth in truths} == {("label", "Ada")}


@pytest.mark.parametrize("kind", ["session", "folder"])
def test_a_frame_that_somebody_left_without_a_label_is_asked_of_another(session, tmp_path, kind):
    pictures = session / "frames"
    one = kind == "session"
    desk = SessionDesk([session]) if one else FolderDesk(pictures, tmp_path / "out", ["0"])
    held = desk.question("gone")["frame"]
    asked = []
    while (question := desk.question("here")) is not None:
        asked.append(question["frame"])
        assert desk.give([given(desk, question["frame"], "0", by="here")]) == [None]
    assert asked[-1] == held
    assert len(set(asked)) == len(asked)
    assert desk.state()["left"] == 0
    desk.close()
    if one:  # its label still says how it was picked
        assert list(truth_events(open_session(session)))[-1].why == "uniform"


@pytest.mark.parametrize("kind", ["session", "folder"])
def test_a_picture_that_cannot_be_read_is_passed_over(session, tmp_path, kind):
    """The page asks for what it was told to ask about, and shows nothing until it can."""
    pictures = session / "frames"
    one = kind == "session"
    files = sorted(pictures.iterdir())
    for torn in (files[0], files[3]):
        torn.write_bytes(torn.read_bytes()[:99])
    desk = SessionDesk([session]) if one else FolderDesk(pictures, tmp_path / "out", ["0"])
    num_shown = 0
    for _ in range(100):
        question = desk.question("Ada")
        if question is None:
            break
        if desk.picture(question["frame"]) is not None:
            num_shown += 1
            assert desk.give([given(desk, question["frame"], "0")]) == [None]
    assert num_shown == len(files) - 2
    assert desk.state()["left"] == desk.result().left == 0
    assert [str(files[0]) in desk.result().to_text(), str(files[3]) in desk.result().to_text()] == [
        True,
        True,
    ]
    desk.close()


def test_frames_whose_label_is_undone_have_none_and_are_asked_again(session):
    desk = SessionDesk([session])
    left = desk.state()["left"]
    frames = []
    for _ in range(5):
        frames.append(desk.question("a")["frame"])
        desk.give([given(desk, frames[-1], "0")])
    desk.give([undone(desk, frame) for frame in reversed(frames)])
    assert desk.state()["left"] == left
    assert (desk.result().labelled, desk.result().cant_tell) == (0, 0)
    desk.close()
    notes = " ".join(audit([session]).notes)
    assert "nobody can tell" not in notes
    assert "answer in view" not in notes
    again = SessionDesk([session])
    assert again.state()["left"] == left
    asked = []
    while (question := again.question("a")) is not None:
        asked.append(question["frame"])
        again.give([given(again, asked[-1], "0")])
    assert sorted(asked) == list(range(left))
    assert (again.result().labelled, again.result().cant_tell) == (left, 0)
    again.close()


def test_a_second_look_that_is_undone_leaves_the_label_of_the_file(session):
    with open(session / "events.jsonl", "a") as events:
        for k in range(60):
            events.write(json.dumps(truth_event(k, "0", via="csv", why="all")) + "\n")
    before = audit([session]).live.tally
    desk = SessionDesk([session])
    frame = desk.question("a")["frame"]
    desk.give([given(desk, frame, "1"), undone(desk, frame)])
    asked = []
    while (question := desk.question("a")) is not None:
        asked.append(question["frame"])
        assert question["note"].startswith("Second look")
        desk.give([given(desk, asked[-1], "0")])
    assert frame in asked
    desk.close()
    report = audit([session])
    assert report.live.tally == before
    assert not any("differently" in note for note in report.notes)


def test_the_page_names_the_region_and_each_region_has_its_own_label(session):
    lines = [json.loads(line) for line in (session / "events.jsonl").read_text().splitlines()]
    for event in lines:
        if event["event"] == "frame" and event["frame"] == 0:
            twin = {**event, "roi": "tens"}
            event["roi"] = "ones"
    text = "".join(json.dumps(event) + "\n" for event in [*lines, twin])
    (session / "events.jsonl").write_text(text)
    header = json.loads((session / "session.json").read_text())
    header["regions"] = [{"name": "ones"}, {"name": "tens"}]
    (session / "session.json").write_text(json.dumps(header))
    picture = session / "frames" / "00000000.png"
    for name in ("ones", "tens"):
        shutil.copy(picture, session / "frames" / f"00000000_{name}.png")
    picture.unlink()
    desk = SessionDesk([session])
    notes = {}
    while not {"Random frame 0, ones", "Random frame 0, tens"} <= set(notes):
        question = desk.question("a")
        notes[question["note"]] = question["frame"]
        desk.give([given(desk, question["frame"], "0")])
    desk.give([undone(desk, notes["Random frame 0, tens"])])
    desk.close()
    again = SessionDesk([session])
    left = [again.question(f"{k}")["note"] for k in range(again.state()["left"])]
    assert [note[-7:] for note in left if note.endswith(("ones", "tens"))] == ["0, tens"]
    again.close()


def another(session: Path, folder: Path, name: str) -> Path:
    """Another recording, by a device of this name: one answer is less sure."""
    renamed(session, folder, name)
    lines = (folder / "events.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["k"][0][1] -= len(name)
    lines[0] = json.dumps(first)
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def renamed(session: Path, folder: Path, name: str) -> Path:
    header = shutil.copytree(session, folder) / "session.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"name": name}))
    return folder


def test_a_root_of_sessions_stands_for_the_sessions_in_it(session, tmp_path):
    root = tmp_path / "root"
    for name in ("monday", "tuesday"):
        another(session, root / name, name)
    (root / "notes.txt").write_text("")
    said = label([root], LabelOptions(web=str(free_port())), on_link=interrupt)
    assert said.sessions == (root / "monday", root / "tuesday")
    assert not (tmp_path / "root_labelled").exists()


def interrupt(_link: str) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_random_frames_are_advised_only_while_there_are_some(session):
    desk = SessionDesk([session])
    for done in range(20):
        assert desk.state()["outlook"]["more"] == 20 - done
        desk.give([given(desk, desk.question("a")["frame"], str(done % 2))])
    outlook = desk.state()["outlook"]
    assert outlook["more"] == 0
    assert outlook["then"] == outlook["now"]
    desk.close()


def test_labels_of_a_file_get_a_second_look_that_speaks_for_the_same_frames(session):
    with open(session / "events.jsonl", "a") as events:
        for k in range(60):
            events.write(json.dumps(truth_event(k, "0", via="csv", why="all")) + "\n")
    before = audit([session]).live.tally
    desk = SessionDesk([session])
    left = desk.state()["left"]
    assert desk.state()["outlook"]["more"] == 0  # a second look makes no figure tighter
    for n in range(left):
        question = desk.question("a")
        assert question["note"].startswith("Second look")
        desk.give([given(desk, question["frame"], "1" if n < 3 else "0")])
    assert desk.question("a") is None
    desk.close()
    report = audit([session])
    assert (report.live.tally.correct, report.live.tally.total) == (before.correct - 3, 60)
    assert any("Ada and csv labelled 3 frames differently" in n for n in report.notes)


def test_what_two_people_labelled_differently_is_asked_first_and_a_third_decides(session):
    with open(session / "events.jsonl", "a") as events:
        for k in (0, 1, 3, 6, 7):
            for by in ("ann", "bob"):
                label = "1" if by == "bob" and k in (1, 6) else "0"
                truth = truth_event(k, label, via="label", by=by, why="uniform", p=0.3)
                events.write(json.dumps(truth) + "\n")
    desk = SessionDesk([session])
    notes = []
    for _ in range(2):
        question = desk.question("cid")
        notes.append(question["note"])
        desk.give([given(desk, question["frame"], "0", by="cid")])
    assert sorted(notes) == ["Second look: frame 1", "Second look: frame 6"]
    assert desk.question("cid")["note"].startswith("Random frame")
    desk.close()
    again = SessionDesk([session])
    assert again.question("dan")["note"].startswith("Random frame")
    again.close()


def test_the_page_names_the_device_and_of_several_each_pictures_own(session, tmp_path):
    def called(name: str) -> Path:
        return another(session, tmp_path / name.replace(" ", "_"), name)

    named = {}
    hall, yard = called("hall"), called("yard 2")
    for key, places in (("hall", [hall]), ("both", [hall, yard]), ("plain", [session])):
        desk = SessionDesk(places)
        named[key] = desk.about()["name"], desk.question("x")["note"]
        desk.close()
    assert [named[key][0] for key in named] == ["hall", "2 devices", "session"]
    assert named["both"][1].endswith((", hall", ", yard 2"))
    assert "," not in named["hall"][1]
    with open(hall / "events.jsonl", "a") as events:
        for k in range(60):
            events.write(json.dumps(truth_event(k, "0", via="csv", why="all")) + "\n")
    desk = SessionDesk([hall, yard])
    asked = []
    for _ in range(40):
        asked.append(desk.question("x")["note"])
        desk.give([given(desk, desk.question("x")["frame"], "0")])
    desk.close()
    # What has no label comes before second looks.
    assert [note.startswith("Random frame") for note in asked] == [True] * 20 + [False] * 20
    assert [note.endswith(", yard 2") for note in asked] == [True] * 20 + [False] * 20


def test_a_start_again_goes_on_and_a_label_sent_again_is_written_once(session):
    desk = SessionDesk([session])
    first = desk.question("a")["frame"]
    same = given(desk, first, "0")
    desk.give([same, same])
    desk.close()
    again = SessionDesk([session])
    assert again.about()["run"] == desk.about()["run"]
    assert again.give([same]) == [None]
    assert again.state()["left"] == desk.state()["left"]
    assert again.question("a")["frame"] != first
    assert len(list(truth_events(open_session(session)))) == 1
    again.close()


def test_the_figure_is_of_the_bundle_of_the_first_session(session, tmp_path):
    other = shutil.copytree(session, tmp_path / "other")
    header = json.loads((other / "session.json").read_text())
    header["bundle"]["sha256"] = "0" * 64
    (other / "session.json").write_text(json.dumps(header))
    desk = SessionDesk([session, other])
    for _ in range(desk.state()["left"]):
        assert desk.give([given(desk, desk.question("a")["frame"], "0")]) == [None]
    assert desk.state()["live"]["total"] == SessionDesk([session]).state()["live"]["total"] > 0
    desk.close()
    # An audit takes sessions of one bundle, so that each has a command of its own.
    last = desk.result().to_text().splitlines()[-2:]
    assert last == [f"next      edgecnn audit {session}", f"          edgecnn audit {other}"]


def test_what_does_not_fit_is_refused(session):
    desk = SessionDesk([session])
    whys = desk.give(
        [given(desk, 0, "<b>"), given(desk, 0, "0", run="other"), given(desk, 999, "0")]
    )
    assert all(whys)
    assert list(truth_events(open_session(session))) == []
    desk.close()


def test_a_session_without_pictures_is_one_line(session):
    shutil.rmtree(session / "frames")
    with pytest.raises(OptionError, match="has no kept pictures"):
        SessionDesk([session])


def test_a_copys_labels_merge_into_the_original_once(session, tmp_path):
    copy = shutil.copytree(session, tmp_path / "copy")
    desk = SessionDesk([copy])
    for _ in range(3):
        desk.give([given(desk, desk.question("a")["frame"], "1")])
    desk.close()
    results = [label([session], LabelOptions(merge=copy)) for _ in range(2)]
    assert [(one.added, one.known) for one in results] == [(3, 0), (0, 3)]
    assert len(list(truth_events(open_session(session)))) == 3


@pytest.fixture
def images(tmp_path, digits_field) -> Path:
    """Ten images, two of the same name in folders."""
    folder = tmp_path / "images"
    for k, file in enumerate(sorted(digits_field.rglob("*.png"))[:10]):
        place = folder / ("monday" if k % 2 else "tuesday") / f"{k // 2}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_a_folder_is_sorted_into_classes_and_nothing_is_lost(images, tmp_path):
    (images / "notes.txt").write_text("of the field")
    before, out = digests(images), tmp_path / "out"
    desk = FolderDesk(images, out, ["0, 1"])
    names = {}
    for k in range(10):
        question = desk.question("a")
        name = ["0", "1", None, "none of these"][k % 4]
        names[question["name"]] = name
        assert desk.picture(question["frame"]).startswith(b"\xff\xd8")
        assert desk.give([given(desk, question["frame"], name)]) == [None]
    assert desk.question("a") is None
    assert digests(images) == before
    copies = {k: v for k, v in digests(out).items() if k != "labels.csv"}
    kept = {f"{name}/{path}": before[path] for path, name in names.items() if name in ("0", "1")}
    assert copies == kept
    assert (desk.result().labelled, desk.result().cant_tell, desk.result().left) == (8, 2, 0)
    assert "1 file that is no picture is passed over: 1 .txt" in desk.result().to_text()


def test_a_corrected_image_moves_and_a_start_again_remembers(images, tmp_path):
    out = tmp_path / "out"
    desk = FolderDesk(images, out, ["a", "b"])
    frame = desk.question("x")["frame"]
    name = desk.question("x")["name"]
    desk.give([given(desk, frame, "a"), given(desk, frame, "b")])
    assert sorted(digests(out)) == [f"b/{name}", "labels.csv"]
    with open(out / "labels.csv", "a") as file:
        file.write("torn")  # the program was killed here
    again = FolderDesk(images, out)
    assert again.about()["labels"] == ["a", "b"]
    assert again.state()["left"] == 9
    assert again.question("x")["frame"] != frame
    assert again.result().to_text().endswith(f"next      edgecnn evaluate BUNDLE {out}\n")
    again.give([given(again, frame, None)])
    # An output without a class is nothing to evaluate.
    assert again.result().to_text().endswith(f"next      edgecnn label {images} -o {out}\n")
    assert sorted(digests(out)) == ["labels.csv"]
    rows = list(csv.DictReader((out / "labels.csv").read_text().splitlines()))
    assert [row["label"] for row in rows] == ["a", "b", ""]


@contextmanager
def full_disk(monkeypatch) -> Iterator[None]:
    """Takes 20 bytes of a line of labels, or all, and nothing to the end."""
    write = os.write

    def writing(handle: int, data: memoryview) -> int:
        if len(data) <= 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data[:20])

    def syncing(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", writing)
        patch.setattr(os, "fsync", syncing)
        yield


def test_a_label_that_a_full_disk_refused_is_written_when_it_is_sent_again(session, monkeypatch):
    desk = SessionDesk([session])
    label = given(desk, desk.question("a")["frame"], "1")
    with full_disk(monkeypatch), pytest.raises(OutputError):
        desk.give([label])
    assert desk.give([label]) == [None]
    desk.close()
    assert [event.label for event in truth_events(open_session(session))] == ["1"]


def test_an_image_that_the_journal_could_not_name_is_refused_at_once(images, tmp_path):
    (images / os.fsdecode(b"k\xff.png")).symlink_to("nowhere")
    with pytest.raises(DataError, match=r"'k\\udcff.png' is not UTF-8 text; rename it"):
        FolderDesk(images, tmp_path / "out", ["a"])


def test_an_image_that_a_full_disk_refused_is_sorted_when_it_is_sent_again(
    images, tmp_path, monkeypatch
):
    desk = FolderDesk(images, tmp_path / "out", ["a"])
    question = desk.question("x")
    label = given(desk, question["frame"], "a")
    with full_disk(monkeypatch), pytest.raises(OutputError):
        desk.give([label])
    journal = tmp_path / "out" / "labels.csv"
    journal.write_bytes(journal.read_bytes()[:-9] + "ö".encode()[:1])
    assert desk.give([label]) == [None]
    assert (desk.result().labelled, desk.question("x")["frame"] != question["frame"]) == (1, True)
    assert FolderDesk(images, tmp_path / "out").result().labelled == 1


def test_an_image_whose_label_is_undone_has_none_and_is_asked_again(images, tmp_path):
    """Also in the journal of an older edgecnn, which had no column for it."""
    out = tmp_path / "out"
    desk = FolderDesk(images, out, ["a"])
    frame, name = desk.question("x")["frame"], desk.question("x")["name"]
    desk.give([given(desk, frame, "a")])
    journal = out / "labels.csv"
    rows = [line.rsplit(",", 1)[0] for line in journal.read_text().splitlines()]
    journal.write_text("\n".join(rows) + "\n")
    assert rows[0] == "path,label,by,at"
    old = FolderDesk(images, out)
    old.give([undone(old, frame)])
    for one in (old, FolderDesk(images, out)):
        assert (one.result().labelled, one.result().cant_tell, one.result().left) == (0, 0, 10)
        assert one.question("x") == {"frame": frame, "name": name}
    assert sorted(digests(out)) == ["labels.csv"]
    found = list(csv.DictReader(journal.read_text().splitlines()))
    assert [(row["label"], row["withdrawn"]) for row in found] == [("a", ""), ("", "1")]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["none of these"], "the page has a button for it already"),
        (["Cat", "cat"], "it is the class 'Cat' but for upper and lower case"),
        (['<b>..&"q"'], "the name of a folder can't have '<'"),
        (["a\tb"], "the name of a folder can't have '\\t'"),
        ([".x"], "it begins with a dot"),
        (["x" * 61], "it has 61 characters, expected at most 60"),
        (["x", ""], "it is empty or has spaces around it"),
    ],
)
def test_a_class_that_cant_be_one_is_refused_with_the_reason(images, tmp_path, names, why):
    with pytest.raises(OptionError) as raised:
        FolderDesk(images, tmp_path / "out", names)
    assert str(raised.value).startswith(f"--classes: {names[-1]!r} can't be a class: ")
    assert why in str(raised.value)
    desk = FolderDesk(images, tmp_path / "out", names[:-1])
    assert why in desk.add_class(names[-1])


def test_a_page_that_cant_be_served_leaves_no_folder_behind(images):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=f"can't serve the page at 127.0.0.1:{port}"):
            label([images], LabelOptions(web=str(port)))
    with pytest.raises(OptionError, match=r"can't serve the page at 192\.0\.2\.1:8090"):
        label([images], LabelOptions(web="192.0.2.1"))
    assert [path.name for path in images.parent.iterdir()] == [images.name]


def test_a_page_that_is_served_makes_the_folder_before_the_first_label(images):
    made: list[bool] = []

    def stop(_link: str) -> None:
        made.append((images.parent / "images_labelled" / "labels.csv").is_file())
        os.kill(os.getpid(), signal.SIGINT)

    result = label([images], LabelOptions(web=str(free_port())), on_link=stop)
    assert (made, result.left) == ([True], 10)


def test_a_class_can_be_added_if_it_can_be_a_folder(images, tmp_path):
    desk = FolderDesk(images, tmp_path / "out", ["a"])
    assert desk.add_class("café au lait") is None
    for name in ("", ".", "..", ".x", "a/b", "a\\b", "a\0", "A", "x" * 61, " x", "None of these"):
        assert desk.add_class(name)
    assert desk.about()["labels"] == ["a", "café au lait"]


def test_an_output_that_would_mix_with_other_files_is_refused(images, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for output in (images, images / "sorted", tmp_path / "full", tmp_path / "full" / "x"):
        with pytest.raises(OptionError, match="-o"):
            FolderDesk(images, output)


def test_sessions_and_folders_do_not_mix(session, images):
    for paths, options in (
        ([session, images], LabelOptions()),
        ([images, images], LabelOptions()),
        ([session], LabelOptions(classes=("a",))),
        ([images], LabelOptions(merge=session)),
    ):
        with pytest.raises(OptionError):
            label(paths, options)
    with pytest.raises(DataError, match="expected a SESSION or a folder of images"):
        label([images / "no"], LabelOptions())


def test_a_session_that_is_given_twice_is_labelled_once_and_copies_are_refused(session, tmp_path):
    once = SessionDesk([session])
    twice = SessionDesk([session, session.parent / "." / session.name])
    assert twice.state()["left"] == once.state()["left"]
    assert twice.result().sessions == (session,)
    copy = shutil.copytree(session, tmp_path / "copy")
    with pytest.raises(OptionError, match="is a copy of"):
        SessionDesk([session, copy])
    with pytest.raises(SessionError, match="holds the same answers as") as refused:
        SessionDesk([session, renamed(session, tmp_path / "renamed", "hall")])
    with pytest.raises(SessionError) as by_audit:  # one line in both
        audit([session, tmp_path / "renamed"])
    assert str(refused.value) == str(by_audit.value)
    once.close()
    twice.close()


def test_labels_of_sessions_with_nothing_to_look_at_count_as_in_the_audit(
    session, digits_bundle, tmp_path
):
    labels = Bundle.open(digits_bundle).card.labels
    scores = [1.0] + [0.0] * (len(labels) - 1)
    root = tmp_path / "root"
    root.mkdir()
    session = session.rename(root / "b")
    empty = {"a": [], "c": [frame_event(0, scores), truth_event(0, "1")]}
    for name, events in empty.items():
        write_session(root / name, digits_bundle, events, name=name)
    desk = SessionDesk([root / name for name in "abc"])
    desk.give([given(desk, desk.question("a")["frame"], "0")])
    found = desk.result()
    assert (found.sessions, found.labelled) == ((session, root / "c"), 1)
    assert found.live == audit([root]).live.tally
    assert (found.live.correct, found.live.total) == (1, 2)
    assert found.to_text().endswith(f"next      edgecnn audit {session} {root / 'c'}\n")
    assert f"{root / 'a'} holds no frame and is left out" in found.to_text()
    assert f"{root / 'c'} has no kept pictures to look at; its labels count" in found.to_text()
    assert found.written == (session / "events.jsonl",)
    desk.close()
    with pytest.raises(OptionError, match="none of the 2 sessions"):
        SessionDesk([root / "a", root / "c"])
