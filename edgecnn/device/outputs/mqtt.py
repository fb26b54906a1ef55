"""Decisions by MQTT, as a sensor that Home Assistant finds by itself."""

from __future__ import annotations

import json
import re
import threading
from functools import partial
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from edgecnn.device.capture.cameras import public_name
from edgecnn.device.live.status import Status
from edgecnn.device.outputs.publish import Announced, OutputDownError
from edgecnn.errors import MissingRuntimeError, OptionError
from edgecnn.records import Json

__all__ = ["Mqtt", "discovery"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEP_ALIVE_S = 30
_GOODBYE_S = 2.0


class Mqtt:
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
        self._host, self._port, self._shown = parts.hostname, port, public_name(url)
        self._device = _plain(name)
        self._topic = parts.path.strip("/") or f"edgecnn/{self._device}"
        self._title = name
        self._newest: dict[str, str] = {}  # by topic
        self._lock = threading.Lock()  # so that no older one is published after it
        self._client = self._make_client(parts.scheme == "mqtts")
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._started = False

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
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"edgecnn-{self._device}")
        client.will_set(f"{self._topic}/available", "offline", qos=1, retain=True)
        client.max_queued_messages_set(100)
        # Not a method of ours: a circle of references leaves paho's sockets to the collector.
        client.on_connect = partial(
            _announce, self._title, self._device, self._topic, self._newest, self._lock
        )
        if encrypted:
            client.tls_set()
        return client

    def _connect(self) -> None:
        """Connect once; from then on paho's own thread connects again."""
        if self._started:
            return
        try:
            self._client.connect(self._host, self._port, _KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            raise OutputDownError(f"{self._shown}: {error}") from error
        self._client.loop_start()
        self._started = True

    def _publish(self, what: str, data: Json) -> None:
        """Publish it now, or with the next connection."""
        topic, text = f"{self._topic}/{what}", json.dumps(data)
        with self._lock:
            self._newest[topic] = text
        self._connect()
        with self._lock:
            if self._client.is_connected():
                self._client.publish(topic, text, qos=0, retain=True)


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


def _announce(
    title: str,
    device: str,
    topic: str,
    newest: dict[str, str],
    lock: threading.Lock,
    client: Any,
    *_: Any,
) -> None:
    """Say that the run is there, what it is, and what holds now, on each connection."""
    client.publish(f"{topic}/available", "online", qos=1, retain=True)
    config = discovery(title, device, topic)
    where = f"homeassistant/sensor/edgecnn_{device}/config"
    client.publish(where, json.dumps(config), qos=1, retain=True)
    with lock:
        for name, text in newest.items():
            client.publish(name, text, qos=0, retain=True)


def _plain(name: str) -> str:
    """A name that topics and ids may hold."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "device"
