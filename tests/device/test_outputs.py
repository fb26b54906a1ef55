"""Decisions and outputs: what other programs get, and that none can slow the loop."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from helpers_run import PATIENCE_S, one_line, until
from served import free_port
from sessions import PAST, PAST_BUNDLE
from test_panel import STATUS

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.spec import Prediction
from edgecnn.device.live.status import Rejected, Status, Trouble
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs import publish
from edgecnn.device.outputs.decision import Decider, Decision
from edgecnn.device.outputs.lines import JsonLines, Webhook
from edgecnn.device.outputs.metrics import Metrics, check_metrics, metrics_text
from edgecnn.device.outputs.mqtt import Mqtt, discovery
from edgecnn.device.outputs.output_options import DecisionRule, OutputOptions
from edgecnn.device.outputs.publish import (
    Announced,
    Output,
    OutputDownError,
    Publisher,
    Publishers,
    certificate_hint,
)
from edgecnn.device.run.run import run
from edgecnn.errors import EdgecnnError, MissingRuntimeError, OptionError

LABELS = ["cat", "dog", "cow"]
AT = datetime(2026, 5, 1, tzinfo=timezone.utc)


def answered(frame: int, *, changed: bool = True) -> Announced:
    return Announced(frame, AT, "cat", 0.91239, Decision("cat", 0.9, changed), None, 12.34)


def decisions(rule: DecisionRule, answers: list[tuple[int, float]]) -> list[str | None]:
    decider = Decider(rule, LABELS)
    return [decider.decide(Prediction(k, LABELS[k], sure, ())).label for k, sure in answers]


def test_n_of_m_answers_decide_and_an_unsure_one_is_none():
    answers = [(0, 0.9), (0, 0.9), (1, 0.9), (0, 0.9), (1, 0.9), (1, 0.4), (1, 0.9)]
    assert decisions(DecisionRule(), answers) == [LABELS[k] for k, _ in answers]
    assert decisions(DecisionRule(agree=2, window=3), answers)[:5] == [
        None, "cat", "cat", "cat", "dog",
    ]  # fmt: skip
    # Of as many votes for two the decision stays.
    ties = [(k, 0.9) for k in (0, 1, 1, 0, 1, 0, 0)]
    assert decisions(DecisionRule(agree=2, window=4), ties)[2:] == ["dog"] * 4 + ["cat"]
    two_others = [(k, 0.9) for k in (0, 0, 1, 1, 2, 2)]
    assert decisions(DecisionRule(agree=2, window=5), two_others)[-1] == "cat"
    assert decisions(DecisionRule(least=0.5), answers)[5] is None
    assert decisions(DecisionRule(agree=3, window=4, least=0.5), answers)[-1] == "cat"


def test_the_first_decision_is_told_though_it_is_none():
    """A broker may hold the one of a run before."""
    decider = Decider(DecisionRule(least=0.5), LABELS)
    answers = [Prediction(0, "cat", sure, ()) for sure in (0.4, 0.4, 0.9, 0.9)]
    found = [decider.decide(answer) for answer in answers]
    assert [one.label for one in found] == [None, None, "cat", "cat"]
    assert [one.changed for one in found] == [True, False, True, False]


def test_a_class_can_have_a_threshold_of_its_own_and_the_card_has_one_for_all():
    rule = OutputOptions(reject=("card", "dog=0.95")).rule(LABELS, 0.5)
    assert (rule.least, rule.least_of) == (0.5, {1: 0.95})
    assert decisions(rule, [(0, 0.6), (1, 0.9), (1, 0.96), (2, 0.4)]) == ["cat", None, "dog", None]


@pytest.mark.parametrize(
    ("reject", "words"),
    [
        ("card", r"the card has no threshold \(an adapted network, an older model"),
        ("bird=0.5", "names no class, expected"),
        ("2", "expected a confidence from 0 to 1"),
        ("dog=", "expected a confidence from 0 to 1"),
    ],
)
def test_a_threshold_that_is_none_is_one_line(reject, words):
    with pytest.raises(OptionError, match=words) as error:
        OutputOptions(reject=(reject,)).rule(LABELS, None)
    one_line(error.value)


def test_smoothing_takes_the_class_of_the_mean_scores():
    decider = Decider(DecisionRule(smoothing=0.5), LABELS)
    scores = [(0.9, 0.1, 0.0), (0.3, 0.7, 0.0), (0.1, 0.9, 0.0)]
    found = [
        decider.decide(Prediction(max(range(3), key=s.__getitem__), "", max(s), s)).label
        for s in scores
    ]
    assert found == ["cat", "cat", "dog"]


@pytest.mark.parametrize("agree", ["", "3", "4/3", "0/3", "3/5000", "a/b"])
def test_a_vote_that_is_none_is_one_line(agree):
    with pytest.raises(OptionError, match="expected N/M such as 3/5"):
        RunOptions(agree=agree)


def test_json_lines_stand_before_the_result_and_changes_alone_can_be_had(tmp_path):
    command = [sys.executable, "-m", "edgecnn", "run", str(PAST_BUNDLE), "--source"]
    command += [str(PAST / "field" / "frames"), "--output", "jsonl", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, last = map(json.loads, done.stdout.splitlines())
    assert len(lines) == last["frames"] > 5
    assert [line["frame"] for line in lines] == sorted(line["frame"] for line in lines)
    assert all(line["decision"] == line["label"] for line in lines)
    without = subprocess.run(command[:-1], capture_output=True, text=True)
    assert [json.loads(line)["frame"] for line in without.stdout.splitlines()] == [
        line["frame"] for line in lines
    ]
    assert f"frames    {len(lines)} " in without.stderr
    reader, writer = os.pipe()
    os.close(reader)
    unread = subprocess.run(command[:-1], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (unread.returncode, "Traceback" in unread.stderr) == (141, False)
    assert "the program that reads stdout is gone, so the run ends" in unread.stderr
    changed = []
    options = RunOptions(output="jsonl", changes_only=True)
    run(PAST_BUNDLE, str(PAST / "field" / "frames"), options, on_line=changed.append)
    assert [json.loads(line) | {"age_ms": 0} for line in changed] == [
        line | {"age_ms": 0, "time": json.loads(same)["time"]}
        for line, same in zip([one for one in lines if one["changed"]], changed, strict=True)
    ]


def test_metrics_have_both_accuracies_with_intervals_and_every_trouble():
    status = replace(
        STATUS,
        silent=Trouble(14.0, "x"),
        unlogged=Trouble(3.0, "full"),
        faults={'damaged "frames"': 7},
    )
    text = metrics_text(status, {"temperature_c": 61.5, "throttled": "0x50005"})
    assert "# TYPE edgecnn_labelled_total counter" in text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    expected = {
        'edgecnn_accuracy{where="live",bound="value"}': 0.8,
        'edgecnn_labelled_total{where="lab"}': 1000,
        "edgecnn_gap_points": 17,
        "edgecnn_frames_total": 123,
        'edgecnn_age_seconds{quantile="0.95"}': 0.034,
        "edgecnn_camera_silent_seconds": 14,
        "edgecnn_not_logging_seconds": 3,
        r'edgecnn_faults_total{fault="damaged \"frames\""}': 7,
        "edgecnn_temperature_celsius": 61.5,
        "edgecnn_throttled_bits": 0x50005,
    }
    assert {name: float(values[name]) for name in expected} == expected
    assert float(values['edgecnn_accuracy{where="live",bound="low"}']) < 0.8
    for line in text.splitlines():
        assert line.startswith(("# HELP edgecnn_", "# TYPE edgecnn_", "edgecnn_"))


def test_all_samples_of_a_metric_stand_together_below_its_help_and_type():
    """As the text format asks for, and counters alone are called totals."""
    many = replace(STATUS, regions={"hall": Tally(1, 2), "door": Tally(3, 4)}, faults={"x": 1})
    many = replace(many, reject=Rejected(10, 4, Tally(5, 6)))
    name, kinds = "", {}
    for line in metrics_text(many, {"temperature_c": 61.5}).splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in kinds
        elif line.startswith("# TYPE "):
            assert line.split()[2] == name
            kinds[name] = line.split()[3]
        else:
            assert re.split("[{ ]", line)[0] == name
    totals = {name for name in kinds if name.endswith("_total")}
    assert {kinds[name] for name in totals} == {"counter"}
    assert {"edgecnn_labelled_total", "edgecnn_rejected_total"} <= totals


def test_who_asks_for_metrics_before_the_first_figures_gets_these():
    metrics = Metrics(str(free_port()))
    with closing(metrics), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(urllib.request.urlopen, f"http://127.0.0.1:{metrics.port}/metrics")
        assert not wait([asked], 0.3).done
        metrics.show(STATUS)
        with asked.result() as reply:
            assert b"edgecnn_frames_total" in reply.read()


def test_metrics_are_served_and_a_taken_or_wrong_address_is_one_line():
    metrics = Metrics(str(free_port()))
    try:
        metrics.show(STATUS)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as reply:
            assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert b"edgecnn_frames_total 123" in reply.read()
        with pytest.raises(OptionError, match="choose another --metrics") as error:
            Metrics(str(metrics.port))
        one_line(error.value)
    finally:
        metrics.close()
    with pytest.raises(OptionError, match="--metrics is 'here:there'"):
        Metrics("here:there")
    assert check_metrics("0.0.0.0").port == 9100


class Receiver:
    """A web server that keeps what is posted."""

    def __init__(self, status: int = 200, port: int = 0) -> None:
        self.got: list[dict] = []
        self.gets, self.authorization = 0, ""
        self.status, receiver = status, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(json.loads(body))
                receiver.authorization = self.headers.get("Authorization", "")
                self.send_response(receiver.status)
                if receiver.status == 301:
                    self.send_header("Location", "/moved?token=secret")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                receiver.gets += 1
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_webhook_gets_json_and_its_failure_tells_no_secret():
    receiver, refusing = Receiver(), Receiver(500)
    try:
        Webhook(receiver.url).send(answered(3))
        assert receiver.got == [answered(3).to_json()]
        with pytest.raises(OutputDownError, match="token=\\*\\*\\*") as error:
            Webhook(refusing.url).send(answered(3))
        assert "secret" not in str(error.value)
    finally:
        receiver.close()
        refusing.close()


def test_a_webhook_whose_server_moved_is_said_to_have_and_keeps_its_answer():
    """A client that follows asks there for a page, and the answer is in nobody's hands."""
    receiver = Receiver(301)
    try:
        publisher = Publisher(Webhook(receiver.url), changes_only=True)
        publisher.put(answered(0))
        until(lambda: publisher.failure is not None)
        assert "301, moved to http://127.0.0.1" in publisher.failure
        assert "secret" not in publisher.failure
        receiver.status = 200
        publisher.close()
        assert (receiver.gets, publisher.num_dropped) == (0, 0)
        assert [one["frame"] for one in receiver.got] == [0] * len(receiver.got)
    finally:
        receiver.close()


