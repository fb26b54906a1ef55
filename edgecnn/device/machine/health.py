"""Read the board's model, temperature, clock and throttle flags."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgecnn.records import Json

__all__ = [
    "boot_id",
    "clock_mhz",
    "host",
    "installed",
    "machine_name",
    "read_health",
    "read_state",
    "throttle_flags",
]

_THERMAL = Path("/sys/class/thermal")
_ASK_S = 1.0  # for `vcgencmd`
# Bits of `vcgencmd get_throttled`; the same bits 16 places higher mean "since boot".
_THROTTLE_BITS = (
    "under-voltage",
    "frequency capped",
    "throttled",
    "soft temperature limit",
)


def host() -> Json:
    """Describe this machine for a session."""
    return {
        "name": platform.node(),
        "model": _read(Path("/proc/device-tree/model")).strip("\0 \n") or None,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def boot_id() -> str | None:
    """A text that changes when this machine starts; None where it has none."""
    return _read(Path("/proc/sys/kernel/random/boot_id")).strip() or None


def read_health() -> Json:
    """Read the temperature of the hottest zone in degrees Celsius, and vcgencmd's throttle bits.

    `throttled` is "0x0" without a problem; bits 0-3 mean now, 16-19 since boot (under-voltage,
    frequency capped, throttled, soft limit). A value is None where this machine doesn't report it.
    """
    zones = [_read(path) for path in sorted(_THERMAL.glob("thermal_zone*/temp"))]
    degrees = [int(text) / 1000 for text in map(str.strip, zones) if text.lstrip("-").isdigit()]
    return {"temperature_c": max(degrees, default=None), "throttled": _throttled()}


def read_state() -> Json:
    """Read `read_health` and the clock of the first core in MHz."""
    return {**read_health(), "clock_mhz": clock_mhz()}


def throttle_flags(throttled: str | None) -> list[str]:
    """The throttle bits of `read_health` in words; empty without a problem or if unknown.

    Example:
        >>> throttle_flags("0x50004")
        ['throttled now', 'under-voltage since boot', 'throttled since boot']
    """
    try:
        bits = int(throttled or "0", 16)
    except ValueError:
        return []
    return [
        f"{name} {when}"
        for first, when in ((0, "now"), (16, "since boot"))
        for k, name in enumerate(_THROTTLE_BITS)
        if bits >> (first + k) & 1
    ]


def machine_name() -> str:
    """The model of a Pi or Coral board, else of the processor."""
    model = host()["model"]
    if model:
        return str(model)
    return next(filter(None, _cpuinfo("model name")), platform.processor() or platform.machine())


def installed(distribution: str) -> str | None:
    """The version of an installed package, without an import; None if it is absent."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def clock_mhz() -> float | None:
    """The current clock of the first core in MHz, or None where it is unknown."""
    for name in ("scaling_cur_freq", "cpuinfo_cur_freq"):
        text = _read(Path(f"/sys/devices/system/cpu/cpu0/cpufreq/{name}")).strip()
        if text.isdigit():
            return int(text) / 1000
    clocks = _cpuinfo("cpu MHz")
    return float(clocks[0]) if clocks else None


def _throttled() -> str | None:
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        done = subprocess.run(
            [tool, "get_throttled"], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().partition("throttled=")[2] or None


def _cpuinfo(name: str) -> list[str]:
    """What Linux says of each core under a name."""
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith(name)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
