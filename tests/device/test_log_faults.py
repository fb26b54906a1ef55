"""A log that can't betray: full, read-only and deleted places, clocks that are set, power cuts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sessions import PAST_BUNDLE

from edgecnn.audit.audit import audit
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.frame_view import FrameView
from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame, Source
from edgecnn.device.live.truth import Truths
from edgecnn.device.log import session_log
from edgecnn.device.log.log_thread import LogThread
from edgecnn.device.log.record import Reply
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.device.run import run as run_module
from edgecnn.errors import OptionError, OutputError
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import SessionHeader
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import open_session, read_frames, read_truth
from edgecnn.session.reading.thin_log import answered_frames

CARD = Bundle.open(PAST_BUNDLE).card
HEADER = SessionHeader("b", "0" * 64, CARD, CARD.artifacts[0].file, name="door", site="Graz")
START = datetime(2026, 5, 1, 10, 0, 0, 0, timezone.utc)
ANSWER = Prediction(0, CARD.labels[0], 0.5, tuple([0.5] * len(CARD.labels)))
PATIENCE_S = 120.0


def read(folder: Path, kind: str) -> list[dict]:
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


class Feed:
    """Hands a log one frame after the other, ten a second of its own clock."""

    def __init__(self, log: SessionLog) -> None:
        self.log, self.count, self.begin = log, 0, time.monotonic()
        self.wall = timedelta()

    def __call__(self, count: int = 1) -> None:
        for _ in range(count):
            seconds = self.count / 10
            at = START + timedelta(seconds=seconds) + self.wall
            bgr = np.random.default_rng(self.count).integers(0, 255, (48, 40, 3), np.uint8)
            frame = Frame(bgr, self.count, at, self.begin + seconds)
            self.log.write(
                lambda r, f=frame: r.frame(f, Reply(ANSWER, None, 9.0, 3.0)), frame.index
            )
            self.log.tick()
            self.count += 1


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Faults are looked for at every tick."""
    for name in ("_RETRY_S", "_CHECK_S", "_EXPIRE_S"):
        monkeypatch.setattr(session_log, name, 0.0)


@pytest.fixture
def feed(tmp_path) -> Feed:
    return Feed(SessionLog(HEADER, RunOptions(log=tmp_path / "s", keep_frames=4), live=True))


@pytest.fixture
def feed_root(tmp_path) -> Feed:
    options = RunOptions(log_root=tmp_path / "root", keep_frames=4)
    return Feed(SessionLog(HEADER, options, live=True))


@pytest.fixture
def bundle_after() -> tuple[Bundle, Artifact]:
    """Another bundle than that of HEADER, and the file of it that answers."""
    bundle = Bundle.open(PAST_BUNDLE)
    return bundle, bundle.artifact()


def check_session_frames(folder: Path, frames: list[int]) -> None:
    found = read_frames(open_session(folder))
    assert (found.frame.tolist(), found.broken) == (frames, 0)


def check_session(folder: Path, frames: list[int], whys: list[str]) -> None:
    """The audit reads these frames and no broken line, and these gaps say what is missing."""
    check_session_frames(folder, frames)
    assert [gap["why"] for gap in read(folder, "gap")] == whys
    assert audit([folder]).live.tally.total == 0


def test_a_session_folder_that_is_deleted_is_made_anew(feed, tmp_path):
    feed(5)
    shutil.rmtree(tmp_path / "s")
    feed.log.tick()
    assert feed.log.down is not None
    assert "was deleted" in feed.log.down.cause
    feed.log.tick()
    assert feed.log.down is None
    feed(5)
    feed.log.end("interrupted", {})
    check_session(tmp_path / "s", [5, 6, 7, 8, 9], [f"not logged: {tmp_path / 's'} was deleted"])
    assert read_frames(open_session(tmp_path / "s")).end == "interrupted"


def test_after_an_outage_frames_say_again_which_thing_they_show(tmp_path):
    log, now = SessionLog(HEADER, RunOptions(log=tmp_path / "s"), live=True), time.monotonic()
    for k, thing in enumerate((0, 1, 1, 1, 1)):
        if k == 2:
            (tmp_path / "s" / "events.jsonl").unlink()
            log.tick()
        frame = Frame(np.zeros((48, 40, 3), np.uint8), k, START, now + k / 10)
        log.write(lambda r, f=frame, t=thing: r.frame(f, Reply(ANSWER, None, 9.0, 3.0, t)), k)
        if k == 2:
            log.tick()
    log.end("interrupted", {})
    frames = read_frames(open_session(tmp_path / "s"))
    assert frames.frame.tolist() == [3, 4]
    assert frames.thing is not None
    assert frames.thing.tolist() == [1, 1]