def test_a_webhook_with_a_user_says_who_it_is():
    receiver = Receiver()
    try:
        hook = Webhook(receiver.url.replace("://", "://me:s%40cret@"))
        hook.send(answered(3))
    finally:
        receiver.close()
    assert base64.b64decode(receiver.authorization.removeprefix("Basic ")) == b"me:s@cret"
    with pytest.raises(OutputDownError) as error:
        hook.send(answered(4))
    assert "cret" not in str(error.value)


def test_a_server_that_speaks_no_http_is_a_failure_like_others():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"220 mail at your service\r\n")

        threading.Thread(target=reply, daemon=True).start()
        with pytest.raises(OutputDownError, match="220 mail"):
            Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/").send(answered(0))


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://h:99999/", "http://h:x/", "http://[::1", "http://h/a b"]
)
def test_a_webhook_that_is_no_address_is_one_line(url):
    with pytest.raises(OptionError, match="expected an http:// address") as error:
        Webhook(url)
    one_line(error.value)


class Stuck(Output):
    """An output that hangs until it is let go, and then fails once."""

    name = "stuck"

    def __init__(self) -> None:
        self.go, self.sent, self.failed = threading.Event(), [], False

    def send(self, one: Announced) -> None:
        self.go.wait(PATIENCE_S)
        if not self.failed:
            self.failed = True
            raise OutputDownError("refused")
        self.sent.append(one.frame)


