"""TensorFlow and the converters talk a lot, from C++ too; a terminal is no place for it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["quiet"]

_log = logging.getLogger(__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what is written to standard error (also from C++) out of the terminal.

    The text goes to this module's logger at level DEBUG, so that nothing is lost for good;
    errors are raised as ever. What another thread writes to standard error meanwhile, such as
    one refresh of a progress bar, goes the same way.
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


@contextmanager
def without_chatter() -> Iterator[None]:
    """XNNPACK announces itself on stderr, from C++; a user's error should stand there alone."""
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
    """File descriptor 1 goes to stderr, for what C++ libraries print; results go to what it was."""
    sys.stdout.flush()
    keep = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(keep), "w", encoding="utf-8", errors="backslashreplace") as stdout:
            yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(keep, 1)
        os.close(keep)
