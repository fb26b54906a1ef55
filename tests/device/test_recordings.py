"""Recordings as people have them: numbered files, raw streams, CSV files of spreadsheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.device.capture.sources import open_source
from edgecnn.device.live.truth import load_truths
from edgecnn.device.options import RunOptions
from edgecnn.errors import SourceError, TruthError
from edgecnn.session.truth_csv import Footage, labels_from_csv

LABELS = ("a", "b")


def picture(k: int) -> bytes:
    image = np.full((32, 32, 3), 10 * k % 250, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


def names_read(source: str) -> list[str]:
    with open_source(source) as opened:
        return [frame.name or "" for frame in opened]


@pytest.mark.parametrize(
    "names",
    [
        ["frame0.jpg", "frame1.jpg", "frame2.jpg", "frame10.jpg", "frame11.jpg"],
        ["img_1.jpg", "img_9.jpg", "img_10.jpg", "img_100.jpg"],
        ["1.jpg", "2.jpg", "10.jpg"],
        ["day2/3.jpg", "day10/1.jpg", "day10/20.jpg"],
        ["000.jpg", "001.jpg", "010.jpg"],
    ],
)
def test_image_folders_are_read_in_the_order_of_their_numbers(tmp_path, names):
    for k, name in enumerate(reversed(names)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture(k))
    assert names_read(str(tmp_path)) == names
    pattern = str(tmp_path / "**" / "*.jpg")
    assert [Path(name).name for name in names_read(pattern)] == [Path(n).name for n in names]
    with open_source(str(tmp_path)) as source:
        said = [w for w in source.take_warnings() if "order of their numbers" in w]
        assert source.order is not None
        assert source.order.startswith(names[0])
        assert not any(names[0] in warning for warning in said)  # the result has it once
    assert bool(said) == (names != sorted(names))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A stream of JPEGs as rpicam-vid --codec mjpeg writes it: no container, no times."""
    path = tmp_path / "field.mjpeg"
    path.write_bytes(b"".join(picture(k) for k in range(12)))
    return path


def test_a_raw_stream_has_times_only_with_fps(raw):
    with open_source(str(raw)) as source:
        assert [frame.seconds for frame in source] == [None] * 12
    with open_source(str(raw), RunOptions(fps=4.0)) as source:
        assert [frame.seconds for frame in source] == [k / 4 for k in range(12)]


def test_truth_by_seconds_of_a_raw_stream_needs_fps(raw, tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("start,end,label\n0,1,a\n1,3,b\n")
    with (
        open_source(str(raw)) as source,
        pytest.raises(TruthError, match=r"--fps") as caught,
    ):
        load_truths([table], source, LABELS)
    assert "\n" not in str(caught.value)
    with open_source(str(raw), RunOptions(fps=4.0)) as source:
        load_truths([table], source, LABELS).close()
    table.write_text("frame,label\n0,a\n")
    with open_source(str(raw)) as source:
        load_truths([table], source, LABELS).close()


@pytest.mark.parametrize(
    ("rows", "length", "asked"),
    [
        ("frame,label\n1,a\n2,b\n3,a\n", 3, True),
        ("first,last,label\n1,5,a\n6,10,b\n", 10, True),
        ("frame,label\n0,a\n1,b\n3,a\n", 3, False),
        ("frame,label\n1,a\n2,b\n", 3, False),
        ("frame,label\n1,a\n3,b\n", None, False),
        ("frame,label\n1.0,a\n2.0,b\n3.0,a\n", 3, True),
        ("frame,label\n1,a\n20,b\n", 10, False),
    ],
)
def test_a_file_that_counts_from_1_is_asked_about(tmp_path, rows, length, asked):
    table = tmp_path / "truth.csv"
    table.write_text(rows)
    notes = labels_from_csv(table, Footage(live=False, length=length), LABELS).notes
    assert asked == ("`--truth-offset -1`" in "".join(notes))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("frame,label\n0,a\n5,b\n10,a\n500,b\n", "line 4: 2 of its 4 rows begin after frame 9"),
        ("frame,label\n700,a\n701,b\n", "line 2: 2 of its 2 rows"),
        ("first,last,label\n0,4,a\n5,30,b\n", ""),
    ],
)
def test_rows_after_the_last_frame_are_said(tmp_path, rows, said):
    table = tmp_path / "truth.csv"
    table.write_text(rows)
    notes = "".join(labels_from_csv(table, Footage(live=False, length=10, most=4), LABELS).notes)
    assert bool(notes) == bool(said)
    assert said in notes


