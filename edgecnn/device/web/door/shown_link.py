"""The link to the page, as a terminal shows it."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.device.web.door.access import load_secret, secret_file
from edgecnn.device.web.door.address import link, parse_address, qr_text
from edgecnn.errors import OptionError
from edgecnn.records import Record

__all__ = ["ShownLink", "last_link"]


@dataclass(frozen=True)
class ShownLink(Record):
    """The link, with its token: who has it sees the frames and may label them."""

    link: str

    def to_text(self) -> str:
        if parse_address(self.link.removeprefix("http://").partition("/")[0]).is_loopback:
            return (
                f"{self.link}\nOpen it in a browser on this machine. For a phone on its network, "
                "start with --web 0.0.0.0:PORT.\n"
            )
        return f"{qr_text(self.link)}{self.link}\nScan it with a phone; it stays the same.\n"


def last_link(web: str | None) -> ShownLink:
    """The link of an address, or of the one that was served last.

    Raises:
        OptionError: None was served yet.
    """
    secret = load_secret(secret_file())
    address = web or secret.address
    if address is None:
        raise OptionError("no page was served yet; start `edgecnn run` with --web 0.0.0.0:8080")
    return ShownLink(link(parse_address(address), secret.token))
