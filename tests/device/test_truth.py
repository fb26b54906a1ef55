"""Truth from folders and CSV files."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from helpers_run import one_line

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.capture.stills import ImageSource
from edgecnn.device.live import truth_sensor
from edgecnn.device.live.truth import load_truths
from edgecnn.device.options import RunOptions
from edgecnn.errors import TruthError

LABELS = ("cat", "dog", "çay")
START = datetime(2026, 5, 1, 12, 0, 0, tzinfo=timezone.utc)
OPTIONS = RunOptions()
ANSWER = Prediction(0, "cat", 0.9, (0.9, 0.1))


class Recording(Source):
    """A video as far as the truth cares."""


class Camera(Source):
    live = True


def recording() -> Source:
    return Recording(OPTIONS, threading.Event())


def camera() -> Source:
    return Camera(OPTIONS, threading.Event())


def images(*names: str) -> ImageSource:
    return ImageSource([Path("/x", n) for n in names], list(names), OPTIONS, threading.Event())


def frame(index: int = 0, *, name: str | None = None, seconds: float | None = None) -> Frame:
    at = START + timedelta(seconds=seconds or 0)
    return Frame(np.zeros((2, 2, 3), np.uint8), index, at, time.monotonic(), name, seconds)


def load_truth(name: str | Path, source: Source, labels: tuple[str, ...]):
    """Asks the one truth source that a name makes, frame by frame."""
    truths = load_truths([name], source, labels)

    def label(of: Frame) -> str | None:
        truths.observe(of, ANSWER)
        found = [event.label for event in truths.take()]
        assert len(found) < 2
        return found[0] if found else None

    label.via = truths.via
    label.truths = truths
    return label


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "truth.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_single_frames_have_the_label_of_their_row_and_gaps_have_none(tmp_path):
    truth = load_truth(write(tmp_path, "frame,label\n3,cat\n5,dog\n"), recording(), LABELS)
    assert [truth(frame(k)) for k in range(7)] == [None, None, None, "cat", None, "dog", None]
    assert truth.via == ("csv",)


def test_ranges_include_both_ends_and_may_touch_repeat_and_come_in_any_order(tmp_path):
    rows = "first,last,label\n10,12,dog\n0,4,cat\n3,6,cat\n13,13,çay\n"
    truth = load_truth(write(tmp_path, rows), recording(), LABELS)
    found = [truth(frame(k)) for k in range(15)]
    assert found == ["cat"] * 7 + [None] * 3 + ["dog"] * 3 + ["çay", None]


def test_times_count_from_the_start_and_exclude_their_end(tmp_path):
    rows = "start,end,label\n0,10,cat\n10,20,cat\n20,30.5,dog\n"
    truth = load_truth(write(tmp_path, rows), recording(), LABELS)
    found = [truth(frame(seconds=s)) for s in range(40)]
    # A frame a second: of each change of the label the one before, at and after it.
    assert found == ["cat"] * 19 + [None] * 3 + ["dog"] * 8 + [None] * 10
    assert truth.truths.guarded == 4


def test_the_guard_band_is_as_wide_as_the_95th_percentile_of_the_age_plus_one_frame(tmp_path):
    truth = load_truth(write(tmp_path, "start,end,label\n0,30,cat\n30,99,dog\n"), camera(), LABELS)
    found = []
    for second in range(60):
        late = frame(seconds=second)
        found.append(truth(replace(late, captured=late.captured - 3.5)))
    assert found == ["cat"] * 26 + [None] * 9 + ["dog"] * 25
    assert truth.truths.guarded == 9


def test_truth_by_frame_number_needs_no_guard_band(tmp_path):
    truth = load_truth(write(tmp_path, "first,last,label\n0,9,cat\n10,19,dog\n"), camera(), LABELS)
    assert [truth(frame(k, seconds=k)) for k in range(20)] == ["cat"] * 10 + ["dog"] * 10
    assert truth.truths.guarded == 0


def test_iso_times_are_utc_unless_they_say_otherwise(tmp_path):
    rows = (
        "start,end,label\n2026-05-01T12:00:00Z,2026-05-01T12:00:10,cat\n"
        "2026-05-01T14:00:10+02:00,2026-05-01T12:00:20Z,dog\n"
    )
    truth = load_truth(write(tmp_path, rows), camera(), LABELS)
    found = [truth(frame(seconds=s)) for s in range(25)]
    assert found[2:9] == ["cat"] * 7
    assert found[12:19] == ["dog"] * 7
    assert found[21:] == [None] * 4


def test_names_fit_by_path_or_by_file_name(tmp_path):
    source = images("a/1.png", "b/2.png", "b/3.png")
    path = write(tmp_path, "name,label\na/1.png,cat\n2.png,dog\nelsewhere.png,dog\n")
    truth = load_truth(path, source, LABELS)
    assert [truth(frame(name=n)) for n in source.names] == ["cat", "dog", None]


def test_a_byte_order_mark_crlf_spaces_blank_lines_and_other_columns_are_fine(tmp_path):
    raw = b'\xef\xbb\xbfFrame, Note ,Label\r\n1,"a, b", \xc3\xa7ay \r\n\r\n2,x,cat\r\n'
    truth = load_truth(write(tmp_path, raw), recording(), LABELS)
    assert [truth(frame(k)) for k in range(4)] == [None, "çay", "cat", None]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("frame,label\n", "no rows"),
        ("frame:label\n1:cat\n", "line 1: columns 'frame:label'"),
        ("frame\n1\n", "line 1: columns 'frame'"),
        ("first,label\n1,cat\n", "line 1: columns"),
        ("frame,label,label\n1,cat,cat\n", "'label' appears twice"),
        ("frame,label\n1,cat\n2,lion\n", "line 3: label 'lion' is not in the bundle"),
        ("frame,label\n1,nothing\n", "'çay'; 'none of these' is for what is none of them"),
        ("frame,label\n1,\n", "line 2: label ''"),
        ("frame,label\nx,cat\n", "line 2: 'x', expected a frame number"),
        ("frame,label\n-1,cat\n", "line 2: '-1'"),
        ("frame,label\n1.5,cat\n", "line 2: '1.5'"),
        ("frame,label\n٣,cat\n", "expected a frame number"),
        (
            "frame,label\n1,cat\n\n1,dog\n",
            "line 4: overlaps line 2, and they disagree ('cat', 'dog')",
        ),
        ("frame,label\n1,cat,3\n", "line 2: 3 cells, expected 2"),
        ("frame,label\n1\n", "line 2: 1 cells, expected 2"),
        ("first,last,label\n5,4,cat\n", "line 2: frames 5 to 4 run backwards"),
        ("first,last,label\n0,9,cat\n20,30,cat\n9,12,dog\n", "line 4: overlaps line 2"),
        ("first,last,label\n0,99,cat\n5,6,cat\n50,51,dog\n", "line 4: overlaps line 2"),
        ("start,end,label\n3,3,cat\n", "line 2: 3 to 3 is empty or runs backwards"),
        ("start,end,label\n0,nan,cat\n", "line 2: 'nan', expected seconds"),
        ("start,end,label\n-1,2,cat\n", "line 2: '-1', expected seconds"),
        ("start,end,label\n0,inf,cat\n", "line 2: 'inf', expected seconds"),
        ("start,end,label\n0,2026-05-01T12:00:00Z,cat\n", "expected seconds"),
        ("start,end,label\n2026-05-01T12:00:00Z,2026-05-01T13:00:00Z,cat\n", "is a recording"),
        ("name,label\na.png,cat\n", "names fit an image folder only"),
        (b"frame,label\n1,\xff\xfe\n", "not UTF-8"),
        ('frame,label\n1,"cat\n', "not a CSV file"),
        (b"PK\x03\x04\x00\x00", "line 1: columns"),
    ],
)
def test_a_faulty_csv_is_refused_in_one_line_that_says_where(tmp_path, content, expected):
    with pytest.raises(TruthError) as error:
        load_truth(write(tmp_path, content), recording(), LABELS)
    assert expected in one_line(error.value)
    assert "truth.csv" in str(error.value)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00"])
def test_a_live_source_with_a_bad_time_of_day_is_refused(tmp_path, text):
    path = write(tmp_path, f"start,end,label\n2026-05-01T12:00:00Z,{text},cat\n")
    with pytest.raises(TruthError, match=r"line 2: .*expected an ISO 8601 time"):
        load_truth(path, camera(), LABELS)


def test_images_have_no_time_and_names_must_hit_something(tmp_path):
    with pytest.raises(TruthError, match="images have no time"):
        load_truth(write(tmp_path, "start,end,label\n0,1,cat\n"), images("a.png"), LABELS)
    with pytest.raises(TruthError, match="none of its 1 names"):
        load_truth(write(tmp_path, "name,label\nz.png,cat\n"), images("a.png"), LABELS)
    path, source = write(tmp_path, "name,label\n1.png,cat\n"), images("a/1.png", "b/1.png")
    with pytest.raises(TruthError, match="name of 2 images"):
        load_truth(path, source, LABELS)


def test_an_absent_truth_file_is_refused(tmp_path):
    with pytest.raises(TruthError, match="does not exist; expected none, folder, keys,"):
        load_truth(tmp_path / "no.csv", recording(), LABELS)
    with pytest.raises(TruthError, match="can't read"):
        load_truth(tmp_path, recording(), LABELS)


def test_folders_give_the_first_folder_below_the_source_as_the_class():
    source = images("cat/day1/1.png", "dog/2.png")
    truth = load_truth("folder", source, LABELS)
    assert [truth(frame(name=n)) for n in source.names] == ["cat", "dog"]
    splits = images("train/cat/1.png", "test/dog/2.png")
    truth = load_truth("folder", splits, LABELS)
    assert [truth(frame(name=n)) for n in splits.names] == ["cat", "dog"]


def test_a_folder_that_is_no_class_is_refused_with_the_labels_listed():
    with pytest.raises(TruthError, match=r"'lion', which is no label .*'cat', 'dog', 'çay'"):
        load_truth("folder", images("cat/1.png", "lion/2.png"), LABELS)
    with pytest.raises(TruthError, match="needs an image folder"):
        load_truth("folder", recording(), LABELS)


def at_the_end(content: str, source: Source, tmp_path: Path, **options: int) -> list[str]:
    """What a run of ten frames, one a second, says of a truth file when it is over."""
    truths = load_truths([write(tmp_path, content)], source, LABELS, **options)
    source.take_warnings()
    for k in range(10):
        truths.observe(frame(k, seconds=k), ANSWER)
    truths.close()
    truths.close()  # is said once
    return list(source.take_warnings())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "start,end,label\n2026-05-01T14:00:00,2026-05-01T14:10:00,cat\n",
            "times go from 2026-05-01 14:00:00 UTC to 2026-05-01 14:10:00 UTC, and the frames "
            "from 2026-05-01 12:00:00 UTC to 2026-05-01 12:00:09 UTC; they fit if they are times "
            "of UTC+02:00: write the zone behind each, as 12:00+02:00",
        ),
        (
            "start,end,label\n2026-05-01T06:30:00,2026-05-01T06:31:00,cat\n",
            "of UTC-05:30: write the zone",
        ),
        ("start,end,label\n2026-04-01T12:00:00Z,2026-04-01T12:10:00Z,cat\n", "12:00:09 UTC"),
        ("start,end,label\n20,30,cat\n", "from 20.0 to 30.0 s, and the frames from 0.0 to 9.0 s"),
        ("first,last,label\n50,60,cat\n", "from frame 50 to 60, and the frames from 0 to 9"),
    ],
)
def test_a_file_that_is_about_no_frame_of_the_run_says_so_at_its_end(tmp_path, content, said):
    (warning,) = at_the_end(content, camera(), tmp_path)
    assert f"{tmp_path / 'truth.csv'} is about no frame that was answered: " in warning
    assert said in warning
    assert ("zone" in warning) == ("zone" in said)


@pytest.mark.parametrize(
    "content",
    [
        "start,end,label\n2026-05-01T12:00:08,2026-05-01T14:10:00,cat\n",
        "start,end,label\n9,30,cat\n",  # its one frame is near the change
        "frame,label\n4,cat\n",
    ],
)
def test_a_file_that_is_about_some_frame_says_nothing(tmp_path, content):
    assert at_the_end(content, camera(), tmp_path) == []


def test_rows_after_the_end_of_a_recording_are_said_once(tmp_path):
    source = images(*(f"{k}.png" for k in range(10)))
    truths = load_truths([write(tmp_path, "frame,label\n50,cat\n51,cat\n")], source, LABELS)
    for k in range(10):
        truths.observe(frame(k), ANSWER)
    truths.close()
    (warning,) = source.take_warnings()
    assert warning.endswith("is it the truth of another recording?")


def test_times_of_a_camera_may_be_seconds_since_1970(tmp_path):
    start = START.timestamp()
    source = camera()
    file = write(tmp_path, f"start,end,label\n{start - 9:.0f},{start + 5:.0f},cat\n")
    truth = load_truth(file, source, LABELS)
    assert [truth(frame(k, seconds=k)) for k in range(9)] == ["cat"] * 4 + [None] * 5
    assert any("count from 1970 (UTC)" in note for note in source.take_warnings())


@pytest.mark.parametrize(
    ("before", "row", "zone", "labels"),
    [
        ("", "2026-05-01T14:00:00,cat", "UTC+02:00", []),
        # After two hours frames would get the labels of two hours ago.
        ("2026-05-01T11:00:00,dog\n", "2026-05-01 14:00:00;cat", "UTC+02:00", []),
        ("2026-05-01T11:00:00,dog\n", "2026-05-01T12:00:07.5,cat", "", ["dog"] * 7 + ["cat"]),
        ("2026-05-01T11:00:00,dog\n", "2026-05-01T11:30:00,cat", "", ["cat"] * 10),  # only late
        ("2026-05-01T06:00:00,dog\n", "2026-05-01T07:00:00,cat", "UTC-05:00", ["cat"] * 10),
    ],
)
def test_a_sensor_at_a_camera_that_goes_by_another_clock_is_said(
    tmp_path, monkeypatch, before, row, zone, labels
):
    monkeypatch.setattr(truth_sensor, "_POLL_S", 0.0)
    file = write(tmp_path, before)
    source = camera()
    truths = load_truths([f"sensor:{file}"], source, LABELS)
    with file.open("a") as log:
        log.write(row)  # the last row of a file may have no line end
        if zone:
            log.write("\n")
    for k in range(10):
        truths.observe(frame(k, seconds=k), ANSWER)
    truths.close()
    said = {event.frame: event.label for event in truths.take()}
    assert [said[k] for k in sorted(said)][: len(labels)] == labels
    warnings = source.take_warnings()
    assert len(warnings) == bool(zone)
    assert all(f"they fit if they are times of {zone}: write the zone" in one for one in warnings)
    if not labels:
        assert not said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("label,time\ncat,0\n", "line 1: columns 'label,time', expected time,label"),
        ("Klasse;Zeit\n1;0\n", "line 1: columns 'klasse,zeit', expected time,label"),
        ("time,label,by\n0,cat,me\n", "line 1: columns 'time,label,by', expected time,label"),
        ("12.5,cat\n", "line 1: '12.5', expected an ISO 8601 time or seconds since 1970"),
        ("1777636800000,cat\n", "line 1: '1777636800000', expected an ISO 8601 time or seconds"),
        ("0,cat\n".encode("utf-16"), "is not UTF-8 text; expected rows of time,label"),
    ],
)
def test_a_sensor_file_of_another_form_is_refused_before_the_run(tmp_path, content, said):
    file = write(tmp_path, content)
    with pytest.raises(TruthError) as error:
        load_truths([f"sensor:{file}"], camera(), LABELS)
    assert said in one_line(error.value)


def test_a_card_that_several_regions_go_by_is_said_to_label_all_of_them():
    for names, count in ((["a=marker", "b=marker"], 1), (["a=marker", "b=none"], 0)):
        source = recording()
        load_truths(names, source, LABELS, regions=["a", "b"]).close()
        assert len(source.take_warnings()) == count


def test_an_offset_that_moves_a_row_before_the_first_frame_is_refused(tmp_path):
    file = write(tmp_path, "frame,label\n0,cat\n1,dog\n")
    with pytest.raises(TruthError, match="line 2: frame 0 moved by --truth-offset -1") as error:
        load_truths([file], recording(), LABELS, offset=-1)
    one_line(error.value)
    file = write(tmp_path, "frame,label\n1,cat\n2,dog\n")
    truths = load_truths([file], recording(), LABELS, offset=-1)
    truths.observe(frame(0), ANSWER)
    assert [event.label for event in truths.take()] == ["cat"]
