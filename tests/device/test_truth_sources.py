"""Truth sources from pixel or key to the same tally in the run and in the audit of its session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import events, one_line
from sessions import LABELS, PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.live.guard_band import GuardBand
from edgecnn.device.live.sensor_log import SensorLog
from edgecnn.device.live.truth import load_truths
from edgecnn.device.live.truth_marker import MarkerTruth
from edgecnn.device.live.truth_sensor import SensorTruth
from edgecnn.device.options import RunOptions
from edgecnn.device.run import regions
from edgecnn.device.run.result import RunResult
from edgecnn.device.run.run import run
from edgecnn.errors import OptionError, TruthError
from edgecnn.session.answers import Answers

A, B, C = LABELS[:3]
SIZE, FPS = 240, 25


def picture(number: int) -> np.ndarray:
    """A smooth picture of its number, uint8 (240, 240, 3)."""
    coarse = np.random.default_rng(number).uniform(20, 235, (4, 4, 3)).astype(np.float32)
    large = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


def film(path: Path, pictures: list[np.ndarray]) -> Path:
    """A real video file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (SIZE, SIZE))
    for one in pictures:
        writer.write(one)
    writer.release()
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Sixty pictures, 2.4 seconds."""
    pictures = [picture(k) for k in range(60)]
    return film(tmp_path_factory.mktemp("film") / "field.avi", pictures)


def run_and_audit(
    video: Path, log: Path, *truth: str, **more
) -> tuple[RunResult, dict[int, str | None]]:
    """The result of a run, and the last label of each frame; the audit has the same tally."""
    options = RunOptions(truth=truth, log=log, **more)
    result = run(PAST_BUNDLE, str(video), options)
    assert result.to_json()["live"] == audit([log]).to_json()["live"]
    labels = {event["frame"]: event["label"] for event in events(log, "truth")}
    classifier = Classifier(PAST_BUNDLE)
    answers = {e["frame"]: classifier.card.labels[e["k"][0][0]] for e in events(log, "frame")}
    known = {frame: label for frame, label in labels.items() if label in LABELS}
    assert result.live.total == len(known)
    assert result.live.correct == sum(answers[frame] == label for frame, label in known.items())
    return result, labels


# ---- schedule -------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_schedule_labels_the_next_frames_and_pauses_where_the_label_is_empty(video, tmp_path):
    plan = write(tmp_path / "plan.csv", f"frames,label\n20.0,{A}\n5,\n\n10,none of these\n20,{B}\n")
    result, labels = run_and_audit(video, tmp_path / "s", f"schedule:{plan}")
    expected = {**dict.fromkeys(range(20), A), **dict.fromkeys(range(25, 35), "none of these")}
    assert labels == expected | dict.fromkeys(range(35, 55), B)
    assert (result.live.total, result.guarded) == (40, 0)
    assert {(e["via"], e["why"]) for e in events(tmp_path / "s", "truth")} == {("schedule", "all")}


def test_a_schedule_by_seconds_leaves_a_guard_band_that_run_and_audit_count(video, tmp_path):
    plan = write(tmp_path / "plan.csv", f"seconds;label\n1,00;{A};\n1.0;{B}\n")
    result, labels = run_and_audit(video, tmp_path / "s", f"schedule:{plan}")
    first, second = ([k for k, label in labels.items() if label == one] for one in (A, B))
    # However slow this machine is, the frame before, at and after a change have no label.
    assert first == list(range(len(first)))
    assert second == list(range(second[0], second[-1] + 1))
    assert first[-1] < 24
    assert second[0] > 26
    assert second[-1] < 49
    assert result.guarded == 50 - len(labels)
    assert f"{result.guarded} of them near a change of the label" in result.to_text()
    note = f"{result.guarded} frames near a change of the label left unlabelled"
    assert any(note in one for one in audit([tmp_path / "s"]).notes)
    # What another source labels is no frame without a label.
    file = write(tmp_path / "all.csv", f"first,last,label\n0,59,{A}\n")
    both = run(PAST_BUNDLE, str(video), RunOptions(truth=(f"schedule:{plan}", str(file))))
    assert (both.unlabelled, both.guarded) == (0, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("time,label\n1,x\n", "line 1: columns 'time,label', expected frames,label or seconds"),
        ("frames,label\n1.5,red 1\n", "line 2: '1.5', expected a whole number of frames above 0"),
        ("frames;label\n1,000;red 1\n", "line 2: '1,000', expected a whole number"),
        ("frames,label\n1:00,red 1\n", "line 2: '1:00', expected a whole number"),
        ("frames,label\n0,red 1\n", "line 2: '0', expected a whole number"),
        ("seconds,label\n-1,red 1\n", "line 2: '-1', expected a number of seconds above 0"),
        ("frames,label\n1,lion\n", "line 2: label 'lion' is not in the bundle"),
        ("frames,label\n1\n", "line 2: 1 cells, expected 2"),
        ("frames,seconds,label\n1,2,red 1\n", "line 1: columns 'frames,seconds,label', expected"),
        ("frames,label,label\n1,red 1,red 2\n", "line 1: column 'label' appears twice"),
        ("seconds,label\n1,5,red 1\n", "line 2: 3 cells, expected 2 (seconds,label); write numb"),
        ("frames,label\n5,\n", "labels nothing"),
        ('frames,label\n5,"x\n', "not a CSV file"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(video, tmp_path, text, said):
    plan = write(tmp_path / "plan.csv", text)
    with pytest.raises(TruthError) as error:
        run(PAST_BUNDLE, str(video), RunOptions(truth=(f"schedule:{plan}",), log=tmp_path / "s"))
    assert said in one_line(error.value)
    assert str(plan) in str(error.value)
    assert not (tmp_path / "s").exists()


def test_images_have_no_seconds_for_a_schedule_or_a_sensor(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    plan = write(tmp_path / "plan.csv", f"seconds,label\n5,{A}\n")
    for name in (f"schedule:{plan}", f"sensor:{plan}"):
        with pytest.raises(TruthError, match="images have no time"):
            run(PAST_BUNDLE, str(tmp_path), RunOptions(truth=(name,)))


# ---- marker ---------------------------------------------------------------------------------


def with_aruco(frame: np.ndarray, number: int) -> np.ndarray:
    kinds = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_6X6_250)
    card = cv2.copyMakeBorder(
        cv2.aruco.generateImageMarker(kinds, number, 80), *[10] * 4, cv2.BORDER_CONSTANT, value=255
    )
    frame = frame.copy()
    frame[:100, :100] = card[..., None]
    return frame


def with_qr(frame: np.ndarray, text: str) -> np.ndarray:
    code = cv2.QRCodeEncoder.create().encode(text)
    code = cv2.copyMakeBorder(code, *[4] * 4, cv2.BORDER_CONSTANT, value=255)
    frame = frame.copy()
    large = cv2.resize(code, (110, 110), interpolation=cv2.INTER_NEAREST)
    frame[125:235, 125:235] = large[..., None]
    return frame


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> Path:
    """No card, ArUco 2, a QR code of B, cards that disagree or agree, and a foreign QR code."""
    plain = [picture(k) for k in range(30)]
    shown = [
        *plain[:5],
        *(with_aruco(one, 2) for one in plain[5:10]),
        *(with_qr(one, B) for one in plain[10:15]),
        *(with_qr(with_aruco(one, 2), B) for one in plain[15:20]),
        *(with_qr(with_aruco(one, 1), B) for one in plain[20:25]),
        *(with_qr(one, "https://example.org") for one in plain[25:]),
    ]
    return film(tmp_path_factory.mktemp("cards") / "cards.avi", shown)


def without_alarm(result) -> list[str]:
    """The warnings but that on the model, which these tests don't train."""
    return [warning for warning in result.warnings if not warning.startswith("alarm:")]


