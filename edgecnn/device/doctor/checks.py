"""The checks of `doctor` that need no bundle; each gives one line and none raises."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from edgecnn.device.machine.delegate_trial import try_delegate
from edgecnn.device.machine.display import display_fault
from edgecnn.device.machine.health import host, installed, read_health
from edgecnn.device.machine.isolated import NO_SECOND_PYTHON, call
from edgecnn.errors import MissingRuntimeError, one_line
from edgecnn.records import Record

__all__ = ["Check", "hardware", "software"]

_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
_LAB = ("tensorflow", "tf2onnx", "onnx", "scikit-learn")
# Video4Linux names of a Pi's parts that are no camera, and of its CSI camera.
_NO_CAMERA = ("bcm2835-codec", "bcm2835-isp", "pispbe", "rpi-hevc", "rpivid")
_CSI = ("unicam", "rp1-cfe")
_PROBE_SECONDS = 60.0
_WIDTH = 14


Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check(Record):
    """One line: what was checked, what was found and, in case of a problem, how to fix it.

    "fail": edgecnn can't run here. "warn": a part of it can't.
    """

    name: str
    status: Status
    found: str
    mend: str = ""

    def to_text(self) -> str:
        """One line; names of files are the longest names."""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.status:4}  {self.name:{_WIDTH}}  {self.found}{mend}"


def software() -> Iterator[Check]:
    """Check Python, numpy, OpenCV, the runtimes and the lab's packages."""
    yield Check("python", "ok", f"{platform.python_version()}, {platform.machine()}")
    yield numpy()
    yield from opencv()
    yield from runtimes()
    onnx = installed("onnxruntime") or "not installed (only .onnx artifacts need it)"
    yield Check("onnxruntime", "ok", onnx)
    found = [f"{name} {number}" for name in _LAB if (number := installed(name))]
    yield Check("lab packages", "ok", ", ".join(found) or "none (only train and export need them)")


def hardware(device: str = "cpu") -> Iterator[Check]:
    """Check the board, its cameras, an Edge TPU (the one that `device` names), temperature and
    disk."""
    machine = host()
    name = machine["model"] or f"{machine['machine']} with {machine['cpus']} cores"
    yield Check("machine", "ok", f"{name}, {machine['system']}")
    yield cameras()
    yield edgetpu() if device == "cpu" else edgetpu(device, wanted=True)
    yield from pycoral()
    yield temperature()
    yield disk()


def numpy() -> Check:
    try:
        import numpy
    except ImportError as error:
        return Check("numpy", "fail", one_line(error), "pip install --force-reinstall numpy")
    return Check("numpy", "ok", numpy.__version__)


def opencv() -> Iterator[Check]:
    """Check that cv2 can be imported, and what this build supports: windows, sources of frames."""
    try:
        import cv2
    except ImportError as error:
        mend = "pip install --force-reinstall opencv-python-headless"
        yield Check("opencv", "fail", one_line(error), mend)
        return
    yield opencv_package(cv2.__version__)
    parts = dict(re.findall(r"^ +([\w/+]+):\s+(\S.*?)\s*$", cv2.getBuildInformation(), flags=re.M))
    yield window(parts.get("GUI", "NONE"), os.environ)
    have = {
        "FFMPEG (files, RTSP, HTTP)": parts.get("FFMPEG", "NO"),
        "Video4Linux": parts.get("v4l/v4l2", "NO"),
        "GStreamer": parts.get("GStreamer", "NO"),
    }
    yes = [name for name, value in have.items() if value.startswith("YES")]
    no = [name for name in have if name not in yes]
    found = f"with {', '.join(yes) or 'nothing'}; without {', '.join(no) or 'nothing'}"
    if no == ["GStreamer"]:
        found += " (GStreamer strings need Debian's python3-opencv)"
    mend = "" if no in ([], ["GStreamer"]) else "pip install opencv-python-headless"
    yield Check("video input", "warn" if mend else "ok", found, mend)


def opencv_package(number: str) -> Check:
    """Check that only one package provides cv2, and that numpy fits."""
    names = [name for name in _OPENCV if installed(name)]
    if len(names) > 1:
        mend = f"pip uninstall {' '.join(names)}, then pip install {names[0]}"
        return Check("opencv", "warn", f"{' and '.join(names)} overwrite each other's cv2", mend)
    found = f"{number} ({names[0] if names else 'not from pip'})"
    package, numpy_number = installed(names[0]) if names else None, installed("numpy")
    if (
        package
        and numpy_number
        and major_minor(package) >= (4, 12)
        and major_minor(numpy_number)[0] < 2
    ):
        mend = "pip install 'opencv-python-headless<4.12'"
        return Check("opencv", "warn", f"{found} needs numpy 2, found {numpy_number}", mend)
    return Check("opencv", "ok", found)


def window(gui: str, environment: Mapping[str, str]) -> Check:
    """Check for a display: without one, an OpenCV window ends the process."""
    if gui in ("NONE", "NO"):
        return Check("window", "ok", "this OpenCV is headless: `run --window` needs opencv-python")
    fault = display_fault(environment)
    if fault is not None:
        mend = "leave --window out, or log in with `ssh -X`"
        return Check("window", "warn", f"{gui}, but {fault}", mend)
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return Check("window", "ok", f"{gui} on {display}")