def test_what_a_person_says_while_nothing_can_be_written_is_written_after_it(feed, tmp_path):
    feed(3)
    (tmp_path / "s" / "events.jsonl").unlink()
    feed.log.tick()
    assert feed.log.down is not None
    label = CARD.labels[0]
    feed.log.truths([TruthEvent(3, label, "page", by="ann", at=START), TruthEvent(4, label, "csv")])
    assert feed.log.num_lost == 2
    feed.log.tick()
    assert feed.log.num_lost == 1  # that of the file
    feed(2)
    feed.log.end("interrupted", {})
    check_session_frames(tmp_path / "s", [3, 4])
    assert [(e["frame"], e["by"]) for e in read(tmp_path / "s", "truth")] == [(3, "ann")]


def test_a_label_for_an_earlier_session_of_the_run_waits_for_the_end_of_an_outage_too(
    feed_root, bundle_after, tmp_path, monkeypatch
):
    feed_root(3)
    feed_root.log.begin(*bundle_after, None)
    feed_root(3)
    first, second = sessions_below(tmp_path / "root")
    write = os.write

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    events = [TruthEvent(k, CARD.labels[0], "page", by="ann", at=START) for k in (1, 5)]
    feed_root.log.truths([*events[1:], *events])
    assert feed_root.log.num_lost == 3
    monkeypatch.setattr(os, "write", write)
    feed_root.log.tick()
    assert feed_root.log.num_lost == 0
    feed_root.log.end("interrupted", {})
    assert [event["frame"] for event in read(first, "truth")] == [1]
    assert {event["frame"] for event in read(second, "truth")} == {5}


def test_an_events_file_that_is_deleted_is_made_anew_beside_its_header(feed, tmp_path):
    feed(5)
    before = (tmp_path / "s" / "session.json").read_bytes()
    (tmp_path / "s" / "events.jsonl").unlink()
    feed.log.tick()
    feed.log.tick()
    feed(2)
    feed.log.end("interrupted", {})
    assert (tmp_path / "s" / "session.json").read_bytes() == before
    assert read_frames(open_session(tmp_path / "s")).frame.tolist() == [5, 6]


def test_another_bundle_gets_a_session_of_its_own_and_late_labels_go_where_their_frame_is(
    feed_root, bundle_after, tmp_path
):
    feed = feed_root
    feed(5)
    feed.log.begin(*bundle_after, None)
    feed(5)
    feed.log.truths([TruthEvent(1, CARD.labels[0], "page")])
    feed.log.truths([TruthEvent(7, CARD.labels[1], "page")])
    feed.log.end("interrupted", {})
    first, second = sessions_below(tmp_path / "root")
    for folder, sha256, frames, label in (
        (first, HEADER.bundle_sha256, range(5), 1),
        (second, bundle_after[0].sha256, range(5, 10), 7),
    ):
        assert open_session(folder).bundle_sha256 == sha256
        check_session_frames(folder, list(frames))
        assert [e["frame"] for e in read(folder, "truth")] == [label]