def test_a_card_in_view_names_the_object_only_while_it_is_seen(cards, tmp_path):
    result, labels = run_and_audit(cards, tmp_path / "s", "marker")
    expected = dict.fromkeys(range(5, 10), C) | dict.fromkeys(range(10, 15), B)
    assert labels == expected | dict.fromkeys(range(20, 25), B)
    assert [w for w in result.warnings if "'https://example.org', which is no label" in w]
    assert len(without_alarm(result)) == 1


def test_a_card_outside_of_the_region_that_is_classified_is_seen(cards, tmp_path):
    _, labels = run_and_audit(cards, tmp_path / "s", "marker", roi="120,0,120,120")
    assert labels[7] == C


def test_a_card_whose_number_no_label_has_is_said():
    said: list[str] = []
    marker = MarkerTruth(LABELS, said.append, live=False)
    frame = Frame(with_aruco(picture(3), 9), 0, now_utc(), 0.0)
    marker.observe(frame, Prediction(0, A, 0.9, (0.9,)))
    assert marker.take() == []
    assert said == [
        "a card in view says 'ArUco 9', which is no label of the bundle; its frames stay unlabelled"
    ]


def test_at_a_camera_a_thread_looks_for_cards_and_never_holds_up_the_loop():
    marker = MarkerTruth(LABELS, lambda _: None, live=True)
    answer = Prediction(0, A, 0.9, (0.9,))
    card = with_aruco(picture(3), 2)
    for k in range(200):
        marker.observe(Frame(card, k, now_utc(), 0.0), answer)
    marker.close()
    marker.close()
    found = marker.take()
    assert 1 <= len(found) < 200
    assert {event.label for event in found} == {C}
    assert not [t for t in threading.enumerate() if t.name == "edgecnn-marker"]


