"""Ends long work cleanly when a person or a supervisor asks for it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_on_signals"]

# Who ends a program may signal it and its group, as `timeout` does: that is asked once.
_SAME_S = 1.0


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set; only a main thread may have handlers.

    SIGHUP comes where the terminal is closed; who starts a program with nohup has it ignored.

    A second one, a moment later, works as ever.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    asked_at: float | None = None

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_at
        if asked_at is None:
            asked_at = time.monotonic()
            stop.set()
        elif time.monotonic() - asked_at > _SAME_S:
            restore()
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    asked = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        asked.append(hangup)
    before = {n: signal.getsignal(n) for n in asked}
    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()
