"""CSI cameras of a Raspberry Pi, by picamera2: `picamera2:size=1280x720,fps=10,awb=lock`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from edgecnn.errors import MissingRuntimeError, SourceError

__all__ = ["PiSettings", "open_pi_camera", "parse_pi_camera", "plausible"]

_HELP = (
    "picamera2 can't be imported here; `sudo apt install python3-picamera2` and make the "
    "environment with `python3 -m venv --system-site-packages`"
)
_EXPECTED = "picamera2:size=1280x720,fps=10,exposure=8ms,gain=2,awb=lock"
# Stamps that are older, or in the future, do not come from the clock of time.monotonic().
_OLDEST_STAMP_S = 5.0
# Until then the camera has found its exposure and white balance, which are then locked.
_LOCK_AFTER_S = 1.5


@dataclass(frozen=True)
class PiSettings:
    """How a CSI camera is set.

    Args:
        size: Width and height in pixels.
        fps: Frames a second; None leaves it to the camera.
        exposure_us: Exposure in microseconds; 0 locks what the camera finds; None lets it go on.
        gain: Analogue gain; None leaves it to the camera.
        is_balance_locked: Keep the white balance that the camera finds first.
    """

    size: tuple[int, int] = (640, 480)
    fps: float | None = None
    exposure_us: int | None = None
    gain: float | None = None
    is_balance_locked: bool = False

    def controls(self) -> dict[str, Any]:
        """What libcamera is told at the start."""
        found: dict[str, Any] = {}
        if self.fps is not None:
            duration_us = round(1e6 / self.fps)
            found["FrameDurationLimits"] = (duration_us, duration_us)
        if self.exposure_us:
            found |= {"AeEnable": False, "ExposureTime": self.exposure_us}
            found["AnalogueGain"] = 1.0 if self.gain is None else self.gain
        elif self.gain is not None:
            found["AnalogueGain"] = self.gain
        return found

    def locks(self, seen: dict[str, Any]) -> dict[str, Any]:
        """What is kept from then on of what the camera has found, by the metadata of a frame."""
        found: dict[str, Any] = {}
        if self.exposure_us == 0 and "ExposureTime" in seen:
            found |= {"AeEnable": False, "ExposureTime": seen["ExposureTime"]}
            found["AnalogueGain"] = seen.get("AnalogueGain", 1.0)
        if self.is_balance_locked and "ColourGains" in seen:
            found |= {"AwbEnable": False, "ColourGains": seen["ColourGains"]}
        return found


def parse_pi_camera(source: str) -> PiSettings:
    """The settings in a source such as "picamera2:size=1280x720,fps=10,exposure=lock".

    Raises:
        SourceError: One is unknown or has another form.

    Example:
        >>> parse_pi_camera("picamera2:size=1280x720,awb=lock").size
        (1280, 720)
    """
    values: dict[str, Any] = {}
    for part in filter(None, source.partition(":")[2].split(",")):
        name, _, text = part.partition("=")
        form = {
            "size": r"([1-9]\d{1,4})x([1-9]\d{1,4})",
            "fps": r"(\d{1,3}(?:\.\d{1,3})?)",
            "exposure": r"(lock|\d{1,6}(?:\.\d{1,3})?)(?:ms)?",
            "gain": r"(\d{1,2}(?:\.\d{1,3})?)",
            "awb": r"(lock|auto)",
        }.get(name.strip())
        match = re.fullmatch(form, text.strip(), re.ASCII) if form else None
        if match is None or match[1].strip("0.") == "":
            raise SourceError(f"{part!r} is no setting of picamera2, expected some of {_EXPECTED}")
        values[name.strip()] = match.groups()
    size = values.get("size")
    fps, exposure, gain, awb = (
        values.get(k, (None,))[0] for k in ("fps", "exposure", "gain", "awb")
    )
    return PiSettings(
        PiSettings.size if size is None else (int(size[0]), int(size[1])),
        None if fps is None else float(fps),
        None if exposure is None else 0 if exposure == "lock" else round(1000 * float(exposure)),
        None if gain is None else float(gain),
        awb == "lock",
    )


def open_pi_camera(source: str) -> _PiCamera:
    """Open a Raspberry Pi camera (CSI) through picamera2.

    The format that libcamera calls RGB888 is B, G, R in memory, as OpenCV expects.

    Raises:
        MissingRuntimeError: picamera2 can't be imported.
        SourceError: No camera, it is in use, or it can't be set so.
    """
    settings = parse_pi_camera(source)
    try:
        module = import_module("picamera2")
    except ImportError as error:
        raise MissingRuntimeError(_HELP) from error
    try:
        camera = module.Picamera2()
        main = {"size": settings.size, "format": "RGB888"}
        camera.configure(camera.create_video_configuration(main=main, controls=settings.controls()))
        camera.start()
    except (RuntimeError, IndexError, OSError) as error:
        raise SourceError(
            f"picamera2 found no usable camera ({' '.join(str(error).split())}); "
            "check the ribbon cable and `rpicam-hello --list-cameras`"
        ) from error
    return _PiCamera(camera, settings)


class _PiCamera:
    """An open CSI camera: see `cameras.Capture`."""

    settles = True
    one_thread = False

    def __init__(self, camera: Any, settings: PiSettings) -> None:
        self._camera, self._settings = camera, settings
        self._lock_at = time.monotonic() + _LOCK_AFTER_S

    def read(self) -> tuple[np.ndarray, float] | None:
        try:
            request = self._camera.capture_request()
            try:
                frame, seen = np.array(request.make_array("main")), request.get_metadata()
            finally:
                request.release()
        except (RuntimeError, TimeoutError, OSError):
            return None
        now = time.monotonic()
        if now >= self._lock_at:
            self._lock_at = float("inf")
            locks = self._settings.locks(seen)
            if locks:
                self._camera.set_controls(locks)
        # The sensor says when the first row was exposed.
        return frame, plausible(seen.get("SensorTimestamp", 0) / 1e9, now)

    def skip(self) -> bool:
        return self.read() is not None

    def release(self) -> None:
        self._camera.stop()
        self._camera.close()


def plausible(stamp: float, now: float) -> float:
    """A driver's time of a frame if it comes from the clock of `time.monotonic()`, else now."""
    return stamp if 0 <= now - stamp < _OLDEST_STAMP_S else now
