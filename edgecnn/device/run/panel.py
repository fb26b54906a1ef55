"""What a person sees of a running loop: a panel in the terminal, or a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TextIO

import cv2
import numpy as np
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgecnn.bundle.spec import Prediction
from edgecnn.device.live.status import Status
from edgecnn.errors import MissingRuntimeError

__all__ = ["PreviewWindow", "panel", "render"]

_VISIBLE = cv2.WND_PROP_VISIBLE
_QUIT_KEYS = (ord("q"), 27)
_LARGE_GAP_POINTS = 5.0


@contextmanager
def panel(stream: TextIO) -> Iterator[Callable[[Status], None] | None]:
    """What to give `run` as on_status: it redraws a panel; None where nobody watches.

    Example:
        with panel(sys.stderr) as on_status:
            result = run(bundle, source, options, on_status=on_status)
    """
    if not stream.isatty():
        yield None
        return
    with Live(console=Console(file=stream), auto_refresh=False, transient=True) as live:
        yield lambda status: live.update(render(status), refresh=True)


def render(status: Status) -> Panel:
    """The panel as something that rich can print."""
    rows = Table.grid(padding=(0, 2))
    rows.add_row("live accuracy", Text(status.live.text(), style="bold"))
    rows.add_row("lab accuracy", status.lab.text())
    rows.add_row("gap", _gap_text(status.gap_points))
    rows.add_row("last frame", _answer(status.prediction, status.truth))
    rows.add_row(
        "frames",
        f"{status.frames} in {timedelta(seconds=int(status.elapsed_s))}, "
        f"{status.fps:.1f} a second, {status.dropped} dropped",
    )
    rows.add_row("frame age", status.age_ms.text())
    rows.add_row("invoke", status.invoke_ms.text())
    if status.warning:
        rows.add_row("warning", Text(status.warning, style="yellow"))
    return Panel(rows, title="edgecnn run", title_align="left", expand=False)


class PreviewWindow:
    """A window with the frames and their answers.

    Raises:
        MissingRuntimeError: No display, or an OpenCV without windows.
    """

    def __init__(self, title: str) -> None:
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):  # Qt would abort the whole process
            raise MissingRuntimeError(
                "no display for a window (DISPLAY and WAYLAND_DISPLAY are unset); leave --window "
                "out, or log in with `ssh -X`"
            )
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise MissingRuntimeError(
                f"OpenCV {cv2.__version__} here can't open windows (a headless build); leave "
                "--window out, or install opencv-python in place of opencv-python-headless"
            ) from error

    def __enter__(self) -> PreviewWindow:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(cv2.error):  # the person closed it
            cv2.destroyWindow(self._title)

    def show(self, frame_bgr: np.ndarray, prediction: Prediction) -> bool:
        """Show a frame; False once the person pressed q or Escape, or closed the window."""
        text = f"{prediction.label} {100 * prediction.confidence:.0f} %"
        view = frame_bgr.copy()
        for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(view, text, (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, color, width)
        cv2.imshow(self._title, view)
        key = cv2.waitKey(1) & 0xFF
        return key not in _QUIT_KEYS and cv2.getWindowProperty(self._title, _VISIBLE) >= 1


def _gap_text(points: float | None) -> Text:
    if points is None:
        return Text("unknown: no labelled frames", style="dim")
    return Text(
        f"{points:+.1f} points", style="bold red" if points > _LARGE_GAP_POINTS else "green"
    )


def _answer(prediction: Prediction | None, truth: str | None) -> Text:
    if prediction is None:
        return Text("none yet", style="dim")
    text = Text(f"{prediction.label}, {100 * prediction.confidence:.0f} %")
    if truth is not None:
        right = truth == prediction.label
        text.append(f", really {truth}", style="green" if right else "red")
    return text
