"""The porter: takes connections, and turns strangers away before the server sees them.

A request without the cookie of somebody who knew the token can only want the page's own files or
the entry. All others get one answer that was made in advance, straight through the socket: that
takes some system calls, where the server parses, decides and answers in Python for a millisecond
that the run's loop wants. What may pass goes on to the server, and so does what is not whole yet;
the guard decides again about all of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from edgecnn.device.web.door.access import Access
from edgecnn.device.web.door.guard import TOO_MANY, WITHOUT_TOKEN, refusal_bytes

__all__ = ["Porter"]

_MOST_STRANGERS, _MOST_OF_ONE, _MOST_CONNECTIONS = 48, 24, 64
_AT_ONCE = 16
_FIRST_READ = 16 * 1024
_FULL_S = 1.0  # a pause where the process has no file numbers left
_LINGER_S, _MOST_LINGERING = 1.0, 32

MakeProtocol = Callable[[bytes, Callable[[], None]], asyncio.Protocol]


class Porter:
    """Stands at a listening socket, in the web thread's event loop.

    Args:
        listener: Not blocking.
        files: Paths that strangers may ask for.
        make_protocol: Makes the server's protocol for a connection from what it sent first, and
            from what to call when it ends.
    """

    def __init__(
        self,
        listener: socket.socket,
        access: Access,
        files: Iterable[str],
        make_protocol: MakeProtocol,
    ) -> None:
        self._listener, self._access, self._make_protocol = listener, access, make_protocol
        self._open = {path.encode() for path in files}
        self._unknown = refusal_bytes(HTTPStatus.UNAUTHORIZED, WITHOUT_TOKEN)
        self._too_many = refusal_bytes(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY)
        self._strangers: Counter[str] = Counter()
        self._guests = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lingering: set[socket.socket] = set()

    def open(self) -> None:
        """Take connections from now on."""
        asyncio.get_running_loop().add_reader(self._listener, self._take)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        for line in list(self._lingering):
            self._let_go(line)

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                line, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no file numbers are left
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(_FULL_S, self.open)
                return
            self._meet(line, address[0])

    def _meet(self, line: socket.socket, host: str) -> None:
        """Turn a connection away, or hand it over to the server."""
        line.setblocking(False)
        head = b""
        try:
            head = line.recv(_FIRST_READ)
            is_over = not head
        except BlockingIOError:
            is_over = False
        except OSError:
            is_over = True
        guest = self._is_guest(head)
        refusal = None if guest else self._refusal(head, host)
        if refusal is not None:
            self._answer(line, refusal, lingers=head.startswith(b"POST"))
        elif is_over or not self._has_room(guest, host):
            line.close()
        else:
            self._hand_over(line, head, guest, host)

    def _is_guest(self, head: bytes) -> bool:
        _, found, rest = head.partition(self._access.cookie.encode() + b"=")
        cookie = rest.partition(b"\r\n")[0].partition(b";")[0].strip()
        return bool(found) and self._access.knows_cookie(cookie.decode("latin-1"))

    def _refusal(self, head: bytes, host: str) -> bytes | None:
        """What a stranger gets whose request is whole and can't pass."""
        if b"\r\n\r\n" not in head:
            return None
        path = head.partition(b"\r\n")[0].partition(b" ")[2].partition(b" ")[0]
        if path.partition(b"?")[0] not in self._open:
            return self._unknown
        return None if self._access.strangers.allows(host, cost=0) else self._too_many

    def _answer(self, line: socket.socket, refusal: bytes, *, lingers: bool) -> None:
        """Answer and close. A body that is still to come would reset the connection, and with it
        the answer, so the socket then stays a moment.
        """
        with suppress(OSError):
            line.send(refusal)
            if lingers and len(self._lingering) < _MOST_LINGERING:
                line.shutdown(socket.SHUT_WR)
                self._lingering.add(line)
                asyncio.get_running_loop().call_later(_LINGER_S, self._let_go, line)
                return
        line.close()

    def _let_go(self, line: socket.socket) -> None:
        self._lingering.discard(line)
        line.close()

    def _has_room(self, guest: bool, host: str) -> bool:
        """Whoever holds a cookie has room that strangers, of one address or many, can't take."""
        strangers = self._strangers.total()
        if guest:
            return strangers + self._guests < _MOST_CONNECTIONS
        return strangers < _MOST_STRANGERS and self._strangers[host] < _MOST_OF_ONE

    def _hand_over(self, line: socket.socket, head: bytes, guest: bool, host: str) -> None:
        self._guests += guest
        self._strangers[host] += not guest
        ended = partial(self._ended, guest, host)
        loop = asyncio.get_running_loop()
        task = loop.create_task(
            loop.connect_accepted_socket(partial(self._make_protocol, head, ended), line)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self, guest: bool, host: str) -> None:
        self._guests -= guest
        self._strangers[host] -= not guest
        if self._strangers[host] <= 0:
            del self._strangers[host]