def test_another_bundle_that_comes_while_the_disk_is_away_begins_a_session_after_it(
    feed_root, bundle_after, tmp_path
):
    feed = feed_root
    feed(5)
    shutil.rmtree(tmp_path / "root")
    (tmp_path / "root").write_text("no folder can be made here")
    feed.log.tick()
    feed.log.begin(*bundle_after, None)
    feed(2)
    assert feed.log.down is not None
    (tmp_path / "root").unlink()
    feed.log.tick()
    assert feed.log.down is None
    feed(3)
    feed.log.end("interrupted", {})
    (only,) = sessions_below(tmp_path / "root")
    assert open_session(only).bundle_sha256 == bundle_after[0].sha256
    check_session_frames(only, [7, 8, 9])
    assert all(gap["t"] >= 0 for gap in read(only, "gap"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_nothing_loses_lines_and_no_run(feed, tmp_path, number, monkeypatch):
    feed(3)
    broken, write, opened = True, os.write, os.open

    def refuse() -> None:
        if broken:
            raise OSError(number, os.strerror(number))

    def writing(handle, data):
        refuse()
        return write(handle, data)

    def opening(path, flags, *more, **named):
        if flags & (os.O_WRONLY | os.O_RDWR):
            refuse()
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "write", writing)
    monkeypatch.setattr(os, "open", opening)
    feed(4)
    assert os.strerror(number) in feed.log.down.cause
    assert feed.log.num_lost >= 4
    since = feed.log.down.since
    feed(1)
    assert feed.log.down.since == since
    broken = False
    feed.log.tick()
    assert feed.log.down is None
    feed(2)
    feed.log.end("interrupted", {})
    monkeypatch.undo()
    frames = read_frames(open_session(tmp_path / "s")).frame.tolist()
    assert frames == [0, 1, 2, 8, 9]
    (gap,) = read(tmp_path / "s", "gap")
    assert os.strerror(number) in gap["why"]


def test_a_full_disk_that_is_freed_again(small_disk):
    log = SessionLog(HEADER, RunOptions(log=small_disk / "s", keep_frames=0), live=True)
    feed, filler = Feed(log), small_disk / "filler"
    feed(10)
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    while log.down is None:
        assert feed.count < 3000
        feed(1)
    assert "No space left" in log.down.cause
    last = feed.count - 1
    filler.unlink()
    log.tick()
    assert log.down is None
    feed(5)
    log.end("interrupted", {})
    found = read_frames(open_session(small_disk / "s"))
    assert found.broken == 0
    assert found.frame.tolist() == [*range(last), *range(last + 1, last + 6)]


def test_pictures_that_find_no_place_stop_no_line(feed, tmp_path):
    shutil.rmtree(tmp_path / "s" / "frames")
    (tmp_path / "s" / "frames").write_text("a file")
    feed(3)
    assert [e["frame"] for e in read(tmp_path / "s", "frame")] == [0, 1, 2]
    said = [e["message"] for e in read(tmp_path / "s", "health") if "message" in e]
    assert len(said) == 1
    assert said[0].startswith("no pictures are kept: ")


@pytest.mark.parametrize("moved", [-3600, 365 * 86400])
def test_frames_keep_their_order_and_distance_when_the_clock_is_set(feed, tmp_path, moved):
    feed(3)
    feed.wall = timedelta(seconds=moved)
    feed(3)
    feed.log.end("interrupted", {})
    times = [e["t"] for e in read(tmp_path / "s", "frame")]
    assert np.diff(times) == pytest.approx([100] * 5, abs=2)
    check_session(tmp_path / "s", list(range(6)), [])


def test_a_rate_of_the_log_leaves_out_only_what_has_no_label_and_no_picture(tmp_path):
    log = SessionLog(
        HEADER, RunOptions(log=tmp_path / "s", log_every=1.0, keep_frames=2), live=True
    )
    Feed(log)(60)
    log.end("interrupted", {})
    found = read(tmp_path / "s", "frame")
    plain = [e["frame"] for e in found if "pool" not in e]
    kept = {e["frame"] for e in found if "pool" in e}
    assert 4 <= len(plain) <= 6
    assert {int(p.stem) for p in (tmp_path / "s" / "frames").iterdir()} <= kept


def test_a_budget_holds_and_says_when_it_leaves_out_what(tmp_path):
    log = SessionLog(HEADER, RunOptions(log=tmp_path / "s", log_mb=0.02, keep_frames=0), live=True)
    Feed(log)(400)
    log.end("interrupted", {})
    (said,) = log.notes  # the run logs it
    assert "80 % of --log-mb 0.02 are used" in said
    assert (tmp_path / "s" / "events.jsonl").stat().st_size < 20_000
    assert 100 < len(read(tmp_path / "s", "frame")) < 200


def test_a_root_gets_dated_sessions_that_an_audit_takes_together(tmp_path):
    options = RunOptions(log_root=tmp_path / "root", session_mb=0.01, keep_frames=0)
    log = SessionLog(HEADER, options, live=True)
    Feed(log)(300)
    log.end("interrupted", {})
    folders = sessions_below(tmp_path / "root")
    assert len(folders) >= 3
    assert folders == sorted(folders)
    frames = [read_frames(open_session(folder)) for folder in folders]
    assert [n for one in frames for n in one.frame.tolist()] == list(range(300))
    assert [one.end for one in frames[:-1]] == [f"goes on in {f.name}" for f in folders[1:]]
    assert frames[-1].end == "interrupted"
    first, head, *later = (open_session(folder).header for folder in folders)
    assert (head.name, head.site) == ("door", "Graz")
    # All say when the run began, not when the session before them did.
    assert {one.run.started_at for one in (head, *later)} == {first.started_at}
    assert sessions_below(folders[0]) == [folders[0]]


def test_a_later_session_says_when_its_run_began_and_counts_its_own_answers(bundle_after, tmp_path):
    log = SessionLog(HEADER, RunOptions(log_root=tmp_path / "root", keep_frames=8), live=True)
    start, step = time.monotonic() - 7.0, 2  # every other frame of the camera is dropped
    for k in range(160):
        if k == 20:
            log.begin(*bundle_after, None)
        bgr = np.random.default_rng(k).integers(0, 255, (48, 40, 3), np.uint8)
        frame = Frame(bgr, step * k, START + timedelta(seconds=k / 10), start + k / 10)
        log.write(lambda r, f=frame: r.frame(f, Reply(ANSWER, None, 9.0, 3.0)), frame.index)
        log.tick()
    log.end("interrupted", {"frames": 160})
    first, later = (open_session(one).header for one in sessions_below(tmp_path / "root"))
    assert (first.run, later.run.started_at) == (None, first.started_at)
    began, here = (datetime.fromisoformat(one.started_at) for one in (first, later))
    passed_ms = (here - began).total_seconds() * 1000
    assert later.run.first_frame_ms == pytest.approx(-7000 - passed_ms, abs=1500)
    for session, count in zip(sessions_below(tmp_path / "root"), (20, 140), strict=True):
        assert answered_frames(read_frames(open_session(session))) == count


def test_where_no_other_session_can_be_begun_the_one_of_now_goes_on(tmp_path, monkeypatch):
    options = RunOptions(log_root=tmp_path / "root", session_mb=0.01, keep_frames=0)
    log = SessionLog(HEADER, options, live=True)
    feed = Feed(log)
    dated = session_log.new_dated
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(session_log, "new_dated", lambda _: tmp_path / "file" / "s")
    feed(200)
    (folder,) = sessions_below(tmp_path / "root")
    assert len(read(folder, "frame")) == 200
    assert (log.num_lost, log.num_outages, len(log.notes)) == (0, 0, 1)
    monkeypatch.setattr(session_log, "new_dated", dated)
    feed(5)
    log.end("interrupted", {})
    after = next(one for one in sessions_below(tmp_path / "root") if one != folder)
    assert [line["frame"] for line in read(after, "frame")] == list(range(200, 205))


@pytest.mark.parametrize("moment", ["another bundle", "another day", "clock set back"])
def test_a_disk_that_fails_where_another_session_begins_ends_no_log(
    feed_root, bundle_after, tmp_path, monkeypatch, moment
):
    feed_root(3)
    stat = os.stat

    def failing(path, *more, **named):
        if isinstance(path, str | Path) and str(path).startswith(str(tmp_path / "root" / "2")):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing)
        if moment == "another bundle":
            feed_root.log.begin(*bundle_after, None)
        else:
            days = 1 if moment == "another day" else -3650  # it was ahead by years
            feed_root.log._day = feed_root.log._day - timedelta(days=days)
            feed_root.log._begin_day()
        feed_root(3)
    feed_root.log.tick()
    feed_root(3)
    feed_root.log.end("interrupted", {})
    sessions = sessions_below(tmp_path / "root")
    assert len(sessions) == 2
    assert [frame["frame"] for one in sessions for frame in read(one, "frame")][-3:] == [6, 7, 8]


