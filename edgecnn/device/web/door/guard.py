"""Stands before the page's routes: every request passes here, and most hostile ones end here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any

from edgecnn.device.web.door.access import Access

__all__ = ["MOST_BODY", "TOO_MANY", "WITHOUT_TOKEN", "Guard", "refusal_bytes"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 64 * 1024
TOO_MANY = "too many requests; wait a moment"
WITHOUT_TOKEN = "open the link with the token (run --show-link)"
_MOST_PATH = 512
_REQUEST_S, _DOWNLOAD_S = 15.0, 3600.0
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """An ASGI application that lets through what may pass.

    Without a cookie that Access made, only the page's own files and the entry are reached: they
    hold no frame. Writes also need this origin and the mark of the cookie.
    """

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        sender = _with_headers(send)
        if refusal is not None:
            await refuse(sender, *refusal)
            return
        limit = _DOWNLOAD_S if scope["path"].endswith(".zip") else _REQUEST_S
        body = _bounded(receive)
        # A client that sends or reads too slowly is cut off.
        await asyncio.wait_for(self._app(scope, body, sender), limit)

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[HTTPStatus, str] | None:
        """Why a request may not pass: the status, and a line for a person."""
        address = scope["client"][0] if scope.get("client") else ""
        cookie = read_cookie(headers.get("cookie", ""), self._access.cookie)
        guest = self._access.knows_cookie(cookie)
        if not (self._access.guests if guest else self._access.strangers).allows(address):
            return HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY
        if not self._access.knows_host(headers.get("host", "")):
            return HTTPStatus.MISDIRECTED_REQUEST, "this address is not the device's own"
        path, method = scope["path"], scope["method"]
        if len(path) > _MOST_PATH or "\0" in path or ".." in path.split("/"):
            return HTTPStatus.BAD_REQUEST, "no such path"
        if method not in ("GET", "HEAD", "POST"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or POST"
        if path.startswith("/api/") and path != "/api/enter" and not guest:
            return HTTPStatus.UNAUTHORIZED, WITHOUT_TOKEN
        if method == "POST":
            return self._write_refusal(path, headers, cookie)
        return None

    def _write_refusal(
        self, path: str, headers: Mapping[str, str], cookie: str | None
    ) -> tuple[HTTPStatus, str] | None:
        if headers.get("origin") != f"http://{headers.get('host')}":
            return HTTPStatus.FORBIDDEN, "only the page itself may write"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return HTTPStatus.FORBIDDEN, "only the page itself may write"
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json"
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MOST_BODY:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_BODY} bytes"
        mark = headers.get("x-edgecnn-mark")
        if path != "/api/enter" and not self._access.knows_mark(cookie or "", mark):
            return HTTPStatus.FORBIDDEN, "load the page again"
        return None


def read_cookie(header: str, name: str) -> str | None:
    """One cookie of a Cookie header."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return found.value if found else None


async def refuse(send: Send, status: HTTPStatus, why: str) -> None:
    """Answer with a line of text, and close: what follows on this connection is not read."""
    body = f"{why}\n".encode()
    headers = _refusal_headers(body)
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refusal_bytes(status: HTTPStatus, why: str) -> bytes:
    """The answer of `refuse` as it goes over the wire."""
    body = f"{why}\n".encode()
    first = f"HTTP/1.1 {int(status)} {status.phrase}".encode()
    headers = [*_refusal_headers(body), *_HEADERS]
    return b"\r\n".join([first, *(k + b": " + v for k, v in headers), b"", body])


def _refusal_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]


def _with_headers(send: Send) -> Send:
    async def sender(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sender


def _bounded(receive: Receive) -> Receive:
    """Stops at MOST_BODY bytes, whatever Content-Length said."""
    got = 0

    async def receiver() -> Any:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > MOST_BODY:
            return {"type": "http.disconnect"}
        return message

    return receiver
