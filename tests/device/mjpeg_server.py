"""A camera of the tests: MJPEG over HTTP on loopback, each frame carrying its own time.

The time of sending is drawn into the picture as 32 black or white blocks, so that a reader
tells a frame's true age from its pixels and not from anybody's bookkeeping.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BLOCK, WIDTH, HEIGHT = 20, 640, 480


def stamp(millis: int) -> np.ndarray:
    """A grey picture whose two top rows of blocks spell the low 32 bits of `millis`."""
    bits = [(millis >> k) & 1 for k in range(32)]
    rows = np.array(bits, np.uint8).reshape(2, 16) * 255
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[: 2 * BLOCK, : 16 * BLOCK] = np.kron(rows, np.ones((BLOCK, BLOCK), np.uint8))[..., None]
    return picture


def age_ms(frame_bgr: np.ndarray) -> int:
    """How long ago `stamp` drew this frame."""
    centres = frame_bgr[BLOCK // 2 : 2 * BLOCK : BLOCK, BLOCK // 2 : 16 * BLOCK : BLOCK, 1]
    bits = (centres.reshape(-1) > 128).astype(np.int64)
    return (now_ms() - int((bits << np.arange(32)).sum())) & 0xFFFFFFFF


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@contextmanager
def mjpeg_server(fps: float = 30.0, num_frames: int | None = None, after: str = "close"):
    """Serve at http://127.0.0.1:PORT/cam.mjpg; yields (url, list that grows by 1 a connection).

    After `num_frames` in all a connection is closed, or with after="stall" kept open in silence;
    with after="again" the next connection gets as many.
    """
    total = 0
    stop = threading.Event()
    connections: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            nonlocal total
            connections.append(time.monotonic())
            if total != num_frames:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
            sent, start = 0, time.monotonic()
            while not stop.is_set() and total != num_frames:
                jpeg = cv2.imencode(".jpg", stamp(now_ms()))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return
                sent, total = sent + 1, total + 1
                stop.wait(max(0.0, start + sent / fps - time.monotonic()))
            if after == "stall":
                stop.wait(60)
            elif after == "again":
                total = 0

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/cam.mjpg", connections
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
