"""A person labels a long stretch at once: no label is lost, and no answer because of them."""

from __future__ import annotations

import os
from dataclasses import replace

from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.device.log.log_thread import LogThread
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import open_session, truth_events

BUNDLE = Bundle.open(PAST_BUNDLE)
HEADER = SessionHeader("b", BUNDLE.sha256, BUNDLE.card, BUNDLE.artifact().file)
PAGE = replace(HEADER, truth=("page",))


def stretch(frames: range) -> list[TruthEvent]:
    return [TruthEvent(k, BUNDLE.card.labels[0], "stretch", "ann", why="stretch") for k in frames]


def labelled(folder) -> list[int]:
    return [event.frame for event in truth_events(open_session(folder))]


def test_the_longest_stretch_that_a_page_may_send_is_logged_whole(tmp_path):
    log = LogThread(SessionLog(PAGE, RunOptions(log=tmp_path / "s"), live=True), live=True)
    with log:
        log.truths(stretch(range(100_000)))
        log._thread.join(0.1)
        while log._waiting.qsize():
            log._thread.join(0.1)
        log.end("done", {})
    assert log.num_lost == 0
    assert labelled(tmp_path / "s") == list(range(100_000))


def test_a_stretch_in_a_session_before_is_synced_once(tmp_path, monkeypatch):
    log = SessionLog(PAGE, RunOptions(log_root=tmp_path), live=True)
    for first in (100, 200):
        log.write(lambda recorder, k=first: setattr(recorder, "next_frame", k), first - 1)
        log.begin(BUNDLE, BUNDLE.artifact(), None)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    log.truths(stretch(range(50, 250)))
    assert len(synced) == 2
    log.end("done", {})
    folders = sorted(sessions_below(tmp_path), key=lambda folder: (len(folder.name), folder.name))
    assert [labelled(one) for one in folders] == [
        list(range(50, 100)),
        list(range(100, 200)),
        list(range(200, 250)),
    ]
