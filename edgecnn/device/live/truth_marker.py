"""`--truth marker`: a card in view names the object: a QR code or an ArUco marker.

The text of a QR code is the label. An ArUco marker of the dictionary 6x6_250 has the number of
the label: 0 is the first label of the bundle. A frame has the label only while a card is seen.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edgecnn.bundle.spec import Prediction
from edgecnn.device.capture.frame import Frame
from edgecnn.device.live.truth_queue import TruthQueue
from edgecnn.session.events import NONE_LABEL, TruthEvent

__all__ = ["MarkerReader", "MarkerTruth"]

# Cards are found in a picture of at most this size: more takes longer and finds no more.
_LARGEST = 960
_WAITING = 2


class MarkerReader:
    """Finds cards; 4x4 markers are not used, because clutter is too often taken for one.

    Args:
        labels: The labels of the bundle.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.unknown: str | None = None
        # This detector finds small codes that the older one misses, and is 8 times faster.
        newer = hasattr(cv2, "QRCodeDetectorAruco")  # from OpenCV 4.8
        self._qr = cv2.QRCodeDetectorAruco() if newer else cv2.QRCodeDetector()
        self._aruco = None
        if hasattr(cv2, "aruco") and hasattr(cv2.aruco, "ArucoDetector"):  # from OpenCV 4.7
            kinds = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_6X6_250)
            self._aruco = cv2.aruco.ArucoDetector(kinds, cv2.aruco.DetectorParameters())

    def read(self, frame_bgr: np.ndarray) -> str | None:
        """The label of the cards in a picture; None without a card, or where two disagree.

        `unknown` is then the text of the last card that names no label.
        """
        grey = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY)
        scale = _LARGEST / max(grey.shape)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = {*self._numbers(grey), *self._texts(grey)}
        return found.pop() if len(found) == 1 else None

    def _numbers(self, grey: np.ndarray) -> list[str]:
        if self._aruco is None:
            return []
        try:
            _, numbers, _ = self._aruco.detectMarkers(grey)
        except cv2.error:  # as below
            return []
        found = [] if numbers is None else [int(number) for number in np.ravel(numbers)]
        odd = [number for number in found if number >= len(self.labels)]
        if odd:
            self.unknown = f"ArUco {odd[-1]}"
        return [self.labels[number] for number in found if number < len(self.labels)]

    def _texts(self, grey: np.ndarray) -> list[str]:
        try:
            _, texts, _, _ = self._qr.detectAndDecodeMulti(grey)
        except cv2.error:  # some pictures break its geometry: nothing was read
            return []
        names = []
        for text in filter(None, (text.strip() for text in texts)):
            if text in self.labels or text == NONE_LABEL:
                names.append(text)
            else:
                self.unknown = text
        return names


class MarkerTruth(TruthQueue):
    """Looks for cards in every frame of a recording; of a live source a thread takes what it can.

    Frames that the thread has no time for stay unlabelled, whatever they show and whatever the
    answer is, so that live accuracy is not biased by it.

    Args:
        labels: The labels of the bundle.
        live: Whether frames come at the speed of a camera.
        warn: Called from `take`.
    """

    def __init__(self, labels: Sequence[str], warn: Callable[[str], None], *, live: bool) -> None:
        super().__init__("marker")
        self._reader = MarkerReader(labels)
        self._warn, self._warned = warn, False
        self._frames: queue.Queue[Frame | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        if live:
            self._thread = threading.Thread(target=self._work, name="edgecnn-marker", daemon=True)
            self._thread.start()

    def observe(self, frame: Frame, _answer: Prediction) -> None:
        if self._thread is None:
            self._look(frame)
        elif not self._frames.full():
            self._frames.put_nowait(frame)

    def take(self) -> Sequence[TruthEvent]:
        if self._reader.unknown is not None and not self._warned:
            self._warned = True
            self._warn(
                f"a card in view says {self._reader.unknown[:40]!r}, which is no label of the "
                "bundle; its frames stay unlabelled"
            )
        return super().take()

    def close(self) -> None:
        """Wait for the frames that are being looked at."""
        if self._thread is not None and self._thread.is_alive():
            self._frames.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (frame := self._frames.get()) is not None:
            self._look(frame)

    def _look(self, frame: Frame) -> None:
        label = self._reader.read(frame.whole_bgr)
        if label is not None:
            self.put(TruthEvent(frame.index, label, self.via, why="all"))
