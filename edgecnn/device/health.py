"""How the board is: what it is, how warm, and whether it is throttled."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from edgecnn.records import Json

__all__ = ["host", "read_health"]

_THERMAL = Path("/sys/class/thermal")


def host() -> Json:
    """What a session says of the machine it ran on."""
    return {
        "name": platform.node(),
        "model": _read(Path("/proc/device-tree/model")).strip("\0 \n") or None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def read_health() -> Json:
    """Temperature of the hottest zone in degrees Celsius, and vcgencmd's throttle bits.

    `throttled` is "0x0" when all is well; bits 0-3 are now, 16-19 since boot (under-voltage,
    frequency capped, throttled, soft limit). None for what this machine doesn't tell.
    """
    zones = [_read(path) for path in sorted(_THERMAL.glob("thermal_zone*/temp"))]
    degrees = [int(text) / 1000 for text in map(str.strip, zones) if text.lstrip("-").isdigit()]
    return {"temperature_c": max(degrees, default=None), "throttled": _throttled()}


def _throttled() -> str | None:
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        done = subprocess.run(
            [tool, "get_throttled"], capture_output=True, text=True, timeout=1, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("throttled=")[2] or None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
