"""Whether a display answers: without one, an OpenCV window ends the whole process."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["display_fault"]

_X11_SOCKETS, _X11_PORT, _PATIENCE_S = "/tmp/.X11-unix/X", 6000, 2.0


def display_fault(environment: Mapping[str, str]) -> str | None:
    """Why no window can be opened; None where a display takes connections.

    Args:
        environment: Of the process: DISPLAY, WAYLAND_DISPLAY.
    """
    x11, wayland = environment.get("DISPLAY"), environment.get("WAYLAND_DISPLAY")
    if not x11 and not wayland:
        return "no display (DISPLAY and WAYLAND_DISPLAY are unset)"
    folder = environment.get("XDG_RUNTIME_DIR", "")
    if wayland and _takes_unix(str(Path(folder) / wayland)):
        return None
    if x11 and _takes_x11(x11):
        return None
    return f"the display {x11 or wayland} does not answer"


def _takes_x11(display: str) -> bool:
    match = re.fullmatch(r"(?:unix/)?([^:/]*):(\d+)(?:\.\d+)?", display)
    if match is None:
        return Path(display).exists()  # macOS names a socket
    host, number = match[1], int(match[2])
    if not host:
        path = f"{_X11_SOCKETS}{number}"
        return _takes_unix(path) or _takes_unix("\0" + path)
    with suppress(OSError), socket.create_connection((host, _X11_PORT + number), _PATIENCE_S):
        return True
    return False


def _takes_unix(path: str) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_PATIENCE_S)
        one.connect(path)
        return True
    return False
