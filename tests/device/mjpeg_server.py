"""A camera of the tests: MJPEG over HTTP on loopback, each frame carrying its own number.

The number is drawn into the picture as 32 black or white blocks, so that a reader learns from
the pixels, and not from anybody's bookkeeping, how many frames were sent since this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BLOCK, WIDTH, HEIGHT = 20, 640, 480
PATIENCE_S = 120.0
# Silence that outlasts every timeout of the tests, and is shorter than OpenCV's own of 30 s.
SILENCE_S = 25.0


def stamp(number: int) -> np.ndarray:
    """A grey picture whose two top rows of blocks spell the low 32 bits of `number`."""
    bits = [(number >> k) & 1 for k in range(32)]
    rows = np.array(bits, np.uint8).reshape(2, 16) * 255
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[: 2 * BLOCK, : 16 * BLOCK] = np.kron(rows, np.ones((BLOCK, BLOCK), np.uint8))[..., None]
    return picture


def number_of(frame_bgr: np.ndarray) -> int:
    """The number that `stamp` drew into this frame."""
    centres = frame_bgr[BLOCK // 2 : 2 * BLOCK : BLOCK, BLOCK // 2 : 16 * BLOCK : BLOCK, 1]
    bits = (centres.reshape(-1) > 128).astype(np.int64)
    return int((bits << np.arange(32)).sum())


@dataclass
class Camera:
    """What the server did so far."""

    url: str = ""
    connections: int = 0
    sent_at: list[float] = field(default_factory=list)  # time.monotonic(), before the frame went
    silent: threading.Event = field(default_factory=threading.Event)
    gave_up: threading.Event = field(default_factory=threading.Event)
    sending: threading.Condition = field(default_factory=threading.Condition)

    def wait_for_more(self, count: int) -> None:
        """Return when `count` more frames were sent."""
        with self.sending:
            goal = len(self.sent_at) + count
            assert self.sending.wait_for(lambda: len(self.sent_at) >= goal, PATIENCE_S)


def picture(number: int) -> bytes:
    """What the camera sends: a stamped JPEG."""
    return cv2.imencode(".jpg", stamp(number))[1].tobytes()


@contextmanager
def mjpeg_server(
    fps: float = 30.0,
    num_frames: int | None = None,
    after: str = "close",
    *,
    port: int = 0,
    jpeg_of: Callable[[int], bytes] = picture,
):
    """Serve at http://127.0.0.1:PORT/cam.mjpg; yields a Camera. `jpeg_of` makes the pictures.

    After `num_frames` in all a connection is closed, or with after="stall" first kept open in
    silence for SILENCE_S (`silent`, and then `gave_up`, are set); with after="again" the next
    connection gets as many.
    """
    camera, stop, total = Camera(), threading.Event(), 0

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            nonlocal total
            camera.connections += 1
            if total != num_frames:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
            sent, start = 0, time.monotonic()
            while not stop.is_set() and total != num_frames:
                jpeg = jpeg_of(len(camera.sent_at))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                with camera.sending:
                    camera.sent_at.append(time.monotonic())
                    camera.sending.notify_all()
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return
                sent, total = sent + 1, total + 1
                stop.wait(max(0.0, start + sent / fps - time.monotonic()))
            if after == "stall":
                camera.silent.set()
                if not stop.wait(SILENCE_S):
                    camera.gave_up.set()
            elif after == "again":
                total = 0

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    camera.url = f"http://127.0.0.1:{server.server_port}/cam.mjpg"
    try:
        yield camera
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
