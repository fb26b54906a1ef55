"""Memory that is free goes back to the operating system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path
import numpy as np
from edgecnn.memory import return_free_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

pieces = [np.ones(1000) for _ in range(25_000)]  # 200 MB
last = pieces.pop()  # lies above all others, so that the C library keeps what is below it
before = resident_mb()
del pieces
kept = resident_mb()
return_free_memory()
print(before, kept, resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_was_freed_in_pieces_is_returned() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    before, kept, after = map(float, done.stdout.split())
    assert kept > before - 50, "without a call it stays with the process"
    assert after < before - 150
