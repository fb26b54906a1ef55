"""Decisions by MQTT, as a sensor that Home Assistant finds by itself."""

from __future__ import annotations

import json
import os
import re
import threading
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from edgecnn.device.capture.cameras import public_name
from edgecnn.device.live.status import Status
from edgecnn.device.outputs.publish import Announced, Output, OutputDownError, certificate_hint
from edgecnn.errors import MissingRuntimeError, OptionError
from edgecnn.records import Json

__all__ = ["Mqtt", "discovery"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEP_ALIVE_S = 30
_GOODBYE_S = 2.0
_WELCOME_S = 5.0


class Mqtt(Output):
    """Publishes decisions when they change, retained, and that the run is there.

    What changed while the broker was away is published when it is there again: the newest of it.

    TOPIC/state has the answer as JSON, TOPIC/figures the live figures, TOPIC/available "online", or
    "offline" by the broker's last will.

    Args:
        url: mqtt://user:password@host:port/topic, or mqtts://.
        name: What the device is called.

    Raises:
        OptionError: It is no such address.
        MissingRuntimeError: paho-mqtt is not installed.
    """

    name = "mqtt"

    def __init__(self, url: str, name: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise OptionError(
                f"--mqtt is {public_name(url)!r}, expected mqtt://user:password@host/topic"
            ) from error
        if not parts.hostname:
            raise OptionError(f"--mqtt is {public_name(url)!r}, which names no host")
        topic = unquote(parts.path.strip("/"))
        if set("#?") & set(url) or set("+#\0") & set(topic) or topic.startswith("$"):
            raise OptionError(
                f"--mqtt is {public_name(url)!r}, expected a topic without +, # and ?, and without "
                "$ at its start, such as mqtt://host/home/door; in a password write %23 for #"
            )
        self._host, self._port, self._shown = parts.hostname, port, public_name(url)
        self._topic = topic or f"edgecnn/{_plain(name)}"
        self._link = _Link(self._shown, name, self._topic)
        self._client = self._make_client(parts.scheme == "mqtts")
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._started = False

    @property
    def failure(self) -> str | None:
        """Why nothing can be published now."""
        return self._link.failure

    @property
    def num_dropped(self) -> int:
        """Decisions that the broker did not get, as a newer one came before it was back."""
        link = self._link
        return link.num_replaced + (link.is_closing and link.has_unsent)

    def send(self, answered: Announced) -> None:
        if answered.decision.changed:
            self._publish("state", answered.to_json())

    def show(self, status: Status) -> None:
        live = status.live
        self._publish(
            "figures",
            {
                "live": live.to_json() if live.total else None,
                "gap_points": status.gap_points,
                "fps": round(status.fps, 3),
                "silent_s": status.silent.seconds if status.silent else 0,
            },
        )

    def close(self) -> None:
        self._link.is_closing = True
        if self._started:
            last = self._client.publish(f"{self._topic}/available", "offline", qos=1, retain=True)
            if last.rc == 0:  # closed before its answers are read, a connection drops what it sent
                last.wait_for_publish(_GOODBYE_S)
            self._client.disconnect()
            self._client.loop_stop()

    def _make_client(self, encrypted: bool) -> Any:
        try:
            paho = import_module("paho.mqtt.client")
        except ImportError as error:
            raise MissingRuntimeError(
                "--mqtt needs paho-mqtt, which is not installed; pip install paho-mqtt"
            ) from error
        # Of two clients with one name a broker turns the older away, so a board's second run would.
        name = f"edgecnn-{self._link.device}-{os.getpid()}"
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name)
        client.will_set(f"{self._topic}/available", "offline", qos=1, retain=True)
        client.max_queued_messages_set(100)
        # Not methods of ours: a circle of references leaves paho's sockets to the collector.
        client.on_connect, client.on_disconnect = self._link.answered, self._link.broken
        if encrypted:
            client.tls_set()
        return client

    def _connect(self) -> bool:
        """Connect once; from then on paho's own thread connects again. False: it was done."""
        if self._started:
            return False
        try:
            self._client.connect(self._host, self._port, _KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            raise OutputDownError(f"{self._shown}: {error}{certificate_hint(error)}") from error
        self._client.loop_start()
        self._started = True
        self._link.wait()
        return True

    def _publish(self, what: str, data: Json) -> None:
        """Publish it now, or with the next connection."""
        topic, text = f"{self._topic}/{what}", json.dumps(data)
        with self._link.lock:
            self._link.newest[topic] = text
        is_new = self._connect()  # publishes what is newest by itself
        with self._link.lock:
            is_there = self._client.is_connected()
            if is_there and not is_new:
                self._client.publish(topic, text, qos=0, retain=True)
            if what == "state":
                self._link.num_replaced += not is_there and self._link.has_unsent
                self._link.has_unsent = not is_there


class _Link:
    """What holds now, for the thread of paho, and what that thread says of the connection.

    newest   what is published last, by topic
    lock     held while it is published, so that no older one is published after it
    num_replaced, has_unsent   decisions that a newer one replaced unsent, and whether one waits
    """

    def __init__(self, shown: str, title: str, topic: str) -> None:
        self._shown, self._title, self._topic = shown, title, topic
        self.device = _plain(title)
        self.newest: dict[str, str] = {}
        self.lock = threading.Lock()
        self._has_answered = threading.Event()
        self.failure: str | None = None
        self.num_replaced = 0
        self.has_unsent = self.is_closing = False

    def wait(self) -> None:
        """Wait a moment for the broker's answer, so that what comes first is not replaced."""
        self._has_answered.wait(_WELCOME_S)
        with self.lock:
            if not self._has_answered.is_set():
                self.failure = f"{self._shown}: the broker does not answer"

    def answered(self, client: Any, _data: Any, _flags: Any, reason: Any, *_: Any) -> None:
        """Say that the run is there, what it is, and what holds now, on each connection."""
        if reason.is_failure:
            with self.lock:
                self.failure = f"{self._shown}: the broker refuses the connection: {reason}"
                self._has_answered.set()
            return
        client.publish(f"{self._topic}/available", "online", qos=1, retain=True)
        config = json.dumps(discovery(self._title, self.device, self._topic))
        where = f"homeassistant/sensor/edgecnn_{self.device}/config"
        client.publish(where, config, qos=1, retain=True)
        with self.lock:
            self.failure, self.has_unsent = None, False
            for name, text in self.newest.items():
                client.publish(name, text, qos=0, retain=True)
            self._has_answered.set()

    def broken(self, _client: Any, _data: Any, _flags: Any, reason: Any, *_: Any) -> None:
        """Note that the connection is gone; why a broker refuses it is said already."""
        if not self.is_closing and self.failure is None:
            self.failure = f"{self._shown}: the connection broke off: {reason}"


def discovery(title: str, device: str, topic: str) -> Json:
    """What Home Assistant has to know of the sensor.

    Source: home-assistant.io, MQTT discovery.
    """
    return {
        "name": title,
        "unique_id": f"edgecnn_{device}",
        "state_topic": f"{topic}/state",
        "value_template": "{{ value_json.reading or value_json.decision }}",
        "json_attributes_topic": f"{topic}/state",
        "availability_topic": f"{topic}/available",
        "device": {"identifiers": [f"edgecnn_{device}"], "name": title, "manufacturer": "edgecnn"},
    }


def _plain(name: str) -> str:
    """A name that topics and ids may hold; letters of other scripts go in by their numbers, so
    that no two devices are taken for one.
    """
    ascii_only = re.sub(r"[^\W_]", lambda c: c[0] if c[0].isascii() else f"{ord(c[0]):x}", name)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_only).strip("_") or "device"
