"""The options of `service`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["ServiceOptions"]


@dataclass(frozen=True)
class ServiceOptions:
    """What the service runs, as whom, and where its unit is.

    folder  where systemd's units are
    """

    folder: Path = Path("/etc/systemd/system")

    source: str | None = option(
        None,
        "Camera index, /dev/videoN, picamera2, or an rtsp:// or http:// URL.",
        panel="What runs",
        flags="--source/-s",
        metavar="SOURCE",
    )
    log_root: Path = option(
        Path("/var/lib/edgecnn"), "Write dated sessions into this folder.", metavar="ROOT"
    )
    run_config: Path | None = option(
        None,
        "Take further options of `run` from this file.",
        metavar="FILE.toml",
        shown="edgecnn.toml beside the bundle",
    )
    unit: str = option("edgecnn", "Name of the systemd unit.", panel="The service", metavar="NAME")
    user: str = option("edgecnn", "Run as this user, which is made where it does not exist.")
    print_only: bool = option(False, "Print the unit and change nothing.")
    lines: int = option(50, "Show this many lines of the log.", low=1, high=100_000)

    def __post_init__(self) -> None:
        check_options(self)
        for flag, value in (("--unit", self.unit), ("--user", self.user)):
            if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value):
                raise OptionError(
                    f"{flag} is {value!r}, expected 1 to 32 small letters, digits, _ or -"
                )
