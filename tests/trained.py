"""Trained networks and bundles of the tests: made once a machine, and anew when a source changes.

An entry is keyed by everything that decides it: the sources of edgecnn that training (and, for a
bundle, export) may import, the file of its recipe, and the versions of the libraries. It is made
under a lock and renamed into place, so nobody ever sees half of one; one that was altered since
is made again. Tests read entries and never write to them: what they change they copy first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import FunctionType

SOURCES = Path(__file__).resolve().parents[1] / "edgecnn"
# What neither training nor export may import: see tests/test_trained.py.
OTHER_ROOMS = {"adapt", "audit", "calibrate", "cli", "demo", "device", "fleet", "inspect"}
LIBRARIES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "scikit-learn", "onnx")
SEAL = "DIGEST"
UNUSED_S = 7 * 24 * 3600


def cache_root() -> Path:
    """Where entries are kept: EDGECNN_TEST_CACHE, or edgecnn/tests in the user's cache folder."""
    chosen = os.environ.get("EDGECNN_TEST_CACHE")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgecnn" / "tests"


def made_once(
    name: str,
    make: FunctionType,
    *,
    exports: bool = False,
    of: Path | None = None,
    recipe: Path | None = None,
) -> Path:
    """The folder that `make` filled, now or in an earlier run.

    Args:
        name: The entry's name, another for each recipe.
        make: Writes into the folder it is given; its own file is part of the key.
        exports: Whether the sources of `export` decide the entry too.
        of: The entry that `make` reads, if any: made anew, it makes this one anew.
        recipe: Another file whose functions `make` calls.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    recipes = [Path(__file__), Path(make.__code__.co_filename), *([recipe] if recipe else [])]
    parts = [*(path.read_text() for path in recipes), (of / SEAL).read_text() if of else ""]
    entry = root / f"{name}-{_key(parts, exports)}"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole(entry):
            _remove_old(root, name)
            shutil.rmtree(entry, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as staging:
                folder = Path(staging) / "entry"
                folder.mkdir()
                make(folder)
                (folder / SEAL).write_text(_digest(_files(folder), folder))
                folder.rename(entry)
        os.utime(entry)
    return entry


def is_whole(entry: Path) -> bool:
    """Whether an entry is there, as it was made."""
    seal = entry / SEAL
    return seal.is_file() and seal.read_text() == _digest(_files(entry), entry)


def _key(parts: list[str], exports: bool) -> str:
    """Of the recipe's parts, the sources that it may reach, and the versions beneath them."""
    others = OTHER_ROOMS if exports else OTHER_ROOMS | {"export"}
    sources = [p for p in _files(SOURCES) if p.relative_to(SOURCES).parts[0] not in others]
    versions = [sys.version, *(f"{name} {version(name)}" for name in LIBRARIES)]
    text = "\n".join([*parts, _digest(sources, SOURCES), *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _files(folder: Path) -> Iterator[Path]:
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return (p for p in found if "__pycache__" not in p.parts and p.name != SEAL)


def _digest(files: Iterator[Path] | list[Path], folder: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def _remove_old(root: Path, name: str) -> None:
    """Entries of this name that no run has used for a week."""
    for path in root.glob(f"{name}-*"):
        if time.time() - path.stat().st_mtime > UNUSED_S:
            shutil.rmtree(path, ignore_errors=True)
