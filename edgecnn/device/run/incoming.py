"""New bundles for a run that goes on, found in a folder by a thread of its own.

The thread opens, loads and checks a bundle while the old one answers; the loop is handed a bundle
that is ready to answer, or none. So no frame waits for a disk, and none is answered by a bundle
that is copied still.
"""

from __future__ import annotations

import threading
import zipfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, is_bundle
from edgecnn.device.load_classifier import Loaded, check_golden, load_classifier
from edgecnn.device.options import RunOptions
from edgecnn.errors import BundleError, EdgecnnError, OptionError

__all__ = ["Incoming", "check_bundle_dir", "check_labels", "load_other"]

_SUFFIX = ".edgecnn"
_END_S = 3.0


def load_other(bundle: Bundle, options: RunOptions, labels: Sequence[str]) -> Loaded:
    """Load a bundle that is to answer in place of another, or beside it.

    Raises:
        BundleError: It can't be used, has other labels, or gives other answers than in the lab.
        OptionError: `options` ask for what it does not have.
        MissingRuntimeError: No runtime.
    """
    card = bundle.card
    check_labels(bundle, labels)
    options.rule(card.labels, card.reject.threshold if card.reject else None)
    loaded = load_classifier(bundle, options)
    check_golden(loaded.classifier)
    return loaded


def check_labels(bundle: Bundle, labels: Sequence[str]) -> None:
    """Refuse a bundle that can answer in no place of another.

    Raises:
        BundleError: It has other labels.
    """
    if bundle.card.labels != tuple(labels):
        raise BundleError(
            f"{bundle.path} has other labels than the bundle that runs, expected the same in the "
            "same order; start another run with it"
        )


def check_bundle_dir(folder: Path) -> None:
    """Refuse what no bundles can be put into.

    Raises:
        OptionError: There is no such folder, or it is a bundle itself.
    """
    if not folder.is_dir():
        raise OptionError(f"--bundle-dir {folder} is no folder; make it, or name another")
    if is_bundle(folder):
        raise OptionError(
            f"--bundle-dir {folder} is a bundle itself, expected a folder that bundles are put "
            "into; name that"
        )


class Incoming:
    """Watches `options.bundle_dir`; use it in a `with` block.

    What is put there or changed is looked at once it stays as it is from one look to the next: of
    several bundles the newest that can answer. A folder is as new as its newest file.

    Args:
        folder: Where bundles are put.
        running: What answers now.

    Raises:
        OptionError: There is no such folder, or it is a bundle itself.
    """

    def __init__(self, folder: Path, options: RunOptions, running: Classifier) -> None:
        check_bundle_dir(folder)
        self._folder, self._options = folder, options
        self._labels = running.card.labels
        self._answers, self._first = running.bundle.sha256, running.bundle.path.resolve()
        self._ready: Loaded | None = None
        self._is_trying = False
        self._lock = threading.Lock()
        self._refusals: deque[str] = deque()
        # When each bundle was changed: at the last look, and when it was taken or refused.
        self._seen: dict[Path, int] = {}
        self._known: dict[Path, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edgecnn-bundles", daemon=True)

    def __enter__(self) -> Incoming:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_END_S)

    def take(self) -> Loaded | None:
        """The bundle that is to answer from now on, once; None where that stays as it is."""
        if self._ready is None:
            return None
        with self._lock:
            ready, self._ready = self._ready, None
            if ready is not None:
                self._answers = ready.classifier.bundle.sha256
        return ready

    def take_refusals(self) -> list[str]:
        """Why bundles were not taken, since the last call."""
        return [self._refusals.popleft() for _ in range(len(self._refusals))]

    def too_late(self) -> str:
        """The newest bundle, where the run ended before it could answer; empty where it did not.

        Images and videos may be over before it is looked at.
        """
        found = _changes(self._folder)
        newest = max(found, key=found.__getitem__, default=None)
        if newest is None or newest.resolve() == self._first:
            return ""
        ready = self._ready
        is_done = self._known.get(newest) == found[newest] and not self._is_trying
        if ready is None and (is_done or self._has_answered(newest)):
            return ""
        late = newest if ready is None else ready.classifier.bundle.path
        return (
            f"{late.name} of --bundle-dir answered no frame, for the run ended before it was "
            "checked; run that bundle itself over a recording"
        )

    def _has_answered(self, path: Path) -> bool:
        """Whether what answers is there, though it was touched or copied anew since it was read."""
        try:
            return Bundle.open(path.resolve()).sha256 == self._answers
        except EdgecnnError:
            return False

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(self._options.watch_s)

    def _look(self) -> None:
        found = _changes(self._folder)
        before, self._seen = self._seen, found
        settled = [p for p, at in found.items() if at == before.get(p) != self._known.get(p)]
        self._known = {p: at for p, at in self._known.items() if p in found}
        self._known |= {path: found[path] for path in settled}
        self._is_trying = bool(settled)
        for path in sorted(settled, key=found.__getitem__, reverse=True):
            # After a restart, what answered before it must not lose to one that was refused then.
            if self._try(path):
                break
        self._is_trying = False

    def _try(self, path: Path) -> bool:
        """Make a bundle ready; False where it was refused, and an older one may answer."""
        try:
            # What a link leads to now, whatever it leads to later.
            bundle = Bundle.open(path.resolve())
            with self._lock:
                if bundle.sha256 == self._answers:
                    self._ready = None
                    return True
            loaded = load_other(bundle, self._options, self._labels)
        except EdgecnnError as error:
            # A bundle that was changed meanwhile is looked at again.
            if _changes(self._folder).get(path) == self._known[path]:
                self._refusals.append(f"{path.name} was refused, the bundle stays: {error}")
                return False
            return True
        with self._lock:
            # Looked at twice, it may answer by now.
            self._ready = loaded if bundle.sha256 != self._answers else None
        return True


def _changes(folder: Path) -> dict[Path, int]:
    """The bundles of a folder and when each was changed, in nanoseconds.

    What is called one counts: it is then said to be broken, and not waited for in silence.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:  # a drive that is away for a moment
        return {}
    found = {}
    for entry in entries:
        try:
            if entry.suffix == _SUFFIX or is_bundle(entry):
                found[entry] = max(map(_changed, (entry, *entry.rglob("*"))))
        except (OSError, zipfile.BadZipFile):
            continue  # it is being moved or copied
    return found


def _changed(path: Path) -> int:
    """Also of a link itself. A copy may keep the time of writing, but no file system the other."""
    stats = (path.lstat(), path.stat())
    return max(max(one.st_mtime_ns, one.st_ctime_ns) for one in stats)
