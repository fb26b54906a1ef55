"""A command that serves the page, in a process of its own, and a client that speaks plain HTTP."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

import edgecnn

REPO = Path(edgecnn.__file__).parents[1]
BITS = 12


def numbered(frame_bgr: np.ndarray, number: int) -> np.ndarray:
    """The frame with its number in black and white blocks along its upper edge."""
    side = frame_bgr.shape[1] // BITS
    for bit in range(BITS):
        value = 255 * (number >> bit & 1)
        frame_bgr[:side, bit * side : (bit + 1) * side] = value
    return frame_bgr


def number_of(jpeg: bytes) -> int:
    """The number that a JPEG of such a frame shows."""
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    side = grey.shape[1] / BITS
    at = [int((bit + 0.5) * side) for bit in range(BITS)]
    return sum(int(grey[int(side / 2), x] > 128) << bit for bit, x in enumerate(at))


def free_port() -> int:
    """A port that nobody listens at.

    Below those that systems give to connections: one that the system chose could be given to
    another test's connection before it is listened at.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Served:
    """`edgecnn COMMAND ... --web PORT`, from its link to its end."""

    def __init__(self, folder: Path, *arguments: object, port: int | None = None) -> None:
        self.port = port or free_port()
        self.secret = folder / "web.json"
        self._errors = folder / f"stderr-{time.monotonic_ns()}"
        path = os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "edgecnn", *map(str, arguments)]
        with open(self._errors, "wb") as errors:
            self.process = subprocess.Popen(
                [*command, "--web", str(self.port), "--json"],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, "EDGECNN_WEB_SECRET": str(self.secret)},
            )
        self.link = self._wait_for_link()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.kill()

    @property
    def said(self) -> str:
        return self._errors.read_text(errors="replace")

    def stop(self) -> dict[str, Any]:
        """Ctrl-C; the result that it prints."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, self.said
        return json.loads(out)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _wait_for_link(self) -> str:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            for word in self.said.split():
                if word.startswith(f"http://127.0.0.1:{self.port}/#"):
                    return word
            time.sleep(0.1)
        raise AssertionError(f"no link: {self.said}")


class Client:
    """A guest who knows the link; requests go over one connection."""

    def __init__(self, link: str) -> None:
        address, _, self.token = link.removeprefix("http://").partition("/#")
        self.host = address
        self._connection = http.client.HTTPConnection(address, timeout=60)
        status, headers, body = self.send("POST", "/api/enter", {"token": self.token})
        assert status == 200, body
        self.cookie = headers["set-cookie"].partition(";")[0]
        self.mark = json.loads(body)["mark"]

    def __del__(self) -> None:
        self._connection.close()

    def send(
        self, method: str, path: str, data: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        more = {"Origin": f"http://{self.host}", **headers}
        if hasattr(self, "cookie"):
            more = {"Cookie": self.cookie, "X-Edgecnn-Mark": self.mark, **more}
        body = None
        if data is not None:
            body = json.dumps(data)
            more.setdefault("Content-Type", "application/json")
        self._connection.request(method, path, body, more)
        reply = self._connection.getresponse()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, found, reply.read()

    def get(self, path: str) -> Any:
        status, _, body = self.send("GET", path)
        assert status == 200, (status, body)
        return json.loads(body)

    def look(self, path: str) -> tuple[dict[str, Any], bytes]:
        """What the device says of a picture, and the JPEG."""
        status, headers, body = self.send("GET", path)
        assert status == 200, (status, body)
        return json.loads(headers["x-edgecnn-look"]), body

    def give(self, *labels: dict[str, Any]) -> dict[str, Any]:
        status, _, body = self.send("POST", "/api/labels", {"labels": list(labels)})
        assert status == 200, (status, body)
        return json.loads(body)


def label_item(run: str, frame: int, label: str | None, **more: Any) -> dict[str, Any]:
    """A label as the page sends it."""
    at = time.time_ns()
    item = {"id": f"t-{at}", "run": run, "frame": frame, "label": label, "via": "page"}
    return {**item, "by": "test", "unseen": False, "at": at // 1_000_000, **more}


def session_events(session: Path, kind: str) -> list[dict[str, Any]]:
    """The events of one kind, read by hand."""
    lines = (session / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]