@pytest.mark.clock
def test_an_output_that_hangs_loses_answers_and_no_time_and_is_tried_again():
    stuck = Stuck()
    publisher = Publisher(stuck, changes_only=True)
    for frame in range(1000):
        publisher.put(answered(frame))
        publisher.put(answered(frame, changed=False))
    assert publisher.num_dropped >= 700
    assert publisher.failure == "stuck: 256 answers wait for it, and of more the oldest are lost"
    stuck.go.set()
    until(lambda: bool(stuck.sent) and publisher.failure is None)
    publisher.close()
    assert stuck.sent == sorted(set(stuck.sent))
    assert stuck.sent[-1] == 999


class Slow(Stuck):
    """An output that takes its time."""

    def send(self, one: Announced) -> None:
        time.sleep(0.0003)
        self.sent.append(one.frame)


def test_a_recording_waits_for_a_slow_output_and_loses_no_answer():
    slow, stop = Slow(), threading.Event()
    with Publishers([Publisher(slow, changes_only=True)], stop) as outputs:
        for frame in range(700):
            outputs.put(answered(frame))
    assert (slow.sent, outputs.num_dropped, outputs.failures) == ([*range(700)], 0, [])


class Back(Stuck):
    """An output that fails once, and then takes each answer when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.places = 0, threading.Semaphore(0)
        self.go.set()

    def send(self, one: Announced) -> None:
        self.asked += 1
        if self.failed:
            self.places.acquire(timeout=PATIENCE_S)
        super().send(one)


def test_a_recording_waits_for_an_output_that_is_back_before_all_is_sent(monkeypatch):
    monkeypatch.setattr(publish, "_FIRST_PAUSE_S", 0.0)
    back, stop = Back(), threading.Event()
    publisher = Publisher(back, changes_only=True)
    publisher.put(answered(0))
    until(lambda: publisher.failure is not None)
    publisher.put(answered(1))
    back.places.release()
    until(lambda: back.asked == 3)  # the first one twice
    assert publisher.failure is None
    back.places.release(1000)
    for frame in range(2, 700):
        publisher.put(answered(frame), stop)
    publisher.close()
    assert (back.sent, publisher.num_dropped) == ([*range(700)], 0)


class Flaky(Stuck):
    """An output that fails before each answer that it takes."""

    def send(self, one: Announced) -> None:
        self.failed = not self.failed
        if self.failed:
            raise OutputDownError("answers 500")
        self.sent.append(one.frame)


def test_an_output_that_fails_now_and_then_does_not_rest_longer_each_time():
    flaky, rests = Flaky(), []
    publisher = Publisher(flaky, changes_only=True)
    publisher._closing.wait = rests.append
    for frame in range(6):
        publisher.put(answered(frame))
    until(lambda: len(flaky.sent) == 6)
    publisher.close()
    assert (flaky.sent, rests) == ([*range(6)], [publish._FIRST_PAUSE_S] * 6)


def test_a_recording_waits_for_no_output_that_is_away_nor_after_a_stop():
    stop, stuck = threading.Event(), Stuck()
    away = Publisher(Webhook(f"http://127.0.0.1:{free_port()}/"), changes_only=True)
    away.put(answered(0))
    until(lambda: away.failure is not None)
    for frame in range(300):
        away.put(answered(frame), stop)
    assert away.num_dropped > 0
    stop.set()
    hanging = Publisher(stuck, changes_only=True)
    for frame in range(300):
        hanging.put(answered(frame), stop)
    assert hanging.num_dropped > 0
    for publisher in (away, hanging):
        publisher.stop()
    stuck.go.set()


@pytest.mark.clock
def test_an_answer_that_hangs_on_its_way_at_the_end_was_not_sent():
    stuck = Stuck()
    publisher = Publisher(stuck, changes_only=True)
    publisher.put(answered(0))
    publisher.put(answered(1))
    publisher.close()
    assert publisher.num_dropped == 2
    stuck.go.set()


def test_a_webhook_whose_server_was_away_gets_each_change_in_its_order():
    port = free_port()
    publisher = Publisher(Webhook(f"http://127.0.0.1:{port}/"), changes_only=True)
    for frame in range(3):
        publisher.put(answered(frame))
        until(lambda: publisher.failure is not None)
    receiver = Receiver(port=port)
    try:
        until(lambda: len(receiver.got) == 3)
        publisher.close()
        assert [one["frame"] for one in receiver.got] == [0, 1, 2]
        assert publisher.num_dropped == 0
    finally:
        receiver.close()


def test_an_answer_that_a_webhook_refuses_keeps_none_of_the_others_from_it():
    receiver = Receiver(422)
    try:
        publisher = Publisher(Webhook(receiver.url), changes_only=True)
        publisher.put(answered(0))
        until(lambda: publisher.num_dropped == 1)
        receiver.status = 200
        publisher.put(answered(1))
        until(lambda: len(receiver.got) == 2)
        publisher.close()
        assert [one["frame"] for one in receiver.got] == [0, 1]
        assert publisher.num_dropped == 1
    finally:
        receiver.close()


def test_the_result_counts_what_waits_for_a_server_that_stays_away():
    options = RunOptions(webhook=f"http://127.0.0.1:{free_port()}/")
    result = run(PAST_BUNDLE, str(PAST / "field" / "frames"), options)
    lines: list[str] = []
    run(
        PAST_BUNDLE,
        str(PAST / "field" / "frames"),
        RunOptions(output="jsonl"),
        on_line=lines.append,
    )
    num_changes = sum(json.loads(line)["changed"] for line in lines)
    assert result.faults["answers not sent"] == num_changes > 1


class Shown(Stuck):
    """An output that holds the figures."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: list[Status] = []
        self.go.set()

    def show(self, status) -> None:
        self.figures.append(status)


