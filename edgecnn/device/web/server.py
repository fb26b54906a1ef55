"""Serves the page from a thread of its own, until its `with` block ends."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from edgecnn.device.web.desk import Desk
from edgecnn.device.web.door.access import Access, load_secret, secret_file
from edgecnn.device.web.door.address import WebAddress, link
from edgecnn.errors import MissingRuntimeError, OptionError

__all__ = ["PageServer", "check_web"]

_MOST_CONNECTIONS, _MOST_OF_ONE = 64, 24
_MOST_HEADER = 16 * 1024
_HEAD_S, _CHECK_S = 10.0, 2.0
_KEEP_ALIVE_S = 20
_STOP_S = 5.0


def check_web() -> None:
    """Refuse early where the extra `web` is not installed.

    Raises:
        MissingRuntimeError: It is not.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise MissingRuntimeError(
            f"the page needs {error.name}, which is not installed; pip install starlette uvicorn"
        ) from error
    del starlette, uvicorn


class PageServer:
    """The page of a desk at an address.

    Raises:
        MissingRuntimeError: The extra `web` is not installed.
        OptionError: The address is taken or not this machine's.
        OutputError: The token can't be kept.
    """

    def __init__(self, desk: Desk, address: WebAddress) -> None:
        check_web()
        with ExitStack() as undo:
            self._socket = undo.enter_context(_listen(address))
            secret = load_secret(secret_file(), f"{address.host}:{address.port}")
            undo.pop_all()
        self.link = link(address, secret.token)
        self._server = _server(desk, Access(secret.token, address))
        self._thread = threading.Thread(target=self._serve, name="edgecnn-web", daemon=True)

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(address: WebAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(_MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise OptionError(
            f"can't serve the page at {address.host}:{address.port}: {error.strerror}; choose "
            "another --web"
        ) from error
    return listener


def _server(desk: Desk, access: Access) -> Any:
    import uvicorn

    from edgecnn.device.web.app import make_app

    config = uvicorn.Config(
        make_app(desk, access),
        loop="asyncio",
        http=_bounded_protocol(),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",  # a hostile request must not write into the terminal
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_MOST_HEADER,
    )
    return uvicorn.Server(config)


def _bounded_protocol() -> Any:
    """uvicorn's own HTTP protocol, with bounds on connections and on slow request heads."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    doors = _Doors()

    def connection_made(self: Any, transport: Any) -> None:
        H11Protocol.connection_made(self, transport)
        self.host = (transport.get_extra_info("peername") or ("",))[0]
        self.since, self.check, self.last_cycle = time.monotonic(), None, None
        self.admitted = doors.admits(self.host)
        if self.admitted:
            look_after(self)
        else:
            transport.abort()

    def look_after(self: Any) -> None:
        """Cut a client off whose request head does not come; uvicorn waits for it for ever."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.cycle is not self.last_cycle:  # a whole head came since the last look
            self.since, self.last_cycle = time.monotonic(), self.cycle
        if time.monotonic() - self.since > _HEAD_S + _KEEP_ALIVE_S * (self.cycle is not None):
            self.transport.abort()
        else:
            self.check = self.loop.call_later(_CHECK_S, look_after, self)

    def connection_lost(self: Any, error: Exception | None) -> None:
        if self.check is not None:
            self.check.cancel()
        if self.admitted:
            doors.leaves(self.host)
        H11Protocol.connection_lost(self, error)

    methods: dict[str, Callable[..., None]] = {
        "connection_made": connection_made,
        "connection_lost": connection_lost,
    }
    return type("BoundedProtocol", (H11Protocol,), methods)


class _Doors:
    """Counts the open connections, of all and of each address."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def admits(self, host: str) -> bool:
        if self._open.total() >= _MOST_CONNECTIONS or self._open[host] >= _MOST_OF_ONE:
            return False
        self._open[host] += 1
        return True

    def leaves(self, host: str) -> None:
        self._open[host] -= 1
        if self._open[host] <= 0:
            del self._open[host]
