"""Keys in the window: from the code that OpenCV gives to the label of the frame in it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from helpers_run import events, write_video
from sessions import LABELS, PAST, PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.live.truth_keys import KeyTruth, ShownFrame, class_keys
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.device.run.window import draw, typed
from edgecnn.session.events import NONE_LABEL

NAMES = ("cat", "dog", "fox")
ANSWER = Prediction(1, "dog", 0.9, (0.05, 0.9, 0.05))
TAB, ENTER, LEFT_SHIFT = "\t", "\r", "\xe1"
Pressed = list[tuple[int, str | None, str]]


def press(*script: tuple[int, str], frames: int = 10, keys: KeyTruth | None = None) -> Pressed:
    """The (frame, label, why) that come of pressing a key while a frame is in the window."""
    keys = keys or KeyTruth(NAMES)
    found: Pressed = []
    for k in range(frames):
        keys.observe(Frame(np.zeros((4, 4, 3), np.uint8), k, now_utc(), 0.0), ANSWER)
        for _, key in (one for one in script if one[0] == k):
            keys.press(key)
        found += [(e.frame, e.label, e.why) for e in keys.take()]
    return found


@pytest.mark.parametrize(
    ("key", "label"),
    [(" ", "dog"), ("1", "cat"), ("3", "fox"), ("x", None), ("0", NONE_LABEL), ("n", NONE_LABEL)],
)
def test_a_key_labels_the_frame_in_the_window(key, label):
    assert press((4, key)) == [(4, label, "chosen")]


def test_keys_without_a_meaning_do_nothing():
    assert press((1, "4"), (2, "\x00"), (3, "%"), (4, "u"), (5, "B")) == []
    keys = KeyTruth(NAMES)
    for key in (" ", "1", "u", TAB, ENTER):  # before the first frame
        keys.press(key)
    assert list(keys.take()) == []


def test_the_label_was_given_with_the_answer_in_view():
    keys = KeyTruth(NAMES)
    keys.observe(Frame(np.zeros((4, 4, 3), np.uint8), 0, now_utc(), 0.0), ANSWER)
    keys.press("1")
    (event,) = keys.take()
    assert (event.via, event.blind) == ("keys", False)
    assert event.at is not None


def test_undo_takes_the_labels_of_a_frame_back_one_by_one():
    keys = KeyTruth(NAMES)
    keys.observe(Frame(np.zeros((4, 4, 3), np.uint8), 2, now_utc(), 0.0), ANSWER)
    for key in ("1", "3", "u", "u", "u"):
        keys.press(key)
    found = [(e.frame, e.label, e.withdrawn) for e in keys.take()]
    assert found == [(2, "cat", False), (2, "fox", False), (2, None, True), (2, None, True)]


@pytest.mark.parametrize(
    "start",
    [[TAB, "a"], ["A"], [LEFT_SHIFT, "a"], [LEFT_SHIFT, "A"]],
    ids=["tab", "capital", "shift then small", "shift then capital"],
)
def test_from_now_on_a_class_holds_until_another_or_tab(start):
    keys = KeyTruth([f"class {k}" for k in range(12)])  # the tenth has key a
    assert keys.keys["a"] == "class 9"
    script = [*((2, key) for key in start), (5, "1"), (8, TAB)]
    found = press(*script, keys=keys)
    assert found == [
        *((k, "class 9", "stretch") for k in range(2, 6)),
        *((k, "class 0", "stretch") for k in range(5, 9)),
    ]


def test_shift_holds_for_the_next_key_only_and_takes_digits_too():
    assert press((2, LEFT_SHIFT), (2, "x"), (3, "1"), (4, "%")) == [
        *((2, None, "chosen"), (3, "cat", "chosen"))
    ]
    found = press((7, LEFT_SHIFT), (7, "#"))
    assert found == [(k, "fox", "stretch") for k in (7, 8, 9)]


def test_undo_of_from_now_on_ends_it_and_takes_its_labels_back():
    found = press((2, TAB), (2, "1"), (4, "u"))
    assert [label for _, label, _ in found] == ["cat", "cat", "cat", None, None, None]
    assert [frame for frame, *_ in found] == [2, 3, 4, 4, 3, 2]


def test_enter_holds_the_frame_until_it_is_labelled():
    keys = KeyTruth(NAMES)
    assert press((2, ENTER), (6, "1"), (8, "3"), keys=keys) == [
        *((2, "cat", "chosen"), (8, "fox", "chosen"))
    ]
    assert press((2, ENTER), (4, ENTER), (6, "1")) == [(6, "cat", "chosen")]


def test_a_class_that_is_a_digit_has_its_own_key_and_no_class_has_a_key_of_a_command():
    digits = class_keys([str(k) for k in range(10)])
    assert all(key == label for key, label in digits.items())
    assert len(digits) == 10
    many = class_keys([f"class {k}" for k in range(100)])
    assert len(many) == 31
    assert not set("xunq0 ") & set(many)


def test_the_window_shows_the_keys_of_the_classes_below_the_picture():
    picture = np.zeros((48, 64, 3), np.uint8)
    plain = draw(ShownFrame(0, picture, ANSWER))
    assert plain.shape == picture.shape
    keys = KeyTruth(NAMES)
    assert any("1 cat   2 dog   3 fox" in line for line in keys.lines())
    view = draw(ShownFrame(0, picture, ANSWER), keys.lines())
    assert view.shape[1] == 640
    assert view[480:].any()
    keys.observe(Frame(picture, 7, now_utc(), 0.0), ANSWER)
    keys.press(ENTER)
    assert any("HELD" in line for line in keys.lines())
    keys.press("2")
    assert any("frame 7: dog" in line for line in keys.lines())
    keys.press(TAB)
    assert any("FROM NOW ON" in line for line in keys.lines())
    keys.press("2")
    assert any("from now on: dog" in line for line in keys.lines())


def test_no_key_and_no_answer_is_outside_of_the_window_however_long_the_names_are():
    names = [f"water meter in the cellar, {k}" for k in range(31)]
    lines = KeyTruth(names).lines()
    assert all(any(name in line for line in lines) for name in names)
    widths = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] for line in lines]
    assert max(widths) <= 640 - 16
    answer = Prediction(0, "door " * 9, 0.9, (0.9,))
    view = draw(ShownFrame(0, np.full((48, 64, 3), 90, np.uint8), answer), lines)
    assert (view[5, -1] == 90).all()  # the answer's black box ends before


@pytest.fixture
def type_keys(monkeypatch) -> Callable[[dict[int, str]], list[tuple[int, ...]]]:
    """A display on which keys are typed at frames: all of the window but OpenCV's own part."""

    def type_them(script: dict[int, str]) -> list[tuple[int, ...]]:
        shown: list[tuple[int, ...]] = []
        monkeypatch.setattr("edgecnn.device.run.window.display_fault", lambda _: None)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
        monkeypatch.setattr(cv2, "imshow", lambda _, view: shown.append(view.shape))
        # OpenCV gives -1 without a key, and some builds set bits above the lowest eight.
        codes = {frame: ord(key) | 0x100000 for frame, key in script.items()}
        monkeypatch.setattr(cv2, "waitKeyEx", lambda _: codes.get(len(shown) - 1, -1))
        return shown

    return type_them


