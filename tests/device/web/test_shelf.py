"""The sessions that the page lists, and labels of a run that has ended."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from served import Client, label_item
from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.log.record import Reply
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.device.web import shelf as shelf_module
from edgecnn.device.web.given import GivenLabel
from edgecnn.device.web.late import EndedSession as Ended
from edgecnn.device.web.shelf import Shelf, session_id
from edgecnn.session.header import SessionHeader
from edgecnn.session.headline import headline
from edgecnn.session.read import (
    frame_events,
    open_session,
    read_frames,
    read_truth,
    truth_events,
)

BUNDLE = Bundle.open(PAST_BUNDLE)
LABELS = BUNDLE.card.labels
HEADER = SessionHeader("b", BUNDLE.sha256, BUNDLE.card, BUNDLE.artifact().file)
ANSWER = Prediction(0, LABELS[0], 0.5, tuple([0.5] * len(LABELS)))


def begin(root: Path, name: str) -> SessionLog:
    return SessionLog(replace(HEADER, name=name), RunOptions(log_root=root), live=True)


def feed(log: SessionLog, frames: range) -> None:
    for k in frames:
        image = np.full((48, 40, 3), k, np.uint8)
        frame = Frame(image, k, datetime.now(timezone.utc), time.monotonic())
        log.write(lambda recorder, f=frame: recorder.frame(f, Reply(ANSWER, None, 1.0, 1.0)), k)


def given(run: str, first: int, last: int) -> GivenLabel:
    via = "page" if first == last else "stretch"
    now = datetime.now(timezone.utc)
    return GivenLabel(f"i{first}", run, first, last, LABELS[1], via, "ann", False, now)


@pytest.fixture
def ended(tmp_path) -> tuple[str, list[Path]]:
    """The name of a run that wrote three sessions, and these."""
    log = begin(tmp_path, "before")
    folders = [log.folder]
    for first in (0, 10, 20):
        if first:
            log.begin(BUNDLE, BUNDLE.artifact(), None)
            folders.append(log.folder)
        feed(log, range(first, first + 10))
    log.end("interrupted", {})
    return session_id(folders[0]), folders


def labelled(folder: Path) -> list[int]:
    return [event.frame for event in truth_events(open_session(folder))]


def test_a_label_of_a_run_that_has_ended_finds_its_frame_in_whichever_session(ended, tmp_path):
    run, folders = ended
    shelf = Shelf(begin(tmp_path, "now"))
    assert shelf.give(given(run, 25, 25))
    assert shelf.give(given(run, 8, 11))
    assert [labelled(folder) for folder in folders] == [[8, 9], [10, 11], [25]]
    assert not shelf.give(given(run, 99, 99))
    assert not shelf.give(given("0" * 20, 3, 3))


def test_sessions_are_read_once_for_all_labels_and_again_where_others_write(
    ended, tmp_path, monkeypatch
):
    run, folders = ended
    read = []
    monkeypatch.setattr(shelf_module, "EndedSession", lambda one: read.append(one) or Ended(one))
    shelf = Shelf(begin(tmp_path, "now"))
    labels = given(run, 25, 25), given(run, 8, 11), given(run, 27, 27)
    assert all(map(shelf.give, 2 * labels))  # a page may send a label again
    assert read == folders
    assert [labelled(folder) for folder in folders] == [[8, 9], [10, 11], [25, 27]]
    with (folders[0] / "events.jsonl").open("ab") as file:
        file.write(next(frame_events(open_session(folders[0])))._replace(frame=5000).to_line())
    assert shelf.give(given(run, 5000, 5000))
    assert read == [*folders, folders[0]]
    assert labelled(folders[0]) == [8, 9, 5000]


def test_a_label_that_is_sent_again_to_a_run_of_after_is_not_written_again(ended, tmp_path):
    run, folders = ended
    label = given(run, 3, 3)
    for _ in range(2):
        assert Shelf(begin(tmp_path, "now")).give(label)
    assert labelled(folders[0]) == [3]


def test_a_label_that_is_sent_again_while_a_slow_disk_takes_it_is_written_once(
    ended, tmp_path, monkeypatch
):
    """Without a lock it happens on a disk of every day: in 1 of 40 tries."""
    run, folders = ended
    shelf, write = Shelf(begin(tmp_path, "now")), os.write
    assert shelf.give(given(run, 5, 5))

    def slowly(handle: int, data: bytes) -> int:
        time.sleep(0.2)
        return write(handle, data)

    label = given(run, 3, 3)
    monkeypatch.setattr(os, "write", slowly)
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(shelf.give, (label, label)))
    assert labelled(folders[0]) == [5, 3]


def test_the_session_that_is_recorded_now_is_said_to_be(ended, tmp_path):
    log = begin(tmp_path, "now")
    feed(log, range(3))
    shelf = Shelf(log)
    for _ in range(2):
        assert [one["name"] for one in shelf.sessions() if one["open"]] == [log.folder.name]
        log.begin(BUNDLE, BUNDLE.artifact(), None)


def test_the_page_answers_while_the_session_of_a_late_label_is_read(
    ended, tmp_path, place, monkeypatch
):
    run, folders = ended
    hub, server = place
    hub.record("run-1", Shelf(begin(tmp_path, "now")))
    is_reading, is_over = threading.Event(), threading.Event()

    def read_slowly(folder: Path) -> Ended:
        is_reading.set()
        assert is_over.wait(60)
        return Ended(folder)

    monkeypatch.setattr(shelf_module, "EndedSession", read_slowly)
    sender, client = Client(server.link), Client(server.link)
    item = label_item(run, 3, LABELS[1])
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(sender.give, item)
        assert is_reading.wait(60)
        assert client.get("/api/state")["run"] == "run-1"
        is_over.set()
        assert sent.result()["done"] == [item["id"]]
    assert labelled(folders[0]) == [3]


def test_a_late_stretch_over_a_log_that_leaves_answers_out_speaks_for_all_of_its_frames(tmp_path):
    """Of uncertain answers, which are wrong, the log holds more than of the others."""
    options = RunOptions(log_root=tmp_path, log_every=13 / 8, keep_frames=60)
    log, sure = SessionLog(HEADER, options, live=True), (0.99, *[0.01] * (len(LABELS) - 1))
    unsure = (0.3, 0.5, *[0.03] * (len(LABELS) - 2))
    begun = float(int(time.monotonic()))
    for k in range(1000):
        is_hard = k % 10 == 0
        scores = unsure if is_hard else sure
        reply = Reply(Prediction(1 if is_hard else 0, "", max(scores), scores), None, 1.0, 1.0, k)
        frame = Frame(
            np.full((8, 8, 3), k % 250, np.uint8), k, datetime.now(timezone.utc), begun + k / 8
        )
        log.write(lambda recorder, f=frame, a=reply: recorder.frame(f, a), k)
    log.end("interrupted", {"frames": 1000})
    Shelf(begin(tmp_path, "now")).give(
        replace(given(session_id(log.folder), 0, 999), label=LABELS[0])
    )
    session = open_session(log.folder)
    frames = read_frames(session)
    live = headline([(frames, read_truth(session, frames))])
    assert live.interval[0] < 0.9 < live.interval[1]
