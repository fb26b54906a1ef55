"""`--truth keys`: a person who watches the window labels the frame in it with a key.

    1-9, letters     the class that the window shows beside the key
    space            the answer is right
    x                can't tell
    0, n             none of these classes
    u                undo the last key
    Tab              from now on: the next class holds for all frames, until Tab or another class
    Shift + class    the same with one key

The label goes to the frame in the window, however far the loop has gone on. Enter holds that
frame in the window until a key labels it or Enter is pressed again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.live.truth_queue import TruthQueue
from edgecnn.session.events import NONE_LABEL, TruthEvent
from edgecnn.words import number

__all__ = ["KeyTruth", "ShownFrame", "class_keys"]

_RIGHT, _CANT_TELL, _UNDO, _NONE = " ", "x", "u", "0n"
_TAB, _ENTER = "\t", "\r\n"
# The left and right Shift alone, as windows report them: some give the letter after it as small.
_SHIFTS = "\xe1\xe2"
_SHIFTED_DIGITS = dict(zip("!@#$%^&*(", "123456789", strict=True))
_FREE = [c for c in "123456789abcdefghijklmnopqrstuvwxyz" if c not in "xunq"]  # q stops the run
_REMEMBERED = 10_000
_UNDOS = 100
_A_ROW = 72  # characters that the window has room for


def class_keys(labels: Sequence[str]) -> Mapping[str, str]:
    """The key of each class, as {key: label}: a digit is its own key, the others follow in order.

    There are 31 keys; labels beyond them have none.

    Example:
        >>> class_keys(["cat", "dog", "1"])
        {'1': '1', '2': 'cat', '3': 'dog'}
    """
    own = {label: label for label in labels if len(label) == 1 and label in "0123456789"}
    free = (key for key in _FREE if key not in own)
    rest = (label for label in labels if label not in own)
    return dict(sorted({**own, **dict(zip(free, rest, strict=False))}.items()))


class ShownFrame(NamedTuple):
    """What the window shows: a frame's number, its picture and the answer to it."""

    frame: int
    picture_bgr: np.ndarray
    answer: Prediction


class KeyTruth(TruthQueue):
    """Turns keys into labels of the frame that is in the window.

    Args:
        labels: The labels of the bundle.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__("keys")
        self.keys = class_keys(labels)
        self.shown: ShownFrame | None = None
        self.from_now_on: str | None = None
        self._held = self._sticky = self._shift = False
        # The frames that each key labelled.
        self._done: deque[deque[int]] = deque(maxlen=_UNDOS)
        self._said = ""

    def observe(self, frame: Frame, answer: Prediction) -> None:
        if not self._held:
            self.shown = ShownFrame(frame.index, frame.frame_bgr, answer)
        if self.from_now_on is not None:
            self._label(frame.index, self.from_now_on, "stretch")

    def press(self, key: str) -> None:
        """Do what a key says; a key without a meaning does nothing."""
        if not key or self.shown is None:
            return
        shift, self._shift = self._shift, key in _SHIFTS
        if key in _ENTER:
            self._held = not self._held
        elif key == _TAB:
            self._sticky = not (self._sticky or self.from_now_on is not None)
            self.from_now_on = None
        elif key == _UNDO:
            self._undo()
        elif key in (_RIGHT, _CANT_TELL):
            self._choose(self.shown.answer.label if key == _RIGHT else None)
        else:
            self._press_class(key, shift=shift)

    def lines(self) -> list[str]:
        """What the window says below the picture: the keys, and what was done last."""
        rows: list[str] = []
        for one in (f"{key} {label}" for key, label in self.keys.items()):
            if rows and len(rows[-1]) + 3 + len(one) <= _A_ROW:
                rows[-1] += f"   {one}"
            else:
                rows.append(one)
        state = f"from now on: {self.from_now_on}" if self.from_now_on else self._said
        mode = [name for name, on in (("HELD", self._held), ("FROM NOW ON", self._sticky)) if on]
        return [
            "space right, x can't tell, n none of these, u undo, Tab from now on, Enter hold",
            *rows,
            "  ".join([*mode, state]),
        ]

    def _press_class(self, key: str, *, shift: bool) -> None:
        plain = _SHIFTED_DIGITS.get(key, key.lower())
        label = self.keys.get(plain, NONE_LABEL if plain in _NONE else None)
        if label is None:
            return
        if self.from_now_on is not None or self._sticky or shift or plain != key:
            self._sticky, self.from_now_on = False, label
        self._choose(label)

    def _choose(self, label: str | None) -> None:
        """Label the frame in the window, and let go of it."""
        if self.shown is None:
            return
        self._done.append(deque(maxlen=_REMEMBERED))
        why = "stretch" if label is not None and label == self.from_now_on else "chosen"
        self._label(self.shown.frame, label, why)
        self._said = f"frame {self.shown.frame}: {label or 'no label'}"
        self._held = False

    def _label(self, frame: int, label: str | None, why: str) -> None:
        if self._done:
            self._done[-1].append(frame)
        self._put(frame, label, why)

    def _undo(self) -> None:
        """Take the labels of the last key back: what the frames had before counts again."""
        if not self._done:
            return
        self.from_now_on, self._sticky = None, False
        changed = self._done.pop()
        now = datetime.now(timezone.utc)
        for frame in reversed(changed):
            self.put(TruthEvent(frame, None, self.via, at=now, withdrawn=True))
        self._said = f"undone: {number(len(changed), 'frame')}"

    def _put(self, frame: int, label: str | None, why: str) -> None:
        now = datetime.now(timezone.utc)
        self.put(TruthEvent(frame, label, self.via, blind=False, why=why, at=now))
