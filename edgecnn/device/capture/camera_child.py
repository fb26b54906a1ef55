"""The process that reads a live source, `python -m edgecnn.device.capture.camera_child`.

It may hang in a driver or die of one: `camera_process` then ends it and starts another.

The first line on stdin says what to read, each later byte is one of the commands below or the
number of a slot that is free again; at the end of stdin the process ends. Pictures go through
memory that both processes map, lines about them through stdout.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

import numpy as np

from edgecnn.device.capture.cameras import Capture, open_capture, public_name, quiet_opencv
from edgecnn.device.capture.picture_watch import PictureWatch
from edgecnn.errors import EdgecnnError, MissingRuntimeError, one_line

__all__ = ["NUM_SLOTS", "OPEN", "Workload", "main"]

NUM_SLOTS = 3
OPEN = b"o"
# A stream first delivers the frames that it buffered while it was opened (a second of RTSP).
# They are over when a read waits this long, or when this much time has passed.
_BUFFERED_WAIT_S, _LONGEST_BUFFERED_S = 0.005, 0.5
# After so many failed reads in a row, or one that waited this long, no more frames will come.
_MOST_FAILED, _LONGEST_FAILED_S = 10, 1.0
_ALIVE_S = 1.0
# One thread decodes too slowly when it waited for less than this share of so many seconds.
_BUSY_S, _LEAST_WAITING = 3.0, 0.05
# How long the camera may take to be released; `camera_process` waits a little longer.
_RELEASE_S = 0.7


class Workload:
    """Whether the one thread that decodes a stream keeps up with it.

    A thread that is fast enough waits for most pictures. One that is not works all the time, and
    what it decodes gets older and older.
    """

    def __init__(self) -> None:
        self._seconds = self._waited_s = 0.0

    def is_too_much(self, elapsed_s: float, waited_s: float) -> bool:
        """Count in a read and say whether the last seconds were work alone."""
        self._seconds += elapsed_s
        self._waited_s += waited_s
        if self._seconds < _BUSY_S:
            return False
        waiting = self._waited_s / self._seconds
        self._seconds = self._waited_s = 0.0
        return waiting < _LEAST_WAITING


class _Child:
    def __init__(self, request: dict[str, Any], out: int) -> None:
        self._source, self._timeout_s = request["source"], request["timeout_s"]
        self._period_s, self._memory = request["period_s"], request["memory"]
        self._out = out
        self._watch = PictureWatch(request["frozen_s"])
        self._bad: Counter[str] = Counter()
        self._one_thread = True
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._map: mmap.mmap | None = None
        self._size = 0
        self._sequence = 0
        self._due = self._alive_at = 0.0

    def serve(self) -> None:
        """Open the source when asked to, and read it until it breaks off; for ever."""
        while self._orders.get() == OPEN:
            try:
                with quiet_opencv():
                    capture = open_capture(
                        self._source, self._timeout_s, one_thread=self._one_thread
                    )
            except EdgecnnError as error:
                final = isinstance(error, MissingRuntimeError)
                self._say(error=one_line(error, 1000), final=final)
                continue
            self._say(opened=True)
            why = self._read(capture)
            capture.release()
            if not self._ending.is_set():
                self._say(lost=why)

    def listen(self) -> None:
        """In a thread: take orders and free slots; without a parent there is nothing to do."""
        while byte := os.read(0, 1):
            if byte == OPEN:
                self._orders.put(byte)
            else:
                self._free.put(byte[0])
        self._ending.set()
        self._orders.put(b"")
        time.sleep(_RELEASE_S)
        os._exit(0)  # the other thread hangs in a driver

    def _read(self, capture: Capture) -> str:
        """Deliver frames until no more come; why."""
        opened = good_at = time.monotonic()
        buffered, failed = not capture.settles, 0
        workload = Workload()
        self._watch.opened()
        while not self._ending.is_set():
            begin, worked_s = time.monotonic(), time.thread_time()
            if begin < self._due:
                ok, got = capture.skip(), None
            else:
                got = capture.read()
                ok = got is not None
            now = time.monotonic()
            wait_s = (now - begin) - (time.thread_time() - worked_s)
            if not ok:
                failed += 1
                slow = now - begin > min(_LONGEST_FAILED_S, self._timeout_s / 2)
                if failed >= _MOST_FAILED or (slow and now - good_at > self._timeout_s / 2):
                    return f"{public_name(self._source)} gives no more frames"
                continue
            self._bad["damaged frames"] += failed
            failed, good_at = 0, now
            if buffered:
                buffered = wait_s < _BUFFERED_WAIT_S and now - opened < _LONGEST_BUFFERED_S
            if got is not None and not buffered:
                self._deliver(capture, got, now - opened)
            elif now - self._alive_at >= _ALIVE_S:
                self._alive_at = now
                self._say(alive=True)
            if capture.one_thread and workload.is_too_much(now - begin, wait_s):
                self._one_thread = False
                return (
                    f"one thread is too slow for {public_name(self._source)}, so its pictures get "
                    "older and older; from here on all cores decode it"
                )
        return "the run is over"

    def _deliver(
        self, capture: Capture, got: tuple[np.ndarray, float], since_open_s: float
    ) -> None:
        frame, captured = got
        now = time.monotonic()
        if capture.settles and self._watch.settles(frame, since_open_s):
            return
        if self._period_s:
            self._due = max(self._due + self._period_s, now)
        self._watch.see(frame, now)
        frame = np.ascontiguousarray(frame)
        number, self._sequence = self._sequence, self._sequence + 1
        notes = self._watch.take_notes()
        counts = {k: n for k, n in (self._watch.counts + self._bad).items() if n}
        if (frame.nbytes > self._size and not self._grow(frame.nbytes)) or self._map is None:
            return
        try:
            slot = self._free.get_nowait()
        except queue.Empty:  # the parent did not run: this frame counts as dropped
            self._say(notes=notes, counts=counts)
            return
        start = slot * self._size
        self._map[start : start + frame.nbytes] = frame.data.cast("B")
        self._say(
            frame=number,
            slot=slot,
            size=self._size,
            shape=frame.shape,
            dtype=frame.dtype.name,
            captured=captured,
            notes=notes,
            counts=counts,
        )

    def _grow(self, size: int) -> bool:
        """Make place for larger frames, once the parent has no slot in its hands."""
        try:
            for _ in range(NUM_SLOTS if self._size else 0):
                self._free.get(timeout=_ALIVE_S)
        except queue.Empty:
            return False
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        os.ftruncate(self._memory, NUM_SLOTS * size)
        self._map = mmap.mmap(self._memory, NUM_SLOTS * size)
        self._size = size
        for slot in range(NUM_SLOTS):
            self._free.put(slot)
        return True

    def _say(self, **what: Any) -> None:
        os.write(self._out, json.dumps(what).encode() + b"\n")


def main() -> None:
    """Read the source that stdin names."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to the whole group; the parent decides
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not come between our lines
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    child = _Child(json.loads(line), out)
    threading.Thread(target=child.listen, daemon=True).start()
    try:
        child.serve()
    except BrokenPipeError:  # the parent is gone
        sys.exit(0)


if __name__ == "__main__":
    main()
