"""Serves the page from a thread of its own, until its `with` block ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from edgecnn.device.web.desk import Desk
from edgecnn.device.web.door.access import Access, load_secret, secret_file
from edgecnn.device.web.door.address import WebAddress, link
from edgecnn.errors import MissingRuntimeError, OptionError

__all__ = ["PageServer", "check_web"]

_BACKLOG = 128
_FIRST_S = 5  # until a connection that sends nothing counts
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
        self._server = _server(desk, Access(secret.token, address), self._socket)
        self._thread = threading.Thread(target=self._serve, name="edgecnn-web", daemon=True)

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    def _serve(self) -> None:
        """As `asyncio.run` does; but Windows' own event loop lacks what the porter needs."""
        import asyncio

        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(self._server.serve(sockets=[]))
            if left := asyncio.all_tasks(loop):
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _listen(address: WebAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OptionError(
            f"can't serve the page at {address.host}:{address.port}: {error.strerror}; choose "
            "another --web"
        ) from error
    if hasattr(socket, "TCP_DEFER_ACCEPT"):  # Linux: nobody wakes for those that send nothing
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _FIRST_S)
    listener.setblocking(False)
    return listener


def _server(desk: Desk, access: Access, listener: socket.socket) -> Any:
    """uvicorn's server, whose connections come from a porter."""
    import uvicorn

    from edgecnn.device.web.app import make_app, open_paths
    from edgecnn.device.web.door.porter import Porter

    protocol = _bounded_protocol()
    config = uvicorn.Config(
        make_app(desk, access),
        loop="asyncio",
        http=protocol,
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

    def make_protocol(first: bytes, ended: Callable[[], None]) -> Any:
        made = protocol(config=config, server_state=server.server_state, app_state={})
        made.first, made.ended = first, ended
        return made

    server = _with_porter()(config)
    server.porter = Porter(listener, access, open_paths(), make_protocol)
    return server


def _with_porter() -> Any:
    """uvicorn's own server, which listens nowhere itself."""
    from uvicorn import Server

    async def startup(self: Any, sockets: list[socket.socket] | None = None) -> None:
        await Server.startup(self, sockets)
        self.porter.open()

    async def shutdown(self: Any, sockets: list[socket.socket] | None = None) -> None:
        self.porter.close()
        await Server.shutdown(self, sockets)

    return type("ServerWithPorter", (Server,), {"startup": startup, "shutdown": shutdown})


def _bounded_protocol() -> Any:
    """uvicorn's own HTTP protocol, with a bound on slow request heads."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    def connection_made(self: Any, transport: Any) -> None:
        H11Protocol.connection_made(self, transport)
        self.since, self.check, self.last_cycle = time.monotonic(), None, None
        look_after(self)
        if self.first:
            self.data_received(self.first)

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
        self.check.cancel()
        self.ended()
        H11Protocol.connection_lost(self, error)

    methods: dict[str, Callable[..., None]] = {
        "connection_made": connection_made,
        "connection_lost": connection_lost,
    }
    return type("BoundedProtocol", (H11Protocol,), methods)
