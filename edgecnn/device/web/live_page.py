"""The page of a run: its hub, its server, and the pace of a recording that somebody watches."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgecnn.bundle.classifier import Classifier
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.options import RunOptions
from edgecnn.device.web.door.address import parse_address
from edgecnn.device.web.hub import Hub
from edgecnn.device.web.server import PageServer, check_web
from edgecnn.device.web.settings import ViewFile
from edgecnn.device.web.shelf import Recording, Shelf, session_id

__all__ = ["LivePage"]

_CONFIG = "edgecnn.toml"
_LATE_S = 1.0  # a recording that fell behind by more goes on from here


class LivePage:
    """Serves the page of a run.

    Args:
        options: `web` is where; a region is saved beside the bundle, in edgecnn.toml.

    Raises:
        MissingRuntimeError: The extra `web` is not installed.
        OptionError: The address is no address.
    """

    def __init__(self, classifier: Classifier, options: RunOptions) -> None:
        check_web()
        bundle, artifact = classifier.bundle, classifier.artifact
        self._address = parse_address(options.web or "")
        beside = bundle.path.absolute().parent / _CONFIG
        # The file that `edgecnn run` reads: beside the bundle, else in the working directory.
        found = next((one for one in (beside, Path(_CONFIG).absolute()) if one.is_file()), beside)
        file = (options.config_file or found).absolute()
        view_file = ViewFile(file, options.views[0], options.typed)
        run, things = secrets.token_hex(10), options.thing_rule
        self.hub = Hub(bundle, artifact, run, view_file, options.name, things)
        self._offset: float | None = None

    @contextmanager
    def serve(self, log: Recording | None, on_link: Callable[[str], None] | None) -> Iterator[None]:
        """Serve until the block ends.

        Args:
            log: Says which session is being recorded; None where nothing is.
            on_link: Called with the link that lets a phone in.

        Raises:
            OptionError: The address is taken.
            OutputError: The token can't be kept.
        """
        if log is not None:
            self.hub.record(session_id(log.folder), Shelf(log))
        with PageServer(self.hub, self._address) as server:
            if on_link is not None:
                on_link(server.link)
            yield

    def pace(self, frame: Frame, stop: threading.Event) -> Frame:
        """Wait until a recording's frame is due by its own clock, so that a person can follow.

        It counts as captured when it is due.
        """
        if frame.seconds is None:
            return frame
        now = time.monotonic()
        if self._offset is None or now - self._offset - frame.seconds > _LATE_S:
            self._offset = now - frame.seconds
        stop.wait(max(0.0, self._offset + frame.seconds - now))
        return replace(frame, captured=time.monotonic(), captured_at=now_utc())
