"""The options of `evaluate`, `benchmark`, `doctor` and `run`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgecnn.accuracy.thing_rule import EACH, LOOKS, THINGS_OF_IMAGES, LabThings, ThingRule
from edgecnn.device.outputs.output_options import OutputOptions
from edgecnn.device.run.swap_options import SwapOptions
from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

if TYPE_CHECKING:
    from edgecnn.bundle.frame_view import FrameView

__all__ = [
    "BenchmarkOptions",
    "DeviceOptions",
    "DoctorOptions",
    "EvaluateOptions",
    "RunOptions",
]

_DEVICES = ("cpu", "edgetpu", "edgetpu:usb", "edgetpu:pci:0")


@dataclass(frozen=True)
class DeviceOptions:
    """Which file runs, and on what.

    `runtime` is one of `runtime.TFLITE_RUNTIMES`; None takes the first that is installed.
    """

    artifact: str | None = option(
        None,
        "File name or kind of the artifact that runs.",
        panel="Artifact and device",
        flags="--artifact/-a",
        metavar="NAME",
        shown="full_integer",
    )
    device: str = option(
        "cpu",
        "Where it runs: cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, or a delegate library.",
        suggested=_DEVICES,
        may_be_path=True,
        metavar="NAME",
    )
    threads: int = option(1, "Threads of the interpreter.", low=1, high=64)
    runtime: str | None = None

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class EvaluateOptions(DeviceOptions):
    """How to evaluate, and how to group the images."""

    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label, columns of groups, or both.",
        panel="Groups",
        metavar="FILE.csv",
        shown="the folders below the classes",
    )
    things: LabThings = option(LOOKS, THINGS_OF_IMAGES)
    group: str = option("device", "Column of --manifest to report accuracy by.", metavar="COLUMN")
    csv: Path | None = option(
        None, "Write a table with a row for each image.", panel="Output", metavar="FILE.csv"
    )


@dataclass(frozen=True)
class BenchmarkOptions(DeviceOptions):
    """How to measure; `artifact` is the one that --soak runs.

    warmup, warmup_seconds   this many classifications and this long are not counted
    repeats                  classifications that are counted, at most
    seconds                  a measurement ends after this long (but not under 20 of them)
    """

    soak: float | None = option(
        None,
        "Then run the artifact for this many seconds without a pause: first minute against "
        "steady state, temperature, throttling; 600 show a board's heat.",
        panel="What to measure",
        low=2,
        high=86_400,
        metavar="SECONDS",
    )
    plot: Path | None = option(
        None, "Draw accuracy against time: a .png, .svg or .pdf file.", metavar="FILE"
    )
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label for the images of DATA.",
        metavar="FILE.csv",
        shown="the class folders",
    )
    things: LabThings = option(LOOKS, THINGS_OF_IMAGES)
    warmup: int = 20
    warmup_seconds: float = 0.5
    repeats: int = 200
    seconds: float = 5.0


@dataclass(frozen=True)
class DoctorOptions:
    """What to check."""

    device: str = option(
        "cpu",
        "Where to replay files that are compiled for an Edge TPU; all others use the CPU.",
        panel="Machine",
        suggested=_DEVICES,
        may_be_path=True,
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class RunOptions(DeviceOptions, OutputOptions, SwapOptions):
    """How to run.

    first_s      how long a live source may take to its first frame, unless `wait`
    frozen_s     a picture that stays the same for so long is frozen
    config_file  the file that was read: the page saves a region there, or beside the bundle
    typed        names of the options that were typed: they win over that file
    """

    first_s: float = 10.0
    frozen_s: float = 10.0
    config_file: Path | None = None
    typed: tuple[str, ...] = ()

    truth: tuple[str, ...] = option(
        (),
        "Where true labels come from: folder (class = folder of the image), FILE.csv, keys (with "
        "--window), marker (a card in view), schedule:FILE.csv, sensor:FILE.csv, or none. Repeat "
        "it for several.",
        panel="Input and output",
        suggested=("folder", "keys", "marker", "none"),
        may_be_path=True,
        metavar="TRUTH",
        shown="none",
    )
    log: Path | None = option(None, "Write this SESSION folder.", metavar="SESSION")
    log_root: Path | None = option(
        None,
        "Write dated sessions into this folder: a new one at each start, each day (UTC), and when "
        "one reaches --session-mb.",
        metavar="ROOT",
    )
    name: str | None = option(None, "What this device is called, for its sessions.")
    site: str | None = option(None, "Where this device is, for its sessions.")
    things: str = option(
        LOOKS,
        "What counts as one thing in intervals: looks (frames that look alike), each (every frame "
        "shows another), or how long a thing stays in view, such as 2s.",
        suggested=(LOOKS, EACH),
        metavar="RULE",
    )
    color: Literal["bgr", "rgb"] = option("bgr", "Channel order that the source delivers.")
    roi: tuple[str, ...] = option(
        (),
        "Classify only this region of each frame, in pixels; with eight numbers its corners, for "
        "an object seen at an angle. Repeat it with names (hall=0,0,80,60) for several regions.",
        one_needs_no_list=True,
        metavar="[NAME=]X,Y,W,H",
        shown="the whole frame",
    )
    rotate: int = option(
        0,
        "Turn each frame, or its region, by 0, 90, 180 or 270 degrees clockwise.",
        low=0,
        high=270,
    )
    flip: Literal["horizontal", "vertical"] | None = option(
        None,
        "Mirror each frame, or its region: horizontal exchanges left and right.",
        shown="as it is",
    )
    fps: float | None = option(
        None,
        "Frames per second of a recording without times: a raw .h264 or .mjpeg stream.",
        low=0.01,
        high=1000,
        metavar="X",
        shown="the recording's own times",
    )
    truth_offset: int = option(
        0,
        "Add this to the frame numbers of a truth CSV: -1 for a file that counts from 1.",
        low=-1_000_000,
        high=1_000_000,
        metavar="N",
    )
    max_frames: int | None = option(
        None, "Stop after this many frames.", panel="How long", low=1, shown="no limit"
    )
    timeout_s: float = option(
        5.0,
        "Open a camera or stream again after this many seconds without a frame.",
        flags="--timeout",
        low=0.001,
        high=86_400,
    )
    wait: bool = option(
        False,
        "Wait for ever for the first frame of a camera or stream; without it the run ends after 10 "
        "seconds.",
    )
    give_up: float | None = option(
        None,
        "End the run with status 2 when a camera or stream was away for this many seconds.",
        low=0.001,
        high=1e9,
        metavar="SECONDS",
        shown="try for ever",
    )
    every: str | None = option(
        None,
        "Classify one frame in this time, such as 60s, 5m or 1h.",
        panel="How often",
        metavar="TIME",
        shown="every frame",
    )
    max_fps: float | None = option(
        None,
        "Classify this many frames a second at most.",
        low=0.0001,
        high=1000,
        shown="every frame",
    )
    keep_frames: int = option(
        200, "Keep this many frames in the session at most.", panel="Session", low=0
    )
    keep_mb: float = option(
        64.0, "Keep this many megabytes of frames in the session at most.", low=0, high=1e9
    )
    keep_days: float | None = option(
        None,
        "Delete kept frames after this many days, with --log-root in all its sessions.",
        low=0.001,
        high=1e6,
        shown="keep them",
    )
    log_every: float = option(
        0.0,
        "Log one answer in this many seconds; those with a label or a kept frame always.",
        low=0,
        high=1e9,
        metavar="SECONDS",
        shown="log every answer",
    )
    log_mb: float | None = option(
        None,
        "Write this many megabytes of answers into a session at most: near the end only answers "
        "with a label or a kept frame.",
        low=0.01,
        high=1e9,
        shown="no limit",
    )
    session_mb: float = option(
        256.0,
        "With --log-root, begin a new session after this many megabytes of answers (pictures are "
        "not counted).",
        low=0.01,
        high=1e9,
    )
    root_mb: float | None = option(
        None,
        "With --log-root, delete the oldest beyond this many megabytes: sessions without a label, "
        "then pictures without one, and sessions with labels last.",
        low=0.01,
        high=1e9,
        shown="no limit",
    )
    web: str | None = option(
        None,
        "Serve a page for a phone here: it shows frames and takes labels. A port serves this "
        "machine only; 0.0.0.0:8080 serves its networks too.",
        panel="Display",
        metavar="ADDR",
    )
    window: bool = option(False, "Show the frames in a window; q stops.")
    fail_on: Literal["alarm"] | None = option(
        None,
        "Return status 1 when the labels show that the field is worse than the lab.",
        panel="Gate",
        shown="never",
    )
    twin_every: int = option(
        50,
        "On an Edge TPU, also run every Nth frame on the CPU and compare the answers; 0 turns "
        "this off.",
        panel="Artifact and device",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "keys" in self.truth and not self.window:
            raise OptionError(
                "--truth keys needs a window to press them in; add --window, or label the "
                "session afterwards"
            )
        if "none" in self.truth and len(self.truth) > 1:
            raise OptionError("--truth none goes with no other --truth; leave it out")
        if self.log is not None and self.log_root is not None:
            raise OptionError("--log and --log-root say the same; leave one out")
        if self.every is not None and self.max_fps is not None:
            raise OptionError("--every and --max-fps say the same; leave one out")
        if self.fail_on is not None and self.truth in ((), ("none",)) and self.web is None:
            raise OptionError(
                "--fail-on alarm needs labels, but neither --truth nor --web is given; add one"
            )
        self.check_decisions()
        self.check_swaps(self.device, self.log)
        _ = self.period_s, self.thing_rule
        if len(self.views) > 1 and (self.web is not None or self.window):
            raise OptionError(
                "--web and --window show one region; with several leave them out, and label the "
                "session with `edgecnn label`"
            )

    @property
    def views(self) -> tuple[FrameView, ...]:
        """What is classified of each frame: one view or, named, several.

        Raises:
            OptionError: `roi` or `rotate` has another form.
        """
        from edgecnn.device.views import parse_views  # loads OpenCV: not for --help

        return parse_views(self.roi, self.rotate, self.flip)

    @property
    def region_names(self) -> tuple[str, ...]:
        """The names of several regions; none where there is one."""
        return tuple(str(view.name) for view in self.views) if len(self.roi) > 1 else ()

    @property
    def thing_rule(self) -> ThingRule:
        """What counts as one thing.

        Raises:
            OptionError: `things` names nothing known.
        """
        return ThingRule.parse(self.things)

    @property
    def period_s(self) -> float:
        """Seconds from one classified frame to the next at least; 0 without a limit.

        Raises:
            OptionError: `every` is no time.
        """
        if self.max_fps is not None:
            return 1 / self.max_fps
        return 0.0 if self.every is None else _seconds("--every", self.every)


_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _seconds(flag: str, text: str) -> float:
    """Seconds of a time such as "90", "60s", "5m", "1.5h".

    Raises:
        OptionError: It is none, or not above 0.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhd]?)", text.strip(), re.ASCII)
    found = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if found <= 0:
        raise OptionError(f"{flag} is {text!r}, expected a time such as 60s, 5m or 1h")
    return found