def runtimes() -> Iterator[Check]:
    """Try each installed TFLite runtime on a model of one operation."""
    tried = [
        try_runtime(name, module, number)
        for name, module in _RUNTIMES.items()
        if (number := installed(name))
    ]
    yield from tried
    if any(check.status == "ok" for check in tried):
        return
    if tried:  # their own lines say why they don't work
        mend = "repair one of them"
    else:
        mend = "pip install ai-edge-litert, or tflite-runtime 'numpy<2' where that has no wheel"
    if installed("tensorflow"):
        yield Check("tflite", "warn", "only TensorFlow's own runtime is left", mend)
    else:
        yield Check("tflite", "fail", "no TFLite runtime works here", mend)


def try_runtime(name: str, module: str, number: str) -> Check:
    try:
        reply = call("edgecnn.device.doctor.probe", {"module": module}, _PROBE_SECONDS)
    except MissingRuntimeError as error:
        if NO_SECOND_PYTHON in str(error):  # an emulated machine: loading a model will show it
            return Check(name, "ok", f"{number}, not tried: {error}")
        return Check(name, "warn", f"{number}: {error}", f"pip install --force-reinstall {name}")
    if reply["works"]:
        return Check(name, "ok", f"{number} works")
    mend = f"pip install --force-reinstall {name}"
    if "numpy 1" in reply["why"]:
        mend = "pip install 'numpy<2' 'opencv-python-headless<4.12', or use ai-edge-litert"
    return Check(name, "warn", f"{number} can't run a model: {reply['why']}", mend)


def cameras(root: Path = Path("/")) -> Check:
    """Find the cameras that OpenCV can open, and a CSI camera that only libcamera can.

    Args:
        root: The folder that holds sys/ and dev/.
    """
    names = {}
    for path in sorted(root.glob("sys/class/video4linux/video*/name")):
        names[f"/dev/{path.parent.name}"] = path.read_text(errors="replace").strip()
    real = {k: v for k, v in names.items() if not v.startswith((*_NO_CAMERA, *_CSI))}
    csi = any(name.startswith(_CSI) for name in names.values())
    found = [f"{device} ({name})" for device, name in real.items()]
    unreadable = [device for device in real if not os.access(root / device[1:], os.R_OK | os.W_OK)]
    if csi:
        found.append("a CSI camera, which only libcamera can read")
    if unreadable:
        mend = "sudo usermod -aG video $USER, then log in again"
        return Check("cameras", "warn", f"no permission to open {', '.join(unreadable)}", mend)
    if csi and not real and find_spec("picamera2") is None:
        mend = (
            "apt install python3-picamera2, make the environment with --system-site-packages, "
            "then use --source picamera2"
        )
        return Check("cameras", "warn", found[0], mend)
    if not found:
        return Check("cameras", "ok", "none here; files, folders and URLs work without one")
    return Check("cameras", "ok", ", ".join(found))


def edgetpu(library: str = "libedgetpu.so.1", *, wanted: bool = False) -> Check:
    """Check whether libedgetpu is installed and finds a device, in a process of its own.

    Args:
        wanted: It was asked for, so that its absence is no matter of course.
    """
    try:
        failure = try_delegate(library)
    except MissingRuntimeError as error:
        failure = str(error)
    if failure is None:
        return Check("edge tpu", "ok", f"{library} found a device")
    if failure.startswith(NO_SECOND_PYTHON):
        return Check("edge tpu", "ok", f"not tried: {failure}")
    if not wanted and failure.startswith(f"{library} is not installed"):
        found = f"{library} is not installed (only Coral boards need it)"
        return Check("edge tpu", "ok", found)
    found, _, mend = failure.partition("; ")
    return Check("edge tpu", "warn", found, mend.removesuffix("; or run with --device cpu"))


def pycoral() -> Iterator[Check]:
    """Name the package of that name on PyPI, which has nothing to do with Coral boards."""
    number = installed("pycoral")
    if number is None or _is_of_coral():
        return
    found = f"{number} is another project of that name (a program about coral reefs)"
    yield Check("pycoral", "warn", found, "pip uninstall pycoral; edgecnn needs no pycoral")


def _is_of_coral() -> bool:
    found = {file.as_posix() for file in files("pycoral") or ()}
    return "pycoral/utils/edgetpu.py" in found


def temperature() -> Check:
    health = read_health()
    degrees, throttled = health["temperature_c"], health["throttled"]
    found = "unknown" if degrees is None else f"{degrees:.0f} °C"
    if throttled not in (None, "0x0"):
        mend = "cool the board and use its own power supply, then restart it"
        return Check("temperature", "warn", f"{found}, throttled {throttled}", mend)
    if degrees is not None and degrees >= 80:
        return Check("temperature", "warn", found, "cool the board: it slows down at 80 to 85 °C")
    return Check("temperature", "ok", found)


def disk(folder: Path = Path(), least_mb: float = 200) -> Check:
    """Check that the current folder has room for a session."""
    try:
        free_mb, place = shutil.disk_usage(folder).free / 1e6, folder.resolve()
    except OSError:  # somebody deleted the working directory
        return Check("disk", "warn", "the current folder is gone", "change to another one")
    found = f"{free_mb / 1000:.1f} GB free in {place}"
    if free_mb < least_mb:
        return Check("disk", "warn", found, f"free {least_mb:.0f} MB, or log elsewhere")
    return Check("disk", "ok", found)


def major_minor(number: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", number)[:2]
    return int(major), int(minor)
