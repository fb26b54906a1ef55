"""Who may see the page: a token that survives restarts, a signed cookie, and a mark on writes.

The token is in the link's fragment, which browsers never send. The page's script exchanges it
for a cookie that scripts can't read. The cookie is signed with a key made from the token, so the
server keeps no list, and a phone stays let in when the run starts again.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgecnn.device.web.door.address import WebAddress
from edgecnn.errors import OutputError

__all__ = ["Access", "RateLimit", "Secret", "load_secret", "secret_file"]

_TOKEN_BYTES = 32
_COOKIE_S = 30 * 24 * 3600
_MOST_ADDRESSES = 1000


@dataclass(frozen=True)
class Secret:
    """What the secret's file holds: the token, and the address that was served last."""

    token: str
    address: str | None = None


def secret_file() -> Path:
    """Where the token is kept: EDGECNN_WEB_SECRET, or edgecnn/web.json in the user's config."""
    chosen = os.environ.get("EDGECNN_WEB_SECRET")
    if chosen:
        return Path(chosen)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "edgecnn" / "web.json"


def load_secret(file: Path, address: str | None = None) -> Secret:
    """Read the token, or make one in a file that only its owner can read.

    Args:
        address: What `--web` names now, kept for `--show-link`; None leaves the file alone.

    Raises:
        OutputError: The file can't be read or written.
    """
    try:
        found = _read(file)
        token = found.token if found else secrets.token_urlsafe(_TOKEN_BYTES)
        secret = Secret(token, address or (found.address if found else None))
        if secret != found:
            _write(file, secret)
    except OSError as error:
        raise OutputError(
            f"can't keep the page's token in {file}: {error.strerror}; make the folder writable "
            "or set XDG_CONFIG_HOME"
        ) from error
    return secret


def _read(file: Path) -> Secret | None:
    """What the file holds; None where it is missing, torn, or open to other users."""
    try:
        mode = file.stat().st_mode
        data = json.loads(file.read_bytes())
        token, address = data["token"], data.get("address")
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = isinstance(token, str) and len(token) >= _TOKEN_BYTES and not mode & 0o077
    return Secret(token, address if isinstance(address, str) else None) if whole else None


def _write(file: Path, secret: Secret) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = file.with_name(f".{file.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as text:
        json.dump({"token": secret.token, "address": secret.address}, text)
    staged.replace(file)


class Access:
    """Decides about requests; holds no request of its own, but how many each address sent.

    Args:
        token: From the secret's file.
        address: Where the server listens.
        now: Seconds since 1970.
    """

    def __init__(
        self, token: str, address: WebAddress, now: Callable[[], float] = time.time
    ) -> None:
        self._token = token.encode()
        self._key = hashlib.sha256(b"edgecnn page\0" + self._token).digest()
        self._names = {"localhost", *_own_names(), address.host.lower()}
        self._now = now
        # Two runs on one machine share cookies, since these know no port.
        self.cookie = f"edgecnn_{address.port}"
        self.cookie_s = _COOKIE_S
        self.strangers = RateLimit(burst=60, a_second=10)
        self.guests = RateLimit(burst=200, a_second=60)

    def knows_token(self, offered: str) -> bool:
        """Whether this is the token; takes the same time for every wrong one."""
        return hmac.compare_digest(offered.encode(), self._token)

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this machine.

        A site that rebinds its own name to this machine sends that name. A bare IP address can't
        be rebound, so all of them are allowed.
        """
        host = header.rpartition(":")[0] if _has_port(header) else header
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return host.lower() in self._names
        return True

    def new_cookie(self) -> str:
        """A cookie for somebody who knew the token."""
        text = f"{secrets.token_hex(8)}.{int(self._now()) + _COOKIE_S}"
        return f"{text}.{self._sign('cookie', text)}"

    def knows_cookie(self, cookie: str | None) -> bool:
        """Whether a cookie was made here and is not too old."""
        text, _, sign = (cookie or "").rpartition(".")
        if not hmac.compare_digest(sign.encode(), self._sign("cookie", text).encode()):
            return False
        return int(text.rpartition(".")[2]) >= self._now()

    def mark(self, cookie: str) -> str:
        """What writes of this cookie's owner must carry, so that no other site can write."""
        return self._sign("write", cookie)

    def knows_mark(self, cookie: str, mark: str | None) -> bool:
        return hmac.compare_digest((mark or "").encode(), self.mark(cookie).encode())

    def _sign(self, use: str, text: str) -> str:
        return hmac.new(self._key, f"{use}\0{text}".encode(), hashlib.sha256).hexdigest()


class RateLimit:
    """At most so many events at once and so many a second, for each address."""

    def __init__(
        self, burst: int, a_second: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._a_second, self._now = burst, a_second, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str, cost: float = 1.0) -> bool:
        """Whether one more may happen; counts it with this cost if so."""
        now = self._now()
        left, then = self._left.pop(address, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._a_second)
        allowed = left >= 1
        self._left[address] = (left - cost if allowed else left, now)
        while len(self._left) > _MOST_ADDRESSES:
            self._left.popitem(last=False)
        return allowed


def _has_port(header: str) -> bool:
    return header.rpartition(":")[2].isdigit() and (header.count(":") == 1 or "]:" in header)


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {name, short, f"{short}.local"}
