"""Where the page is served, the link to it, and the link as a QR code for a terminal."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np

from edgecnn.errors import OptionError

__all__ = ["WebAddress", "link", "parse_address", "qr_text"]

_LOOPBACK, _PORT = "127.0.0.1", 8080  # the port of `run`
_EVERYWHERE = {"0.0.0.0", "::"}
_QUIET_ZONE = 2  # modules; the standard asks for 4, but every phone reads 2, and lines are dear


@dataclass(frozen=True)
class WebAddress:
    """A host and a port to listen at."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str, usual_port: int = _PORT) -> WebAddress:
    """Read what `--web` takes: a port, a host, or both; without a host, only this machine.

    Args:
        usual_port: Where a host is given alone.

    Raises:
        OptionError: Another form.

    Example:
        >>> parse_address("8000"), parse_address("0.0.0.0:80").host
        (WebAddress(host='127.0.0.1', port=8000), '0.0.0.0')
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = ("", text) if text.isdigit() else (text, str(usual_port))
    elif text.endswith("]") or (text.count(":") > 1 and not host.endswith("]")):
        host, port = text, str(usual_port)
    host = host.strip("[]") or _LOOPBACK
    plain = all(c.isalnum() or c in ".-:" for c in host)
    if not (text and plain and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise OptionError(
            f"--web is {text!r}, expected a port ({usual_port}), or host:port such as "
            f"0.0.0.0:{usual_port} for every network of this machine"
        )
    return WebAddress(host, int(port))


def link(address: WebAddress, token: str) -> str:
    """The link that lets a phone in; the token is in the fragment, which is never sent."""
    host = _reachable_ip() if address.host in _EVERYWHERE else address.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{address.port}/#{token}"


def qr_text(text: str) -> str:
    """A QR code of half blocks, two modules a character high, dark on light."""
    modules = cv2.QRCodeEncoder.create().encode(text)
    dark = np.pad(_without_margin(modules < 128), _QUIET_ZONE)
    if len(dark) % 2:
        dark = np.pad(dark, ((0, 1), (0, 0)))
    # A terminal's own text may be dark or light: white on black is set for both.
    blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    rows = zip(dark[::2], dark[1::2], strict=True)
    lines = ("".join(blocks[int(a), int(b)] for a, b in zip(*pair, strict=True)) for pair in rows)
    return "".join(f"\x1b[97;40m{line}\x1b[0m\n" for line in lines)


def _without_margin(dark: np.ndarray) -> np.ndarray:
    """OpenCV's own margin differs between builds."""
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    return dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _reachable_ip() -> str:
    """This machine's address on the network that leads out; nothing is sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:  # no network: the machine's own hot spot may have a name
            return socket.gethostname()
        return str(probe.getsockname()[0])
