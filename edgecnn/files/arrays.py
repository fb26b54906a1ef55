"""Arrays in an .npz file, whose damage is one kind of error."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from edgecnn.errors import EdgecnnError

__all__ = ["open_arrays"]


@contextmanager
def open_arrays(
    read: Callable[[], bytes], refuse: Callable[[Exception], EdgecnnError]
) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of an .npz file; nothing in it is unpickled.

    From bytes: of a torn file numpy would leave the handle open.

    Args:
        read: Gives the file's bytes.
        refuse: Makes the error to raise when the file can't be read, is damaged, or lacks an
            array that is asked for.
    """
    try:
        with np.load(io.BytesIO(read()), allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise refuse(error) from error