def test_the_last_figures_that_an_output_gets_are_those_of_the_result(monkeypatch):
    """A broker keeps them: whoever asks later must find what the run ended with."""
    shown = Shown()
    outputs = Publishers([Publisher(shown, changes_only=True)])
    monkeypatch.setattr("edgecnn.device.run.run.open_outputs", lambda *_, **__: outputs)
    result = run(PAST_BUNDLE, str(PAST / "field" / "frames"), RunOptions())
    last = shown.figures[-1]
    assert (last.frames, last.live, last.fps) == (result.frames, result.live, result.fps)


def test_a_reader_that_is_gone_ends_the_run():
    def gone(_line: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    stop = threading.Event()
    with pytest.raises(OutputDownError, match="is gone, so the run ends"):
        JsonLines(gone, stop).send(answered(0))
    assert stop.is_set()


@pytest.mark.parametrize("wrap", [lambda error: error, urllib.error.URLError])
def test_a_server_whose_certificate_is_unknown_is_said_with_what_to_do(wrap):
    unknown = ssl.SSLCertVerificationError(1, "unknown CA")
    unknown.reason = "CERTIFICATE_VERIFY_FAILED"  # as a handshake sets it
    assert "SSL_CERT_FILE" in certificate_hint(wrap(unknown))
    assert certificate_hint(wrap(ssl.SSLError("wrong version"))) == ""


@pytest.mark.parametrize(
    "url",
    [
        *("http://x/y", "mqtt://", "mqtt://a:b@:99999/x", "nothing"),
        *("mqtt://x/a/#", "mqtt://x/+/b", "mqtt://x/$SYS/y", "mqtt://x/a?b"),
        *("mqtt://x/a%23", "mqtt://x/%2B/b", "mqtt://x/a%00"),
    ],
)
def test_an_mqtt_address_that_is_none_is_one_line(url):
    with pytest.raises(EdgecnnError) as error:
        Mqtt(url, "door")
    one_line(error.value)


def test_without_paho_the_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho", None)
    monkeypatch.setitem(sys.modules, "paho.mqtt", None)
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingRuntimeError, match="pip install paho-mqtt"):
        Mqtt("mqtt://me:secret@10.0.0.5/door", "door")


def test_home_assistant_is_told_where_the_decision_is():
    found = discovery("Front door", "Front_door", "edgecnn/Front_door")
    assert found["state_topic"] == "edgecnn/Front_door/state"
    assert found["value_template"] == "{{ value_json.reading or value_json.decision }}"
    assert "decision" in answered(0).to_json()
