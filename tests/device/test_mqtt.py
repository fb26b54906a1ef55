"""MQTT against a broker of 60 lines: what is published, retained, and left as the last will."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone

import pytest
from mjpeg_server import mjpeg_server
from served import free_port
from sessions import PAST_BUNDLE
from test_panel import STATUS

from edgecnn.device.outputs.decision import Decision
from edgecnn.device.outputs.mqtt import Mqtt
from edgecnn.device.outputs.publish import Announced, OutputDownError

pytest.importorskip("paho.mqtt.client")
pytestmark = pytest.mark.clock
AT = datetime(2026, 5, 1, tzinfo=timezone.utc)
PATIENCE_S = 60.0
CONNECT, PUBLISH, PING, DISCONNECT = 1, 3, 12, 14


class Broker:
    """Takes one client; `got` has topic, payload and whether it is retained."""

    def __init__(self, port: int = 0, *, code: int = 0) -> None:
        self.code = code
        self.got: list[tuple[str, bytes, bool]] = []
        self.connect = b""
        self.listener = socket.create_server(("127.0.0.1", port))
        self.client = self.listener
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        client, _ = self.listener.accept()
        self.client = client
        with suppress(OSError), client, client.makefile("rb") as stream:
            while head := stream.read(1):
                kind, flags = head[0] >> 4, head[0] & 15
                body = stream.read(self.length(stream))
                if kind == CONNECT:
                    self.connect = body
                    client.sendall(bytes([0x20, 2, 0, self.code]))
                elif kind == PUBLISH:
                    self.publish(client, flags, body)
                elif kind == PING:
                    client.sendall(bytes([0xD0, 0]))
                elif kind == DISCONNECT:
                    return

    def length(self, stream) -> int:
        size = shift = 0
        while True:
            (byte,) = stream.read(1)
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return size

    def publish(self, client, flags: int, body: bytes) -> None:
        end = 2 + struct.unpack(">H", body[:2])[0]
        topic, rest = body[2:end].decode(), body[end:]
        if flags & 6:  # at least once: it has a number, and waits for an answer
            client.sendall(bytes([0x40, 2]) + rest[:2])
            rest = rest[2:]
        self.got.append((topic, rest, bool(flags & 1)))

    def wait_for(self, topic: str) -> bytes:
        limit = time.monotonic() + PATIENCE_S
        while True:
            found = [payload for name, payload, _ in self.got if name == topic]
            if found:
                return found[-1]
            assert time.monotonic() < limit
            time.sleep(0.02)

    def drop(self) -> None:
        """Break off, as a broker that is stopped."""
        self.client.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        self.thread.join(PATIENCE_S)
        self.listener.close()


def answered(frame: int, *, changed: bool) -> Announced:
    return Announced(frame, AT, "cat", 0.91239, Decision("cat", 0.9, changed), None, 12.34)


def test_decisions_figures_and_presence_are_published_and_retained():
    broker = Broker()
    output = Mqtt(f"mqtt://me:s%40cret@127.0.0.1:{broker.port}/home/front%20door", "Vordertür 1")
    output.send(answered(1, changed=True))
    output.send(answered(2, changed=False))
    output.show(STATUS)
    assert broker.wait_for("home/front door/available") == b"online"
    config = json.loads(broker.wait_for("homeassistant/sensor/edgecnn_Vordertfcr_1/config"))
    assert config["state_topic"] == "home/front door/state"
    assert json.loads(broker.wait_for("home/front door/state"))["decision"] == "cat"
    assert json.loads(broker.wait_for("home/front door/figures"))["gap_points"] == 17.0
    output.close()
    broker.close()
    assert [
        json.loads(p)["frame"] for name, p, _ in broker.got if name == "home/front door/state"
    ] == [1]
    assert all(retained for _, _, retained in broker.got)
    assert broker.got[-1][:2] == ("home/front door/available", b"offline")
    for part in (b"home/front door/available", b"offline", b"me", b"s@cret"):
        assert part in broker.connect


def test_a_broker_that_is_not_there_is_a_failure_without_its_password():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OutputDownError) as error:
        Mqtt(f"mqtt://me:secret@127.0.0.1:{port}/door", "door").send(answered(1, changed=True))
    assert "secret" not in str(error.value)


def test_a_broker_that_refuses_is_said_and_what_it_did_not_get_is_counted():
    not_authorized = 5
    broker = Broker(code=not_authorized)
    output = Mqtt(f"mqtt://me:secret@127.0.0.1:{broker.port}/door", "door")
    output.send(answered(1, changed=True))
    output.send(answered(2, changed=True))
    output.show(STATUS)
    assert "the broker refuses the connection: Not authorized" in str(output.failure)
    assert "secret" not in str(output.failure)
    assert output.num_dropped == 1  # the newest may still go out
    output.close()
    assert output.num_dropped == 2
    broker.close()


@pytest.fixture
def mosquitto() -> Iterator[int]:
    """The port of a real broker."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    port = free_port()
    process = subprocess.Popen([program, "-p", str(port)], stderr=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait()


def retained(port: int, wanted: dict[str, bytes | None]) -> dict[str, bytes]:
    """What a new subscriber is sent of these topics, once those with a payload have it."""
    import paho.mqtt.client as paho

    got: dict[str, bytes] = {}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: got.update({message.topic: message.payload})
    client.on_connect = lambda *_: client.subscribe([(topic, 1) for topic in wanted])
    client.connect("127.0.0.1", port)
    limit = time.monotonic() + PATIENCE_S
    while not all(topic in got and value in (None, got[topic]) for topic, value in wanted.items()):
        assert time.monotonic() < limit, got
        client.loop(0.1)
    client.disconnect()
    return got


def test_a_real_broker_keeps_the_state_of_a_run_and_learns_that_it_was_killed(mosquitto):
    url = f"mqtt://127.0.0.1:{mosquitto}/home/door"
    config = "homeassistant/sensor/edgecnn_door/config"
    with mjpeg_server() as camera:
        command = [sys.executable, "-m", "edgecnn", "run", str(PAST_BUNDLE), "--source", camera.url]
        run = subprocess.Popen(
            [*command, "--mqtt", url, "--name", "door"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(mosquitto)
            there = {"home/door/state": None, "home/door/available": b"online", config: None}
            got = retained(mosquitto, there)
        finally:
            run.kill()
            run.wait()
    state = json.loads(got["home/door/state"])
    assert (state["decision"], state["changed"]) == (state["label"], True)
    assert json.loads(got[config])["availability_topic"] == "home/door/available"
    gone = retained(mosquitto, {"home/door/available": b"offline", "home/door/state": None})
    assert json.loads(gone["home/door/state"])["frame"] >= state["frame"]


def test_a_decision_that_came_while_the_broker_was_away_is_published_when_it_is_back():
    port = free_port()
    output = Mqtt(f"mqtt://127.0.0.1:{port}/door", "door")
    with pytest.raises(OutputDownError):
        output.send(answered(1, changed=True))
    broker = Broker(port)
    output.show(STATUS)
    assert json.loads(broker.wait_for("door/state"))["frame"] == 1
    assert output.failure is None
    broker.drop()
    limit = time.monotonic() + PATIENCE_S
    while output.failure is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert "the connection broke off" in output.failure
    output.send(answered(2, changed=True))
    again = Broker(port)
    assert json.loads(again.wait_for("door/state"))["frame"] == 2
    assert (output.failure, output.num_dropped) == (None, 0)
    output.close()
    again.close()


def test_no_older_decision_is_published_after_a_newer_one(monkeypatch):
    port = free_port()
    output = Mqtt(f"mqtt://127.0.0.1:{port}/door", "door")
    with pytest.raises(OutputDownError):
        output.send(answered(1, changed=True))
    publish, newer = (
        output._client.publish,
        threading.Thread(target=output.send, args=(answered(2, changed=True),)),
    )

    def slowly(topic: str, text: str, **more: object) -> object:
        if topic == "door/state" and newer.ident is None:
            newer.start()
            newer.join(0.3)
        return publish(topic, text, **more)

    monkeypatch.setattr(output._client, "publish", slowly)
    broker = Broker(port)
    output.show(STATUS)
    broker.wait_for("door/state")
    newer.join(PATIENCE_S)
    output.close()
    broker.close()
    states = [json.loads(text)["frame"] for topic, text, _ in broker.got if topic == "door/state"]
    assert states == [1, 2]


def wait_for_port(port: int) -> None:
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("no broker")
