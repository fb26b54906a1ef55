"""The window of `run --window`: the frames, their answers, and the keys that label them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import cv2
import numpy as np

from edgecnn.bundle.spec import Prediction
from edgecnn.device.live.truth_keys import KeyTruth, ShownFrame
from edgecnn.device.machine.display import display_fault
from edgecnn.errors import MissingRuntimeError

__all__ = ["PreviewWindow", "draw", "typed"]

_VISIBLE = cv2.WND_PROP_VISIBLE
_QUIT_KEYS = "q\x1b"
_SHIFTS = (0xFFE1, 0xFFE2)
# With keys a picture is shown at least this wide: what is written below it has to be readable.
_WIDTH, _LINE, _FONT = 640, 22, cv2.FONT_HERSHEY_SIMPLEX


class PreviewWindow:
    """A window with the frames and their answers; `keys` labels what is in it.

    Raises:
        MissingRuntimeError: No display, or an OpenCV without windows.
    """

    def __init__(self, title: str) -> None:
        fault = display_fault(os.environ) if sys.platform.startswith("linux") else None
        if fault is not None:  # Qt would abort the whole process
            raise MissingRuntimeError(
                f"{fault}: no window can be opened; leave --window out, or log in with `ssh -X`"
            )
        self.keys: KeyTruth | None = None
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
        if self.keys is None or self.keys.shown is None:
            view = draw(ShownFrame(0, frame_bgr, prediction))
        else:
            view = draw(self.keys.shown, self.keys.lines())
        cv2.imshow(self._title, view)
        return self.refresh()

    def refresh(self) -> bool:
        """Handle keys and the window itself, also while no frame comes; returns as `show` does."""
        key = typed(cv2.waitKeyEx(1))
        is_quit = bool(key) and key in _QUIT_KEYS
        if self.keys is not None and not is_quit:
            self.keys.press(key)
        return not is_quit and cv2.getWindowProperty(self._title, _VISIBLE) >= 1


def typed(code: int) -> str:
    """The character of a key, of a number of `cv2.waitKeyEx`; empty of a key without one.

    Keys such as Print and the arrows end in the number of a letter, which nobody pressed.

    Example:
        >>> typed(0x61), typed(0xFF61), typed(0xFF1B), typed(-1)
        ('a', '', '\\x1b', '')
    """
    symbol = code & 0xFFFF  # above it some windows say which other keys are held
    low = symbol & 0xFF
    if code < 0 or (symbol > 0xFF and low >= 0x20 and symbol not in _SHIFTS):
        return ""
    return chr(low) if low < 0x80 or symbol in _SHIFTS else ""


def draw(shown: ShownFrame, lines: Sequence[str] = ()) -> np.ndarray:
    """The picture of a window: uint8, B, G, R; with `lines` they stand below it."""
    view = shown.picture_bgr.copy()
    if lines:
        height, width = view.shape[:2]
        scale = max(1.0, _WIDTH / width)
        size_wh = (round(width * scale), round(height * scale))
        view = cv2.resize(view, size_wh, interpolation=cv2.INTER_NEAREST)
        below = np.zeros((_LINE * len(lines) + 8, view.shape[1], 3), np.uint8)
        for k, line in enumerate(lines):
            place = (8, _LINE * (k + 1) - 4)
            cv2.putText(below, line, place, _FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        view = np.concatenate([view, below])
    text = f"{shown.answer.label} {100 * shown.answer.confidence:.0f} %"
    size = 0.8 * min(1.0, (view.shape[1] - 16) / cv2.getTextSize(text, _FONT, 0.8, 1)[0][0])
    size = max(size, 0.35)  # smaller nobody reads it
    (wide, high), under = cv2.getTextSize(text, _FONT, size, 1)
    cv2.rectangle(view, (0, 0), (wide + 16, high + under + 14), (0, 0, 0), cv2.FILLED)
    cv2.putText(view, text, (8, high + 7), _FONT, size, (255, 255, 255), 1, cv2.LINE_AA)
    return view
