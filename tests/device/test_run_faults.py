"""Faults of the disk, the clock and the machine while a run goes on: what is said of them where."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from helpers_run import audit_reads, events, panel_text
from mjpeg_server import PATIENCE_S, mjpeg_server
from sessions import PAST_BUNDLE

from edgecnn.device.capture import latest
from edgecnn.device.capture.frame import now_utc
from edgecnn.device.log import session_log
from edgecnn.device.machine import health
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.metrics import metrics_text
from edgecnn.device.run.run import run

pytestmark = pytest.mark.clock


class Fault:
    """Something that happens to the place of a log, for real, and what mends it."""

    def __init__(self, name: str, place: Path, monkeypatch) -> None:
        self.name, self.place, self.on = name, place, False
        self.session = place / "s"
        if name == "read-only":
            self.write = os.write
            monkeypatch.setattr(os, "write", self.refuse)

    def refuse(self, handle: int, data: bytes) -> int:
        """A card that went read-only: what is open can't be written to any more."""
        if self.on and str(self.place) in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self.write(handle, data)

    def cause(self) -> None:
        self.on = True
        if self.name == "full":
            with suppress(OSError), (self.place / "filler").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        elif self.name == "folder deleted":
            shutil.rmtree(self.session)
        elif self.name == "events deleted":
            (self.session / "events.jsonl").unlink()

    def mend(self) -> None:
        self.on = False
        (self.place / "filler").unlink(missing_ok=True)


WORDS = {
    "full": "No space left on device",
    "read-only": "Read-only file system",
    "folder deleted": "was deleted",
    "events deleted": "was deleted",
}


@pytest.mark.parametrize(
    ("name", "is_mended"), [*((name, True) for name in WORDS), ("full", False)]
)
def test_a_log_that_fails_is_said_everywhere_and_the_run_goes_on(
    small_disk, name, is_mended, monkeypatch
):
    monkeypatch.setattr(session_log, "_RETRY_S", 1.0)
    monkeypatch.setattr(session_log, "_CHECK_S", 0.0)
    fault, log = Fault(name, small_disk, monkeypatch), small_disk / "s"
    state, panel, unlogged, stop_at = "well", "", 0.0, 0

    def watch(status) -> None:
        nonlocal state, panel, unlogged, stop_at
        if state == "well" and status.frames >= 10:
            fault.cause()
            state = "broken"
        elif state == "broken" and "deleted" in name and "log outages" in status.faults:
            # It is made anew at once.
            panel, stop_at, state = panel_text(status), status.frames + 10, "said"
        elif state == "broken" and "deleted" not in name and status.unlogged is not None:
            panel, stop_at, state = panel_text(status), status.frames + 10, "said"
            unlogged = float(
                re.search(
                    r"^edgecnn_not_logging_seconds (\S+)", metrics_text(status, {}), re.MULTILINE
                )[1]
            )
            if is_mended:
                fault.mend()
        elif state == "said" and status.frames > stop_at and is_mended == (status.unlogged is None):
            state = "stopped"
            signal.raise_signal(signal.SIGTERM)

    with mjpeg_server() as camera:
        options = RunOptions(log=log, keep_frames=0)
        result = run(PAST_BUNDLE, camera.url, options, on_status=watch)
    assert (state, result.ended) == ("stopped", "interrupted")
    assert "log outages 1" in panel
    if "deleted" not in name:
        assert "not logging for 0:00:0" in panel
        assert WORDS[name] in panel
        assert unlogged > 0
    assert any(one.startswith("not logging: ") and WORDS[name] in one for one in result.warnings)
    logged = len(events(log, "frame"))
    assert 5 < logged < result.frames
    audit_reads(log, logged)
    if is_mended:
        assert any(one.startswith("logging again after") for one in result.warnings)
        (gap,) = events(log, "gap")
        assert WORDS[name] in gap["why"]
        assert events(log, "end")[0]["reason"] == "interrupted"
    if "deleted" not in name:
        assert result.faults["lines not logged"] > 0


@pytest.mark.parametrize(("moved", "way"), [(-3600, "back"), (365 * 86400, "forward")])
def test_a_clock_that_is_set_is_said_in_panel_log_and_status(tmp_path, moved, way, monkeypatch):
    frames, panel = 0, ""

    def now() -> datetime:
        return now_utc() + timedelta(seconds=moved if frames > 10 else 0)

    def watch(status) -> None:
        nonlocal frames, panel
        frames, panel = status.frames, panel_text(status)

    monkeypatch.setattr(latest, "now_utc", now)
    with mjpeg_server() as camera:
        options = RunOptions(log=tmp_path / "s", max_frames=60)
        result = run(PAST_BUNDLE, camera.url, options, on_status=watch)
    assert result.warnings == (f"the clock was set {way} by {abs(moved)} s",)
    assert result.faults["clock set"] == 1
    assert "clock set 1" in panel
    assert [e["message"] for e in events(tmp_path / "s", "health") if "message" in e] == list(
        result.warnings
    )
    times = [e["t"] for e in events(tmp_path / "s", "frame")]
    assert times == sorted(times)
    assert times[-1] < 60_000
    assert events(tmp_path / "s", "gap") == []
    audit_reads(tmp_path / "s", 60)


def test_no_frame_waits_for_a_slow_vcgencmd(tmp_path, monkeypatch):
    """It answers when 30 frames have been answered, and a loop that waits for it answers none."""
    goes_on, tool = tmp_path / "goes_on", tmp_path / "bin" / "vcgencmd"
    tool.parent.mkdir()
    tool.write_text(
        f"#!/bin/sh\nuntil [ -e {goes_on} ]; do sleep 0.1; done\necho throttled=0x50005\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(health, "_ASK_S", PATIENCE_S)

    def watch(status) -> None:
        if status.frames >= 30:
            goes_on.touch()

    log = tmp_path / "s"
    with mjpeg_server() as camera:
        options = RunOptions(log=log, max_frames=100)
        result = run(PAST_BUNDLE, camera.url, options, on_status=watch)
    assert result.faults == {}
    assert len(events(log, "frame")) == 100
    assert {e["throttled"] for e in events(log, "health")} == {"0x50005"}
    audit_reads(log, 100)