def test_keys_reach_the_same_tally_in_the_run_and_in_the_audit(tmp_path, type_keys):
    images = sorted((PAST / "field" / "frames").glob("*")) * 2
    video = write_video(tmp_path / "field.avi", images)
    count = len(images)
    assert count == 20
    shown = type_keys({0: " ", 2: "1", 3: "x", 4: "n", 5: "\t", 6: "2", count - 3: "\t"})
    log = tmp_path / "s"
    result = run(PAST_BUNDLE, str(video), RunOptions(truth=("keys",), window=True, log=log))
    assert (result.frames, len(shown)) == (count, count)
    labels = {e["frame"]: e["label"] for e in events(log, "truth")}
    answers = [LABELS[e["k"][0][0]] for e in events(log, "frame")]
    expected = {0: answers[0], 2: LABELS[0], 3: None, 4: NONE_LABEL}
    assert labels == expected | dict.fromkeys(range(6, count - 2), LABELS[1])
    assert result.to_json()["live"] == audit([log]).to_json()["live"]
    assert result.live.total == count - 8  # frames 0 and 2 were picked, and stand for no others


def test_frames_that_a_person_picked_give_no_live_accuracy(tmp_path, type_keys):
    images = sorted((PAST / "field" / "frames").glob("*"))
    type_keys({0: " ", 2: "1", 5: "2"})
    video = write_video(tmp_path / "field.avi", images)
    log = tmp_path / "s"
    result = run(PAST_BUNDLE, str(video), RunOptions(truth=("keys",), window=True, log=log))
    assert result.live.accuracy is None
    assert any("not identified" in warning for warning in result.warnings)
    assert any("not identified" in note for note in audit([log]).notes)


@pytest.mark.parametrize("code", [0xFF61, 0xFF52, 0xFF63, 0xFF67, 0xFFFF, 0xE1, 0x10FF61, -1])
def test_a_key_that_ends_in_the_number_of_a_letter_is_no_letter(code):
    """Print, an arrow, Insert, Menu, Delete and a letter with an accent, as Qt and GTK say them."""
    keys = KeyTruth([f"class {k}" for k in range(31)])
    keys.observe(Frame(np.zeros((9, 9, 3), np.uint8), 0, now_utc(), 0.0), ANSWER)
    for one in (code, ord("a")):
        keys.press(typed(one))
    assert [(event.label, event.why) for event in keys.take()] == [("class 9", "chosen")]


def test_q_stops_the_run_and_labels_nothing(tmp_path, type_keys):
    images = sorted((PAST / "field" / "frames").glob("*")) * 2
    video = write_video(tmp_path / "field.avi", images)
    type_keys({3: "q"})
    result = run(PAST_BUNDLE, str(video), RunOptions(truth=("keys",), window=True))
    assert result.frames in (4, 5)  # the next one may be in work
    assert (result.ended, result.live.total) == ("interrupted", 0)
