"""Notices what is wrong with a camera's pictures: frozen, black, covered, of another size.

It looks at a few thousand pixels of each frame, in the process that reads the camera.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

__all__ = ["PictureWatch"]

_STEP = 8  # every eighth pixel of every eighth row
_FROZEN_S, _FEWEST_FROZEN = 10.0, 5
# A live sensor's noise changes many pixels a little; a clock that is drawn into a frozen picture
# changes few.
_NOISE_SHARE, _STILL_SHARE = 0.05, 0.005
_BLACK_S, _BLACK_MEAN, _FLAT_STD = 2.0, 12.0, 3.0
# After the start a camera finds its exposure: brightness jumps from frame to frame.
_SETTLING_S, _SETTLING_STEP = 1.0, 0.03


class PictureWatch:
    """Sees every frame, counts faults, and says each once when it begins and when it is over.

    Args:
        frozen_s: A picture that stays the same for so long is frozen.

    `counts` has, by name: "frozen" and "black" episodes, "size changes", "settling" frames.
    """

    def __init__(self, frozen_s: float = _FROZEN_S) -> None:
        self.counts: Counter[str] = Counter()
        self._frozen_s = frozen_s
        self._notes: list[str] = []
        self._mean: float | None = None
        self._settled = False
        self._size_wh: tuple[int, int] | None = None
        self._begin()

    def opened(self) -> None:
        """Forget the last picture: the source was opened anew."""
        self._begin()

    def see(self, frame: np.ndarray, now: float) -> None:
        """Look at a frame.

        Args:
            frame: uint8, shape (h, w, 3) or (h, w).
            now: Seconds of `time.monotonic()`.
        """
        sample = frame[::_STEP, ::_STEP].copy()
        self._watch_light(sample, now)
        self._watch_motion(sample, now)
        size_wh, before = (frame.shape[1], frame.shape[0]), self._size_wh
        self._size_wh = size_wh
        if before is not None and before != size_wh:
            self.counts["size changes"] += 1
            old, new = (f"{w}x{h}" for w, h in (before, size_wh))
            self._notes.append(f"the picture's size changed from {old} to {new}")

    def settles(self, frame: np.ndarray, since_open_s: float) -> bool:
        """Whether a camera that was just opened is still finding its exposure.

        A frame for which this is so should not be answered.
        """
        mean = float(frame[::_STEP, ::_STEP].mean())
        last, self._mean = self._mean, mean
        if self._settled or since_open_s > _SETTLING_S:
            return False
        self._settled = last is not None and abs(mean - last) <= _SETTLING_STEP * max(last, 1.0)
        self.counts["settling"] += not self._settled
        return not self._settled

    def take_notes(self) -> list[str]:
        """What has to be said since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _begin(self) -> None:
        self._last: np.ndarray | None = None
        self._same_since = self._dark_since = 0.0
        self._num_same = 0
        self._dark: str | None = None
        self._frozen = self._said_dark = self._settled = self._noisy = False
        self._mean = None

    def _watch_motion(self, sample: np.ndarray, now: float) -> None:
        last, self._last = self._last, sample
        if last is None or last.shape != sample.shape:
            self._same_since, self._num_same = now, 0
            return
        changed = float((sample != last).mean())
        self._noisy = self._noisy or changed >= _NOISE_SHARE
        if changed > (_STILL_SHARE if self._noisy else 0.0):
            if self._frozen:
                self._notes.append(
                    f"the picture moves again; it was frozen for {now - self._same_since:.0f} s"
                )
            self._same_since, self._num_same, self._frozen = now, 0, False
            return
        self._num_same += 1
        lasted = now - self._same_since
        if not self._frozen and lasted >= self._frozen_s and self._num_same >= _FEWEST_FROZEN:
            self._frozen = True
            self.counts["frozen"] += 1
            self._notes.append(
                f"the picture has not changed at all for {lasted:.0f} s, not even by a sensor's "
                "noise: the camera may be frozen"
            )

    def _watch_light(self, sample: np.ndarray, now: float) -> None:
        dark = None
        if float(sample.mean()) <= _BLACK_MEAN:
            dark = "is black: the lens is covered or there is no light"
        elif float(sample.std(axis=(0, 1)).max()) <= _FLAT_STD:
            dark = "shows nothing, one colour everywhere: the lens may be covered"
        if dark is None or self._dark is None:
            if self._said_dark:
                self._notes.append(
                    f"the picture shows something again after {now - self._dark_since:.0f} s"
                )
            self._dark, self._dark_since, self._said_dark = dark, now, False
        elif not self._said_dark and now - self._dark_since >= _BLACK_S:
            self._said_dark = True
            self.counts["black"] += 1
            self._notes.append(f"the picture {self._dark}")