def test_a_root_that_is_deleted_while_pictures_expire_ends_no_log(tmp_path):
    log = SessionLog(HEADER, RunOptions(log_root=tmp_path / "root", keep_days=1), live=True)
    shutil.rmtree(tmp_path / "root")
    log._expire()


def test_old_pictures_expire_and_their_answers_stay(tmp_path):
    options = RunOptions(log_root=tmp_path, keep_days=1, session_mb=0.01, keep_frames=4)
    log = SessionLog(HEADER, options, live=True)
    feed = Feed(log)
    feed(3)
    old = sorted((log.folder / "frames").iterdir())
    assert len(old) >= 2
    os.utime(old[0], (time.time() - 2 * 86400,) * 2)
    feed(1)
    assert old[0].exists()  # the run began a moment ago: the clock was set
    before = log.folder
    log._begun[before] -= 2 * 86400
    feed(1)
    assert not old[0].exists()
    assert old[1].exists()
    assert len(read(before, "frame")) == 5
    os.utime(old[1], (time.time() - 2 * 86400,) * 2)
    log._is_over = True
    feed(1)
    assert log.folder != before
    assert not old[1].exists()  # its session has just ended, but began long before


def test_nothing_is_written_after_the_end(feed, tmp_path):
    feed(3)
    feed.log.end("interrupted", {})
    before = (tmp_path / "s" / "events.jsonl").read_bytes()
    feed(3)
    feed.log.tick()
    assert (tmp_path / "s" / "events.jsonl").read_bytes() == before


