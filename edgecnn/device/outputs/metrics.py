"""Figures for Prometheus, at http://ADDR/metrics, in its text format 0.0.4."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edgecnn.accuracy.tally import Tally
from edgecnn.device.live.status import Status
from edgecnn.device.machine.health import read_health
from edgecnn.device.outputs.publish import Output
from edgecnn.device.web.door.address import WebAddress, parse_address
from edgecnn.errors import OptionError
from edgecnn.records import Json

__all__ = ["Metrics", "check_metrics", "metrics_text"]

_HEALTH_S, _FIRST_S = 10.0, 5.0
_USUAL_PORT = 9100  # as the help of --metrics has it
_Sample = tuple[str, str, str, dict[str, str], float]  # name, kind, help, labels, value


def metrics_text(status: Status, health: Json) -> str:
    """The figures of a run and its machine; what is unknown is left out."""
    groups: dict[str, list[str]] = {}  # the format wants all samples of a metric together
    for name, kind, about, labels, value in _samples(status, health):
        head = [f"# HELP edgecnn_{name} {about}", f"# TYPE edgecnn_{name} {kind}"]
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        groups.setdefault(name, head).append(
            f"edgecnn_{name}{{{shown}}} {value:.10g}" if shown else f"edgecnn_{name} {value:.10g}"
        )
    return "\n".join(line for group in groups.values() for line in group) + "\n"


def _samples(status: Status, health: Json) -> Iterator[_Sample]:
    yield from _accuracy("lab", status.lab)
    yield from _accuracy("lab_file", status.lab_file)
    yield from _accuracy("live", status.live)
    for name, tally in status.regions.items():
        yield from _accuracy("live", tally, {"region": name})
    none: dict[str, str] = {}
    if status.reject is not None:
        yield from _accuracy("not_rejected", status.reject.rest)
        about = "Answers below --reject, of the bundle that answers."
        yield "rejected_total", "counter", about, none, status.reject.rejected
    if status.gap_points is not None:
        yield "gap_points", "gauge", "Lab minus live accuracy in points.", none, status.gap_points
    about = "1 where the labels show that the field is worse than the lab."
    yield "alarm", "gauge", about, none, status.alarm.raised
    yield "frames_total", "counter", "Frames that were answered.", none, status.frames
    yield "dropped_total", "counter", "Frames that came meanwhile.", none, status.dropped
    yield "fps", "gauge", "Answers a second since the start.", none, status.fps
    for name, about, value in (
        ("age", "From capture to answer in seconds.", status.age_ms),
        ("invoke", "Inside the interpreter in seconds.", status.invoke_ms),
    ):
        for share, ms in (("0.5", value.p50), ("0.95", value.p95)):
            yield f"{name}_seconds", "gauge", about, {"quantile": share}, ms / 1000
    silent = status.silent.seconds if status.silent else 0.0
    unlogged = status.unlogged.seconds if status.unlogged else 0.0
    about = "How long no frame has come, 0 if they do."
    yield "camera_silent_seconds", "gauge", about, none, silent
    yield "not_logging_seconds", "gauge", "How long nothing is logged, 0 if it is.", none, unlogged
    about = "Which bundle answers, by its SHA-256."
    yield "bundle", "gauge", about, {"sha256": status.bundle}, 1
    yield "swaps_total", "counter", "How often another bundle took over.", none, status.swaps
    for fault, count in status.faults.items():
        yield "faults_total", "counter", "How often each fault was seen.", {"fault": fault}, count
    yield "up_seconds", "counter", "Since the start of the run.", none, status.elapsed_s
    degrees, throttled = health.get("temperature_c"), health.get("throttled")
    if degrees is not None:
        yield "temperature_celsius", "gauge", "Of the hottest zone.", none, float(degrees)
    if throttled is not None:
        about = "Bits of vcgencmd get_throttled."
        yield "throttled_bits", "gauge", about, none, float(int(str(throttled), 16))


def _accuracy(where: str, tally: Tally, more: dict[str, str] | None = None) -> Iterator[_Sample]:
    labels = {"where": where, **(more or {})}
    yield "labelled_total", "counter", "Frames with a label of the card.", labels, tally.total
    if tally.accuracy is None:
        return
    low, high = tally.interval
    for bound, value in (("value", tally.accuracy), ("low", low), ("high", high)):
        shown = {**labels, "bound": bound}
        yield "accuracy", "gauge", "Fraction, with its 95 % interval.", shown, value


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def check_metrics(address: str) -> WebAddress:
    """Where figures are to be served.

    Raises:
        OptionError: The address is none.
    """
    try:
        return parse_address(address, _USUAL_PORT)
    except OptionError as error:
        raise OptionError(
            f"--metrics is {address!r}, expected a port (9100) or host:port"
        ) from error


class Metrics(Output):
    """Serves the newest figures.

    Raises:
        OptionError: The address is none, or taken.
    """

    name = "metrics"

    def __init__(self, address: str) -> None:
        where = check_metrics(address)
        try:
            self._server = _Server((where.host, where.port), _handler(self))
        except OSError as error:
            raise OptionError(
                f"can't serve metrics at {address}: {error.strerror}; choose another --metrics"
            ) from error
        self._text = ""
        self._has_text = threading.Event()
        self._health: Json = {}
        self._health_at = float("-inf")
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="edgecnn-metrics-http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._server.server_port

    @property
    def text(self) -> str:
        """The newest figures; whoever asks at the start of a run waits for the first ones."""
        self._has_text.wait(_FIRST_S)
        return self._text

    def show(self, status: Status) -> None:
        if time.monotonic() - self._health_at >= _HEALTH_S:
            self._health, self._health_at = read_health(), time.monotonic()
        self._text = metrics_text(status, self._health)
        self._has_text.set()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] in ("/", "/metrics")
            body = metrics.text.encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """A hostile request must not write into the terminal."""

    return Handler
