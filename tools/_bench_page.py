"""`tools/bench page`: what the page costs a loop at full speed, looked at and under attack.

The loop classifies frames of a video from memory in this process, as fast as it can; a page or an
attacker comes from a process of its own. Rounds are taken in turns. The server's processor time is
the process's less the loop's thread's. An attacker on this machine takes processor time by itself:
"attack elsewhere" is the same one against a server of its own process, which says how much.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
from _free_port import free_port

from edgecnn.accuracy.quantiles import student_quantile
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.frame_view import WHOLE_FRAME
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.web.door.address import WebAddress
from edgecnn.device.web.hub import Hub
from edgecnn.device.web.server import PageServer
from edgecnn.device.web.settings import ViewFile

WHO = ("nobody", "page", "attack", "attack elsewhere")
HOSTILE, CONNECTIONS = 300, 200
FRAMES = 64
JSON = {"content-type": "application/json"}
# Method, path, body, headers: no token, a wrong one, traversal, a huge body, bad JSON, a wrong
# method, a script in a label, a form of another site, a foreign host name.
KINDS: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
    ("GET", "/api/live.jpg", b"", {}),
    ("POST", "/api/enter", b'{"token": "wrong"}', JSON),
    ("GET", "/../../etc/passwd", b"", {}),
    ("POST", "/api/labels", b"x" * 200_000, JSON),
    ("POST", "/api/labels", b"{" * 5000, JSON),
    ("DELETE", "/api/labels", b"", {}),
    ("POST", "/api/labels", b'{"labels": [{"label": "<script>alert(1)</script>"}]}', JSON),
    ("POST", "/api/labels", b"label=1", {"content-type": "application/x-www-form-urlencoded"}),
    ("GET", "/api/state", b"", {"host": "evil.example"}),
)


def attack(port: int, seconds: float) -> int:
    """Hold 200 half requests open and send 300 hostile ones; the pictures that were leaked."""
    leaked, held = 0, []
    for _ in range(CONNECTIONS):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            held[-1].sendall(b"GET / HTTP/1.1\r\nX:")
    for one in held[HOSTILE // 30 :]:  # most are let go, or the door would refuse all that follow
        one.close()
    for method, path, body, headers in itertools.islice(itertools.cycle(KINDS), HOSTILE):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request(method, path, body, headers)
            leaked += b"\xff\xd8\xff" in connection.getresponse().read()
        connection.close()
        time.sleep(seconds / HOSTILE)
    return leaked


def attack_elsewhere(seconds: float) -> int:
    """The same attack against a thread of this process that reads once, answers and closes."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS)

    def serve() -> None:
        while True:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                line.recv(1 << 16)
                line.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return attack(int(listener.getsockname()[1]), seconds)


def look(link: str, seconds: float) -> int:
    """Ask as an open page does, with the live picture on and the strip in view."""
    address, _, token = link.removeprefix("http://").partition("/#")
    page = http.client.HTTPConnection(address, timeout=60)
    origin = {**JSON, "origin": f"http://{address}"}
    page.request("POST", "/api/enter", json.dumps({"token": token}), origin)
    entered = page.getresponse()
    entered.read()
    cookie = {"cookie": entered.headers["set-cookie"].partition(";")[0]}

    def get(path: str) -> bytes:
        page.request("GET", path, headers=cookie)
        return page.getresponse().read()

    pictures, had, tick, start = 0, 0, 0, time.monotonic()
    while time.monotonic() - start < seconds:
        pictures += get("/api/live.jpg")[:2] == b"\xff\xd8"
        if tick % 5 == 0:
            get("/api/state")
        if tick % 4 == 0:
            for card in json.loads(get("/api/strip"))["strip"][-8:]:
                if card["frame"] > had:
                    had = card["frame"]
                    pictures += get(f"/api/frames/{had}.jpg")[:2] == b"\xff\xd8"
        tick += 1
        time.sleep(0.22)
    return pictures


