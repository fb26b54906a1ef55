"""What `audit` says of right sessions, one a device, and of sessions of a program with one fault.

The faults are written here by hand, not taken from `edgecnn/audit`, which has to name them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from edgecnn.audit.audit import audit
from edgecnn.bundle.preprocess import to_tensor
from edgecnn.bundle.runtime.io_tensors import Runtime, quantize
from edgecnn.bundle.spec import InputSpec
from edgecnn.device.run.run import RunOptions, run

Fault = Callable[[np.ndarray, InputSpec], np.ndarray]
_PICTURES = "pictures of other frames"


def _resized(how: int) -> Fault:
    def make(frame: np.ndarray, spec: InputSpec) -> np.ndarray:
        return cv2.resize(frame, (spec.width, spec.height), interpolation=how)[..., ::-1]

    return make


def _letterboxed(frame: np.ndarray, spec: InputSpec) -> np.ndarray:
    h, w = frame.shape[:2]
    scale = min(spec.width / w, spec.height / h)
    size_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    left, top = (spec.width - size_wh[0]) // 2, (spec.height - size_wh[1]) // 2
    canvas = np.zeros(spec.shape, np.uint8)
    small = cv2.resize(frame, size_wh, interpolation=cv2.INTER_LINEAR)
    canvas[top : top + size_wh[1], left : left + size_wh[0]] = small[..., ::-1]
    return canvas


FAULTS: dict[str, Fault] = {
    "BGR": lambda f, s: to_tensor(f, s)[..., ::-1],
    "[0, 1]": lambda f, s: to_tensor(f, s) / 255,
    "[-1, 1]": lambda f, s: to_tensor(f, s) / 127.5 - 1,
    "-128": lambda f, s: to_tensor(f, s) - 128.0,
    "turn by 90": lambda f, s: to_tensor(np.ascontiguousarray(np.rot90(f, -1)), s),
    "mirror": lambda f, s: to_tensor(f, s)[:, ::-1],
    "letterbox": _letterboxed,
    "nearest": _resized(cv2.INTER_NEAREST),
    "area": _resized(cv2.INTER_AREA),
    "linear": _resized(cv2.INTER_LINEAR),
}


def audit_table(bundle: Path, field: Path, folder: Path) -> Iterator[str]:
    """The lines of both tables: every device as it is, and the first in size with each fault.

    Args:
        field: FIELD/<device>/<class>/.
        folder: Where the sessions are written.
    """
    devices = sorted(path for path in field.iterdir() if path.is_dir())
    yield "| device | live, % | kept frames that agree | accused of |\n|---|---|---|---|"
    for device in devices:
        session = folder / device.name
        run(bundle, str(device), RunOptions(truth=("folder",), log=session))
        yield _row(device.name, session)
    largest = max(devices, key=_largest_side)
    yield f"\n| fault on {largest.name} | live, % | kept frames that agree | named |"
    yield "|---|---|---|---|"
    for name, fault in FAULTS.items():
        session = folder / f"fault {len(list(folder.iterdir()))}"
        with faulty(fault):
            run(bundle, str(largest), RunOptions(truth=("folder",), log=session))
        yield _row(name, session)
    session = folder / _PICTURES
    shutil.copytree(folder / largest.name, session)
    _shuffle(session / "frames")
    yield _row(_PICTURES, session)
    yield ""


def _row(name: str, session: Path) -> str:
    report = audit([session])
    kept = report.checks.kept
    faults = "; ".join(
        fault.name + ("" if fault.points is None else f" ({fault.points:.1f} points)")
        for fault in report.checks.faults
    )
    return f"| {name} | {report.live.tally.percent} | {kept.agreed} of {kept.frames} | {faults} |"


@contextlib.contextmanager
def faulty(fault: Fault) -> Iterator[None]:
    """Let `run` make the model's input with a fault."""
    right = Runtime.output_of
    waiting: list[np.ndarray] = []

    def make(frame: np.ndarray, spec: InputSpec) -> np.ndarray:
        values = np.ascontiguousarray(fault(frame, spec))
        if values.dtype == np.uint8:
            return values
        waiting.append(values.astype(np.float32))  # no picture: it takes the tensor's place later
        return to_tensor(frame, spec)

    def output_of(self: Runtime, tensor: np.ndarray) -> np.ndarray:
        return (
            self._run(quantize(waiting.pop(), self.input)[None]) if waiting else right(self, tensor)
        )

    with (
        mock.patch("edgecnn.bundle.classifier.to_tensor", make),
        mock.patch.object(Runtime, "output_of", output_of),
        mock.patch("edgecnn.device.run.run.check_golden", return_value=None),
    ):
        yield
    assert not waiting, "the fault was not planted"


def _shuffle(frames: Path) -> None:
    files = sorted(frames.iterdir())
    contents = [file.read_bytes() for file in files]
    order = np.random.default_rng(0).permutation(len(files))
    for file, k in zip(files, order, strict=True):
        file.write_bytes(contents[k])


def _largest_side(device: Path) -> int:
    first = next(path for path in sorted(device.rglob("*")) if path.is_file())
    return max(cv2.imread(str(first)).shape)