def test_log_and_log_root_exclude_each_other(tmp_path):
    with pytest.raises(OptionError, match="--log and --log-root"):
        RunOptions(log=tmp_path, log_root=tmp_path)


class Slow(SessionLog):
    """A log whose disk hangs until it is told to go on."""

    def __init__(self, folder: Path, header: SessionHeader = HEADER, keep_frames: int = 0) -> None:
        super().__init__(header, RunOptions(log=folder, keep_frames=keep_frames), live=True)
        self.goes_on = False

    def write(self, work: Callable, frame: int | None = None) -> None:
        while not self.goes_on:
            time.sleep(0.01)
        super().write(work, frame)


@pytest.mark.clock
def test_a_disk_that_hangs_never_holds_up_the_loop_of_a_camera(tmp_path):
    log = Slow(tmp_path / "s")
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, START, time.monotonic())
    with LogThread(log, live=True) as thread:
        for _ in range(1500):
            thread.frame(frame, Reply(ANSWER, None, 1.0, 1.0))
        assert 400 <= thread.num_missed <= 500
        limit = time.monotonic() + PATIENCE_S
        while thread.down is None:
            assert time.monotonic() < limit
            time.sleep(0.05)
        assert "does not answer" in thread.down.cause
        log.goes_on = True
        thread.end("interrupted", {})
    assert 1000 <= len(read(tmp_path / "s", "frame")) <= 1002


def test_while_a_card_writes_slowly_frames_wait_without_pictures_and_no_line_is_lost(tmp_path):
    header = replace(HEADER, regions=(FrameView(name="a"), FrameView(name="b")))
    log = Slow(tmp_path / "s", header, keep_frames=200)
    picture = np.zeros((1080, 1920, 3), np.uint8)
    with LogThread(log, live=True) as thread:
        for k in range(100):
            whole = picture.copy()
            alive = weakref.ref(whole)
            for name in ("a", "b"):
                frame = Frame(whole[:9, :9], k, START, time.monotonic(), uncut_bgr=whole)
                thread.frame(frame, Reply(ANSWER, None, 1.0, 1.0, region=name))
            del frame, whole
            assert k == 11 or (alive() is not None) == (k < 11), "64 MB of pictures wait, not more"
        log.goes_on = True
        thread.end("interrupted", {})
    frames = [(e["frame"], e["roi"]) for e in read(tmp_path / "s", "frame")]
    assert frames == [(k, name) for k in range(100) for name in ("a", "b")]
    assert thread.num_lost == 0
    kept = {int(path.stem.split("_")[0]) for path in (tmp_path / "s" / "frames").iterdir()}
    assert kept <= set(range(12))


class Disk:
    """A model of a disk that loses, at a power cut, all that was not synced.

    The content of a file lasts from its last fsync, a name in a folder from the folder's.
    """

    def __init__(self, monkeypatch, root: Path) -> None:
        self.root = root
        self.content: dict[int, bytes] = {}
        self.names: dict[int, dict[str, tuple[int, bool]]] = {}
        self.fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.take)

    def take(self, handle: int) -> None:
        self.fsync(handle)
        place, inode = Path(f"/proc/self/fd/{handle}").readlink(), os.fstat(handle).st_ino
        if place.is_dir():
            self.names[inode] = {p.name: (p.stat().st_ino, p.is_dir()) for p in place.iterdir()}
        else:
            self.content[inode] = place.read_bytes()

    def after_power_cut(self, target: Path) -> Path:
        self._restore(self.root.stat().st_ino, target)
        return target

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, (child, is_folder) in self.names.get(inode, {}).items():
            if is_folder:
                self._restore(child, target / name)
            else:
                (target / name).write_bytes(self.content.get(child, b""))


