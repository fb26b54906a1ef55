"""Answers as JSON lines and as posts to a web address."""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import unquote, urljoin, urlsplit

from edgecnn.device.capture.cameras import public_name
from edgecnn.device.outputs.publish import (
    Announced,
    AnswerRefusedError,
    Output,
    OutputDownError,
    certificate_hint,
)
from edgecnn.errors import OptionError

__all__ = ["JsonLines", "Webhook"]

_POST_S = 10.0
# Of these a server means that the same request may be taken later: RFC 9110, RFC 6585.
_LATER = (408, 425, 429)


class JsonLines(Output):
    """One JSON object a line.

    Args:
        write: Takes a line without its end.
        stop: Set where its reader is gone: like other programs in a pipe, the run ends then.
    """

    name = "jsonl"

    def __init__(self, write: Callable[[str], None], stop: threading.Event) -> None:
        self._write, self._stop = write, stop

    def send(self, answered: Announced) -> None:
        try:
            self._write(json.dumps(answered.to_json(), separators=(",", ":")))
        except BrokenPipeError as error:
            self._stop.set()
            raise OutputDownError(
                "the program that reads stdout is gone, so the run ends"
            ) from error
        except OSError as error:
            raise OutputDownError(error.strerror or str(error)) from error


class Webhook(Output):
    """Posts each answer to an address as JSON; a user and password in it are sent as such.

    Raises:
        OptionError: It is no http address.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
            raise OptionError(
                f"--webhook is {public_name(url)!r}, expected an http:// address such as "
                "http://host:8000/path, with %20 for a space"
            )
        self._shown = public_name(url)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._headers = {"Content-Type": "application/json", "User-Agent": "edgecnn"}
        if parts.username is not None:
            who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            basic = base64.b64encode(who.encode()).decode()
            self._headers["Authorization"] = f"Basic {basic}"
        self._open = urllib.request.build_opener(_NoRedirect).open

    def send(self, answered: Announced) -> None:
        data = json.dumps(answered.to_json()).encode()
        request = urllib.request.Request(self._url, data, self._headers)
        try:
            with self._open(request, timeout=_POST_S):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            is_refused = 400 <= error.code < 500 and error.code not in _LATER
            kind = AnswerRefusedError if is_refused else OutputDownError
            raise kind(f"{self._shown} answers {error.code}{_moved(self._url, error)}") from error
        except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
            raise OutputDownError(f"{self._shown}: {error}{certificate_hint(error)}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for a failure: what would be sent there is a GET without the answer."""

    def redirect_request(self, *_: object) -> None:
        return None


def _moved(url: str, error: urllib.error.HTTPError) -> str:
    """Where a server sends its clients, if it does."""
    place = error.headers.get("Location") if 300 <= error.code < 400 else None
    return (
        ""
        if not place
        else f", moved to {public_name(urljoin(url, place))}; give that to --webhook"
    )
