"""TensorFlow and the converters talk a lot, from C++ too; a terminal is no place for it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