def test_a_power_cut_at_any_moment_after_the_first_second_leaves_a_session(tmp_path, monkeypatch):
    root, now = tmp_path / "root", [time.monotonic()]
    root.mkdir()
    disk = Disk(monkeypatch, root)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log = SessionLog(HEADER, RunOptions(log=root / "s", keep_frames=4), live=True)
    feed = Feed(log)
    moments = set(np.random.default_rng(0).choice(np.arange(11, 200), 20, replace=False).tolist())
    for k in range(200):
        feed(1)
        now[0] += 0.1
        if k in moments:
            session = disk.after_power_cut(tmp_path / f"cut{k}") / "s"
            frames = read_frames(open_session(session))
            assert frames.frame.tolist() == list(range(len(frames)))
            assert k - len(frames) <= 21, "at most what came in the last two seconds is lost"
            assert audit([session]).live.tally.total == 0


def test_a_place_that_can_not_be_written_to_at_the_start_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        SessionLog(HEADER, RunOptions(log_root=tmp_path / "file"), live=True)


def test_a_recording_that_is_over_in_a_moment_keeps_to_the_bounds_too(tmp_path, monkeypatch):
    monkeypatch.setattr(session_log, "_CHECK_S", 1e6)  # it ends before the next look at the files
    options = RunOptions(log=tmp_path / "s", log_mb=0.02, keep_frames=0)
    log = SessionLog(HEADER, options, live=False)
    Feed(log)(400)
    log.end("source ended", {})
    assert (tmp_path / "s" / "events.jsonl").stat().st_size < 20_000
    assert "80 % of --log-mb 0.02" in log.notes[0]
    options = RunOptions(log_root=tmp_path / "root", session_mb=0.01, keep_frames=0)
    log = SessionLog(HEADER, options, live=False)
    Feed(log)(400)
    log.end("source ended", {})
    assert len(sessions_below(tmp_path / "root")) > 2


def test_a_label_that_comes_later_brings_its_answer_into_a_log_that_left_it_out(tmp_path):
    options = RunOptions(log=tmp_path / "s", log_every=1.0, keep_frames=0)
    log = SessionLog(replace(HEADER, truth=("page",)), options, live=True)
    feed = Feed(log)
    feed(25)
    was_due = [e["frame"] for e in read(tmp_path / "s", "frame")]
    logged, left_out = was_due[1], min({*range(25)} - {*was_due})
    for frame in (left_out, logged, left_out):
        log.truths([TruthEvent(frame, CARD.labels[0], "page", why="uniform", probability=0.5)])
    feed(10)
    log.end("interrupted", {"frames": 35})
    session = open_session(tmp_path / "s")
    frames = read_frames(session)
    found = frames.frame.tolist()
    assert [k for k in found if k < 25] == sorted([*was_due, left_out])
    truth = read_truth(session, frames)
    assert frames.frame[truth.label >= 0].tolist() == sorted([left_out, logged])


class Always:
    """A label of each frame, as soon as it is seen."""

    via = "sensor"

    def __init__(self) -> None:
        self.seen: list[TruthEvent] = []

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        self.seen.append(TruthEvent(frame.index, CARD.labels[0], self.via))

    def take(self) -> list[TruthEvent]:
        seen, self.seen = self.seen, []
        return seen

    def close(self) -> None:
        pass


class Flickering(Source):
    """A camera that is away before each frame but the first; the seconds are the frame's number."""

    live = True

    def ticks(self) -> Iterator[Frame]:
        for index in range(120):
            now = time.monotonic()
            if index:
                self.outages.append((now + 1000, now + 1000 + index))
            made = self.prepare(np.zeros((48, 48, 3), np.uint8))
            yield Frame.of(made, index, datetime.now(timezone.utc), now, None)


def test_an_outage_belongs_to_the_session_of_the_frame_before_it(tmp_path, monkeypatch):
    """The label of the frame after it may be what begins another session."""
    monkeypatch.setattr(run_module, "open_source", lambda _, o, stop: Flickering(o, stop))
    monkeypatch.setattr(run_module, "load_truths", lambda *_, **__: Truths([Always()]))
    options = RunOptions(log_root=tmp_path, session_mb=0.01, keep_frames=0)
    run_module.run(PAST_BUNDLE, "camera", options)
    sessions = sessions_below(tmp_path)
    assert len(sessions) > 1
    for one in sessions:
        before = [frame["frame"] for frame in read(one, "frame")]
        away = [round((gap["until"] - gap["t"]) / 1000) for gap in read(one, "gap")]
        assert away == [frame + 1 for frame in before if frame < 119]
