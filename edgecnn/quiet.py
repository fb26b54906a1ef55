"""Keep the messages of TensorFlow and the converters, also from C++, off the terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgecnn.records import Progress

__all__ = ["load_tensorflow", "quiet", "stdout_for_results", "without_chatter"]

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


@contextmanager
def stdout_for_results() -> Iterator[Any]:
    """Yield the real stdout for results, and send what C++ libraries print there to stderr."""
    sys.stdout.flush()
    keep = os.dup(1)
    os.dup2(2, 1)
    try:
        stdout = os.fdopen(os.dup(keep), "w", encoding="utf-8", errors="backslashreplace")
        try:
            yield stdout
        finally:
            _close(stdout)
    finally:
        sys.stdout.flush()
        os.dup2(keep, 1)
        os.close(keep)


def _close(stdout: Any) -> None:
    """Write what waits; of a full disk the error names stdout, as it names a file elsewhere."""
    try:
        stdout.close()
    except OSError as error:
        error.filename = "stdout"
        raise
