"""Keep the messages of TensorFlow and the converters, also from C++, off the terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edgecnn.records import Progress

__all__ = ["ResultStream", "load_tensorflow", "quiet", "stdout_for_results", "without_chatter"]

_log = logging.getLogger(__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Send standard error, also from C++, to this module's logger at level DEBUG.

    Exceptions pass as usual. Output of other threads meanwhile, such as one refresh of a progress
    bar, goes to the logger too.
    """
    sys.stderr.flush()
    disabled = logging.root.manager.disable
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            logging.disable(disabled)
            sink.seek(0)
            _log.debug("%s", sink.read().decode(errors="replace"))


def load_tensorflow(progress: Progress | None) -> None:
    """Import TensorFlow, which takes seconds, on a slow disk a minute; tell a person who waits."""
    if "tensorflow" in sys.modules:
        return
    if progress:
        progress("loading TensorFlow", 0, 1)
    with quiet():
        import tensorflow  # noqa: F401
    if progress:
        progress("loading TensorFlow", 1, 1)


@contextmanager
def without_chatter() -> Iterator[None]:
    """Drop XNNPACK's INFO lines, written from C++, so that stderr shows only a user's error."""
    if not hasattr(os, "memfd_create"):
        yield
        return
    sys.stderr.flush()
    terminal, sink = os.dup(2), os.memfd_create("stderr")
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        with os.fdopen(sink, "rb") as said:
            said.seek(0)
            os.write(2, b"".join(line for line in said if not line.startswith(b"INFO: ")))


class ResultStream:
    """Stdout without a buffer, for any thread: who waits here for a slow reader still hears a
    signal, as nobody does who waits for the lock of Python's own buffer.
    """

    def __init__(self, handle: int) -> None:
        self._handle, self._lock = handle, threading.Lock()
        self._failure: OSError | None = None

    def write(self, text: str) -> None:
        """Write it all; the error of a full disk names stdout, as it names a file elsewhere."""
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
            except OSError as error:
                error.filename, self._failure = "stdout", error
                raise
            self._failure = None

    def close(self) -> None:
        """Raise what the last write did: another thread may have met it. Nothing is written from
        here on, for the handle's number may soon be that of another file.
        """
        self._handle = -1
        if self._failure is not None:
            raise self._failure


@contextmanager
def stdout_for_results() -> Iterator[ResultStream]:
    """Yield the real stdout for results, and send what C++ libraries print there to stderr."""
    sys.stdout.flush()
    keep = os.dup(1)
    os.dup2(2, 1)
    results = ResultStream(keep)
    try:
        try:
            yield results
        finally:
            results.close()
    finally:
        sys.stdout.flush()
        os.dup2(keep, 1)
        os.close(keep)
