"""Tells systemd that a run is ready and alive (sd_notify), where systemd asks for it."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

__all__ = ["Notifier"]

_US = 1e6


class Notifier:
    """Talks to the socket that systemd names in NOTIFY_SOCKET; without one it does nothing.

    `alive` may be called for every frame: it sends four times in the watchdog's period.

    Source: sd_notify(3), sd_watchdog_enabled(3).
    """

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        period = os.environ.get("WATCHDOG_USEC", "")
        self._every_s = int(period) / _US / 4 if period.isdigit() else 1.0
        self._due = 0.0
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def __enter__(self) -> Notifier:
        return self

    def __exit__(self, *_: object) -> None:
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()

    def ready(self) -> None:
        """The run has begun; a camera may still be awaited."""
        self._send("READY=1")

    def alive(self) -> None:
        """The loop moves on."""
        now = time.monotonic()
        if self._socket is None or now < self._due:
            return
        self._due = now + self._every_s
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError):  # a supervisor that is gone must not end the run
            self._socket.sendto(text.encode(), address)