class _Loop:
    """A run's loop in small: classify, and hand frame and answer to the page's hub."""

    def __init__(self, bundle: Path, video: Path, folder: Path) -> None:
        self._classifier = Classifier(bundle)
        self.hub = Hub(
            self._classifier.bundle,
            self._classifier.artifact,
            "bench",
            ViewFile(folder / "e.toml", WHOLE_FRAME),
        )
        reader = cv2.VideoCapture(str(video))
        self._frames = [frame for _ in range(FRAMES) if (frame := reader.read()[1]) is not None]
        self._number = itertools.count()

    def run(self, seconds: float) -> dict[str, float]:
        """Frames a second, and the processor time of both threads."""
        frames, start = 0, time.monotonic()
        loop, process = time.thread_time(), time.process_time()
        while time.monotonic() - start < seconds:
            frame_bgr = self._frames[frames % len(self._frames)]
            frame = Frame(frame_bgr, next(self._number), now_utc(), time.monotonic())
            answer, _ = self._classifier.timed(frame_bgr)
            self.hub.captured(frame_bgr)
            self.hub.observe(frame, answer)
            self.hub.take()
            frames += 1
        loop = time.thread_time() - loop
        served = time.process_time() - process - loop
        return {
            "rate": frames / (time.monotonic() - start),
            "us": 1e6 * loop / frames,
            "share": served / loop,
            "mb": _rss_mb(),
        }


def _rss_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def tables(bundle: Path, video: Path, rounds: int, seconds: float) -> Iterator[str]:
    """The lines of the table."""
    found: dict[str, list[dict[str, float]]] = {who: [] for who in WHO}
    with tempfile.TemporaryDirectory() as name:
        os.environ["EDGECNN_WEB_SECRET"] = str(Path(name) / "web.json")
        loop = _Loop(bundle, video, Path(name))
        with PageServer(loop.hub, WebAddress("127.0.0.1", free_port())) as server:
            loop.run(seconds)
            for _, who in itertools.product(range(rounds), found):
                if who == "nobody":
                    found[who].append(loop.run(seconds))
                    continue
                command = [sys.executable, __file__, who, server.link, str(seconds + 1)]
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
                    client.stdout.readline()  # it is about to start
                    found[who].append(loop.run(seconds))
                    said = int(client.communicate(timeout=120)[0])
                if (said == 0) is (who == "page"):
                    sys.exit(f"{who}: {said} pictures came")
    quiet = found["nobody"]
    yield (
        "| beside the loop | frames a second | of the quiet rate (95 % interval over the rounds) "
        "| server's part of the loop's processor time | RSS, MB |"
    )
    yield "|---|---|---|---|---|"
    for who, turns in found.items():
        rates = [turn["rate"] for turn in turns]
        ratios = [a / b["rate"] for a, b in zip(rates, quiet, strict=True)]
        yield (
            f"| {who} | {statistics.median(rates):,.0f} | {_mean_text(ratios)} "
            f"| {100 * statistics.median(turn['share'] for turn in turns):.1f} % "
            f"| {turns[0]['mb']:.0f} to {turns[-1]['mb']:.0f} |"
        )
    attacks = zip(found["attack"], found["attack elsewhere"], strict=True)
    beyond = [1 - here["rate"] / there["rate"] for here, there in attacks]
    yield f"\nThe attack costs {_mean_text(beyond)} beyond the attacker's own processor time."


def _mean_text(shares: list[float]) -> str:
    """The mean in percent, and its interval by Student's t."""
    mean = f"{100 * statistics.mean(shares):.1f} %"
    if len(shares) < 2:
        return mean
    half = student_quantile(len(shares) - 1) * statistics.stdev(shares) / len(shares) ** 0.5
    return f"{mean} (+-{100 * half:.1f})"


def _client(who: str, link: str, seconds: float) -> int:
    if who == "page":
        return look(link, seconds)
    if who == "attack":
        return attack(int(link.split(":")[2].partition("/")[0]), seconds)
    return attack_elsewhere(seconds)


if __name__ == "__main__":
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdout.write(str(_client(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