# ---- sensor ---------------------------------------------------------------------------------


@pytest.fixture
def at_frame(monkeypatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something done while the classifier works at a frame."""
    timed, due, seen = Classifier.invoke, {}, iter(range(10_000))

    def timed_too(self, frame_bgr, *more):
        due.pop(next(seen), lambda: None)()
        return timed(self, frame_bgr, *more)

    def plan(frame: int, action: Callable[[], object]) -> None:
        # The golden frames are classified by another method, so counting starts with the run.
        due[frame] = action

    monkeypatch.setattr(Classifier, "invoke", timed_too)
    return plan


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_rows_that_a_sensor_appends_during_the_run_label_the_frames_of_their_time(
    video, tmp_path, at_frame
):
    log = write(tmp_path / "sensor.csv", f"time,label\n0,{A}\n")
    at_frame(30, lambda: append(log, f"1.2,{B}\n2.0,"))  # half a line
    at_frame(50, lambda: append(log, "\n"))
    result, labels = run_and_audit(video, tmp_path / "s", f"sensor:{log}")
    first, second = ([k for k, label in labels.items() if label == one] for one in (A, B))
    assert first == list(range(len(first)))
    assert second == list(range(second[0], second[-1] + 1))
    assert first[-1] < 29
    assert second[0] > 31
    assert second[-1] < 49
    assert result.guarded == 50 - len(labels)
    assert {(e["via"], e["why"]) for e in events(tmp_path / "s", "truth")} == {("sensor", "all")}


def test_a_row_that_comes_late_still_labels_frames_far_back(video, tmp_path, at_frame, monkeypatch):
    log = write(tmp_path / "sensor.csv", f"time,label\n0,{A}\n")
    at_frame(59, lambda: append(log, f"0.2,{B}\n"))
    _, labels = run_and_audit(video, tmp_path / "s", f"sensor:{log}")
    assert labels[0] == A
    assert set(map(labels.get, range(20, 60))) == {B}
    # Where those frames have left the memory of the run it says so, and the audit has them.
    monkeypatch.setattr(regions, "Answers", partial(Answers, window=8))
    log.write_text(f"time,label\n0,{A}\n")
    at_frame(119, lambda: append(log, f"0.2,{B}\n"))
    result = run(PAST_BUNDLE, str(video), RunOptions(truth=(f"sensor:{log}",), log=tmp_path / "t"))
    assert any("labels came too late for the live accuracy" in w for w in result.warnings)
    report = audit([tmp_path / "t"])
    assert sum(report.live.confusion[0]) < 6
    assert sum(report.live.confusion[1]) >= 40


def test_a_wrong_row_stops_a_run_before_it_starts_and_is_a_warning_later(video, tmp_path, at_frame):
    log = write(tmp_path / "sensor.csv", "0,lion\n")
    options = RunOptions(truth=(f"sensor:{log}",))
    with pytest.raises(TruthError, match=r"sensor\.csv line 1: label 'lion' is not in the bundle"):
        run(PAST_BUNDLE, str(video), options)
    log.write_text(f"0,{A}\n0.5,tiger\n0.6,bear\n0.8,{B}\n")
    at_frame(20, lambda: append(log, f"1.6,lion\nsoon,red 1\n1.8,lion\n2,{A},2\n"))
    result, labels = run_and_audit(video, tmp_path / "s", f"sensor:{log}")
    (said,) = [w for w in result.warnings if w.startswith("nothing is known from there to")]
    assert "line 2: label 'tiger' is not in the bundle" in said
    assert said.endswith("; 1 more fault in it")
    (said,) = [w for w in result.warnings if "label 'lion' is not in the bundle" in w]
    assert "line 5: " in said  # and not of each row that says so
    assert [w for w in result.warnings if "line 6: 'soon', expected seconds from the start" in w]
    # A row whose label is wrong ends the one before it.
    first, second = ([k for k, label in labels.items() if label == one] for one in (A, B))
    assert 0 <= first[0] <= first[-1] < 13
    assert 20 <= second[0] <= second[-1] < 40
    assert {*labels.values()} == {A, B}
    with pytest.raises(TruthError, match="start the program that writes it first"):
        run(PAST_BUNDLE, str(video), RunOptions(truth=(f"sensor:{tmp_path / 'no.csv'}",)))


def test_a_sensor_whose_file_goes_away_is_one_warning_and_the_run_goes_on(
    video, tmp_path, at_frame
):
    log = write(tmp_path / "sensor.csv", f"0,{A}\n")
    at_frame(0, log.unlink)
    result = run(PAST_BUNDLE, str(video), RunOptions(truth=(f"sensor:{log}",)))
    assert result.frames == 60
    assert len(without_alarm(result)) == 1
    assert f"can't read {log}" in without_alarm(result)[0]
    assert result.live.total > 50


def test_a_sensor_at_a_camera_may_say_utc_or_seconds_since_1970(tmp_path):
    log = write(tmp_path / "s.csv", f"2026-05-01T12:00:00Z,{A}\n1777636810,{B}\n1777636820,\n")
    sensor = SensorLog(log, LABELS, absolute=True)
    start = sensor.read_on(pytest.fail)
    assert start == 1777636800.0
    assert [sensor.find(start + s) for s in (-1, 0, 9, 10, 19, 20)] == [None, A, A, B, B, None]
    assert [sensor.is_near_change(start + s, 2) for s in (0, 5, 8.5, 12, 19)] == [
        *(True, False, True, False, True)
    ]
    log.write_text(f"1777636900,{C}\n")  # rotated
    assert sensor.read_on(pytest.fail) == 1777636900.0
    assert sensor.find(start + 100) == C
    # A program that writes the file anew each time: it has grown, and its first rows are others.
    rows = "".join(f"17776369{s},{A}\n" for s in range(30, 99))
    write(tmp_path / "new.csv", f"1777636910,{B}\n1777636900,{C}\n{rows}").replace(log)
    count = len(sensor)
    assert sensor.read_on(pytest.fail) == 1777636910.0
    assert [sensor.find(start + s) for s in (109, 110, 130)] == [C, B, A]
    assert len(sensor) == count + 70
    # Its wrong rows are said once, however often it is written anew.
    wrong: list[str] = []
    for more in ("", f"1777636999,{B}\n"):
        write(tmp_path / "new.csv", f"soon,{B}\n{rows}{more}").replace(log)
        sensor.read_on(lambda error: wrong.append(str(error)))
    (said,) = wrong
    assert "line 1: 'soon'" in said
    assert sensor.find(start + 199) == B


def test_a_sensor_that_writes_for_months_is_held_in_part_and_says_the_same(tmp_path):
    """The rows of what can still be labelled, and the one that holds then."""
    seconds = 30_000
    rows = "".join(f"{s},{(A, B)[s % 2]}\n" for s in range(seconds))
    log = SensorLog(write(tmp_path / "sensor.csv", rows), LABELS, absolute=False)
    sensor = SensorTruth(log, GuardBand(), pytest.fail, absolute=False)
    for k, moment in enumerate((seconds - 9.5, seconds - 8.5, seconds - 7.5)):
        frame = Frame(picture(0), k, now_utc(), captured=0.0, seconds=moment)
        sensor.observe(frame, Prediction(0, A, 1.0, (1.0,)))
    sensor.close()
    assert [event.label for event in sensor.take()] == [A, B, A]
    assert 10 <= len(log) <= 12
    assert log.oldest == 0


# ---- several sources, and what goes with what -----------------------------------------------


def test_several_sources_label_one_run_and_the_header_names_them(cards, tmp_path):
    csv = write(tmp_path / "truth.csv", f"first,last,label\n0,7,{A}\n")
    plan = write(tmp_path / "plan.csv", f"frames,label\n3,{B}\n")
    log = tmp_path / "s"
    _, labels = run_and_audit(cards, log, str(csv), f"schedule:{plan}", "marker")
    assert [labels.get(k) for k in range(11)] == [B, B, B, A, A, C, C, C, C, C, B]
    assert audit([log]).sessions[0]["truth"] == "csv, schedule, marker"
    assert any("labelled 6 frames differently" in note for note in audit([log]).notes)


def test_keys_need_a_window_and_none_goes_alone():
    with pytest.raises(OptionError, match="--truth keys needs a window"):
        RunOptions(truth=("keys",))
    with pytest.raises(OptionError, match="--truth none goes with no other"):
        RunOptions(truth=("none", "folder"))


def test_a_source_that_does_not_exist_names_those_that_do():
    source = Source(RunOptions(), threading.Event())
    with pytest.raises(TruthError, match=r"'markers' does not exist; expected none, folder, keys"):
        load_truths(["markers"], source, LABELS)
