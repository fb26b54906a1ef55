"""Answers as JSON lines and as posts to a web address."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable

from edgecnn.device.capture.cameras import public_name
from edgecnn.device.live.status import Status
from edgecnn.device.outputs.publish import Announced, AnswerRefusedError, OutputDownError
from edgecnn.errors import OptionError

__all__ = ["JsonLines", "Webhook"]

_POST_S = 10.0
# Of these a server means that the same request may be taken later: RFC 9110, RFC 6585.
_LATER = (408, 425, 429)


class JsonLines:
    """One JSON object a line.

    Args:
        write: Takes a line without its end.
    """

    name = "jsonl"

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def send(self, answered: Announced) -> None:
        try:
            self._write(json.dumps(answered.to_json(), separators=(",", ":")))
        except OSError as error:  # its reader is gone
            raise OutputDownError(error.strerror or str(error)) from error

    def show(self, status: Status) -> None:
        """Figures are in the last line, which the command prints."""

    def close(self) -> None:
        """Nothing to release."""


class Webhook:
    """Posts each answer to an address as JSON.

    Raises:
        OptionError: It is no http address.
    """

    name = "webhook"

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise OptionError(f"--webhook is {public_name(url)!r}, expected an http:// address")
        self._url = url

    def send(self, answered: Announced) -> None:
        request = urllib.request.Request(
            self._url,
            json.dumps(answered.to_json()).encode(),
            {"Content-Type": "application/json", "User-Agent": "edgecnn"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_POST_S):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            is_refused = 400 <= error.code < 500 and error.code not in _LATER
            kind = AnswerRefusedError if is_refused else OutputDownError
            raise kind(f"{public_name(self._url)} answers {error.code}") from error
        except (OSError, ValueError) as error:  # URLError is an OSError
            raise OutputDownError(f"{public_name(self._url)}: {error}") from error

    def show(self, status: Status) -> None:
        """Only answers are posted."""

    def close(self) -> None:
        """Nothing to release."""