@pytest.mark.parametrize(("rows", "asked"), [(20, True), (100, True), (50, False)])
def test_a_file_of_the_frames_that_are_read_may_count_from_1_too(tmp_path, rows, asked):
    table = tmp_path / "truth.csv"
    table.write_text("frame,label\n" + "".join(f"{k},a\n" for k in range(1, rows + 1)))
    notes = labels_from_csv(table, Footage(live=False, length=100, most=20), LABELS).notes
    assert ["`--truth-offset -1`" in note for note in notes] == [True] * asked


def test_names_that_are_not_in_the_source_are_said_where_they_are_most(tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("name,label\n./x/1.jpg,a\ny/1.jpg,b\ny/2.jpg,b\n")
    footage = Footage(live=False, names=["x/1.jpg", "x/2.jpg"])
    csv = labels_from_csv(table, footage, LABELS)
    assert csv.names == {"x/1.jpg": "a"}
    assert "2 of its 3 names" in csv.notes[0]


def test_the_offset_mends_a_file_that_counts_from_1(tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("frame,label\n1,a\n2,b\n3,a\n")
    csv = labels_from_csv(table, Footage(live=False, length=3, offset=-1), LABELS)
    assert [csv.find(k, None, None, None) for k in range(3)] == ["a", "b", "a"]
    assert not csv.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("start;end;label\n0;1,5;a\n1,5;3;b\n", "semicolons"),
        ('start,end,label\n"0,0","1,5",a\n"1,5","3,0",b\n', ""),
        ("start,end,label\n0,1.5,a,,\n1.5,3,b,\n", ""),
        ("start\tend\tlabel\n0\t1.5\ta\n1.5\t3\tb\n", "tabs"),
        ("start,end,label\n00:00:00,00:00:01.5,a\n00:00:01.5,00:00:03,b\n", "count from"),
        ("start;end;label\n0:00;0:01,5;a\n0:01,5;0:03;b\n", "count from"),
        ("start,end,label\n0,1.5,a\n1.5,3,b\n", ""),
        ("sep=;\r\nstart;end;label\r\n0;1,5;a\r\n1,5;3;b\r\n", "semicolons"),
        ('"sep=,"\nstart,end,label\n0,1.5,a\n1.5,3,b\n', ""),
        ("sep=\t\nstart\tend\tlabel\n0\t1.5\ta\n1.5\t3\tb\n", "tabs"),
    ],
)
def test_the_files_of_spreadsheets_are_read_and_said(tmp_path, text, said):
    table = tmp_path / "truth.csv"
    table.write_text(text)
    csv = labels_from_csv(table, Footage(live=False), LABELS)
    assert [csv.find(0, None, t, None) for t in (0.0, 1.4, 1.6, 2.9, 3.1)] == [*"aabb", None]
    assert said in " ".join(csv.notes)
    assert bool(csv.notes) == bool(said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end,label\n0,0,1,5,a\n", "numbers with a point"),
        ("frame,label\n0.0,a\n0.5,b\n", "seconds go into columns start,end,label"),
        ("frame,label\n0,a\n1,\n", "leave the row out"),
        ("start,end,label\n2026-01-01T10:00:00,2026-01-01T11:00:00,a\n", "hh:mm:ss from its start"),
        ("start;end;label\n1.000,5;2;a\n", "expected seconds"),
        ("sep=|\nframe|label\n0|a\n", r"line 1: 'sep=\|', expected sep= with a comma"),
        ("sep=;\nframe;label\n0;lion\n", "line 3: label 'lion'"),
        ("sep=;\nnumber;label\n0;a\n", "line 2: columns 'number,label', expected frame,label"),
    ],
)
def test_what_is_ambiguous_is_refused_with_its_cause(tmp_path, text, message):
    table = tmp_path / "truth.csv"
    table.write_text(text)
    with pytest.raises(TruthError, match=message) as caught:
        labels_from_csv(table, Footage(live=False), LABELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "late"),
    [
        ("start,end,label\n0,1500,a\n1500,3000,b\n3000,4000,a\n", "2 of its 3 rows"),
        ("start,end,label\n00:00,01:00,a\n10:00,11:00,b\n", "1 of its 2 rows"),
        ("start,end,label\n0,20,a\n20,45,b\n", ""),
    ],
)
def test_times_after_the_end_of_the_recording_are_asked_about(tmp_path, text, late):
    table = tmp_path / "truth.csv"
    table.write_text(text)
    notes = " ".join(labels_from_csv(table, Footage(live=False, seconds=40.0), LABELS).notes)
    assert ("are its times seconds?" in notes) == bool(late)
    assert late in notes


def test_an_empty_recording_is_refused(tmp_path):
    (tmp_path / "empty.mjpeg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError), open_source(str(tmp_path / "empty.mjpeg")) as source:
        list(source)
