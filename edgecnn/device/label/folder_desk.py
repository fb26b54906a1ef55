"""The page's desk over a plain folder: images are copied into one folder a class."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from edgecnn.bundle.preprocess import readable_image
from edgecnn.device.label.result import LabelResult
from edgecnn.device.web.desk import Desk
from edgecnn.device.web.given import GivenLabel, SeenLabels
from edgecnn.device.web.pictures import LazyPicture
from edgecnn.errors import DataError, OptionError, OutputError
from edgecnn.files.folders import find_images
from edgecnn.files.manifest import csv_text
from edgecnn.files.staging import write_file
from edgecnn.records import Json
from edgecnn.session.events import NONE_LABEL

__all__ = ["FolderDesk"]

_JOURNAL = "labels.csv"
_COLUMNS = ("path", "label", "by", "at", "withdrawn")
_TAKEN_BACK = "1"
_LONGEST = 60
_FORBIDDEN = '/\\:*?"<>|'  # by Windows, in the name of a folder

_Row = tuple[str, str, str, str, str]


class FolderDesk(Desk):
    """Images of a folder, and the labelled folder that is made of copies of them.

    labels.csv in the output is the journal: a line a label, the last of an image counts. It is
    read again at the next start. An image that nobody can tell, or of no class, is in it alone.
    Where `withdrawn` is 1 the image has no label any more.

    Args:
        folder: Its images are never changed.
        output: A new folder, or one that this made.
        classes: To choose from, beside those that the output has; "red,green" is two.

    Raises:
        DataError: The folder holds no image, or one whose name is not UTF-8 text.
        OptionError: A class can't be a folder's name, or the output is another folder.
    """

    mode = "folder"

    def __init__(self, folder: Path, output: Path, classes: Sequence[str] = ()) -> None:
        self._check(folder, output)
        self._passed_over: list[str] = []
        files = find_images(folder, self._passed_over)
        self._folder, self._output = folder, output
        self._names = [file.relative_to(folder).as_posix() for file in files]
        for name in self._names:  # the journal knows an image by its name
            if name != name.encode("utf-8", "replace").decode():
                raise DataError(f"{folder}: the name of {name!a} is not UTF-8 text; rename it")
        digest = hashlib.sha256("\0".join([str(folder.absolute()), *self._names]).encode())
        self._run = digest.hexdigest()[:20]
        self._rows = _read_journal(output / _JOURNAL)
        self._seen = SeenLabels()
        self._known = set(self._rows)
        self._is_old = bool(self._rows) and not _is_of_today(output / _JOURNAL)
        self._label: dict[str, str] = {}
        for row in self._rows:
            self._hold(row)
        self._classes: list[str] = []
        made = sorted({row[1] for row in self._rows} - {"", NONE_LABEL})
        typed = (name.strip() for names in classes for name in names.split(","))
        for name in (*typed, *made):
            why = None if name in self._classes else self._refusal(name)
            if why is not None:
                raise OptionError(f"--classes: {name!r} can't be a class: {why}")
            if name not in self._classes:
                self._classes.append(name)
        self._is_torn = False  # whether a full disk may have taken half a line
        self._leases: dict[str, int] = {}
        self._broken: set[str] = set()  # images that can't be shown, found when they were asked
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Make the output and its journal, so that a place that can't be written is known early.

        Raises:
            OutputError: It can't be written.
        """
        if not (self._output / _JOURNAL).exists() or self._is_old:
            write_file(self._output / _JOURNAL, csv_text(_COLUMNS, self._rows))
            self._is_old = False

    def about(self) -> Json:
        return {
            "mode": self.mode,
            "name": self._folder.name,
            "run": self._run,
            "labels": self._classes,
            "tabs": ["label", "status"],
            "fixed": False,
        }

    def state(self) -> Json:
        done = self.result()
        return {"run": self._run, "left": done.left, "health": done.health}

    def question(self, person: str) -> Json | None:
        with self._lock:
            held = self._leases.get(person)
            done = self._label.keys() | self._broken
            if held is None or self._names[held] in done:
                free = [k for k, name in enumerate(self._names) if name not in done]
                others = set(self._leases.values())  # last: who was asked may have gone
                held = next((k for k in free if k not in others), next(iter(free), None))
            if held is None:
                return None
            self._leases[person] = held
            return {"frame": held, "name": self._names[held]}

    def picture(self, frame: int) -> bytes | None:
        if not 0 <= frame < len(self._names):
            return None
        name = self._names[frame]
        image = readable_image(self._folder / name)
        if image is not None:
            return LazyPicture(image).jpeg()
        if name not in self._broken:
            self._broken.add(name)
            self._passed_over.append(f"{self._folder / name} can't be read and is left out")
        return None

    def give(self, labels: Sequence[GivenLabel]) -> list[str | None]:
        with self._lock:
            return [self._give(given) for given in labels]

    def add_class(self, name: str) -> str | None:
        why = self._refusal(name)
        if why is None:
            self._classes.append(name)
        return why

    def result(self) -> LabelResult:
        """How far it is."""
        found = [self._label[name] for name in self._names if name in self._label]
        cant_tell = found.count("")
        left = sum(one not in self._label and one not in self._broken for one in self._names)
        passed = tuple(self._passed_over)
        written = (self._output,)
        unsorted = None if set(found) - {"", NONE_LABEL} else self._folder
        labelled = len(found) - cant_tell
        return LabelResult(
            labelled, cant_tell, left, written, passed_over=passed, unsorted=unsorted
        )

    def _give(self, given: GivenLabel) -> str | None:
        if given.run != self._run or not 0 <= given.first == given.last < len(self._names):
            return "it belongs to another folder"
        if given.label not in {*self._classes, NONE_LABEL, None}:
            return "no class of this folder"
        if given.id in self._seen:
            return None
        name = self._names[given.first]
        at = given.at.isoformat(timespec="milliseconds")
        taken_back = _TAKEN_BACK if given.withdrawn else ""
        row = (name, given.label or "", given.by, at, taken_back)
        if row not in self._known:
            self._write(row)
        self._seen.add(given.id)
        return None

    def _write(self, row: _Row) -> None:
        """First the new copy, then the journal, then the old copy goes: nothing can be lost."""
        name, label = row[:2]
        before, after = self._copy_of(name, self._label.get(name, "")), self._copy_of(name, label)
        journal = self._output / _JOURNAL
        self.begin()
        try:
            if self._is_torn:
                _whole_lines(journal)
            self._is_torn = True
            if after is not None and after != before:
                after.parent.mkdir(parents=True, exist_ok=True)
                staged = after.with_name(f".{after.name}")
                shutil.copy2(self._folder / name, staged)
                staged.replace(after)
            with open(journal, "a", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
                file.flush()
                os.fsync(file.fileno())
            if before is not None and before != after:
                before.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"can't write {self._output}: {error.strerror}; free the place or choose another -o"
            ) from error
        self._is_torn = False
        self._rows.append(row)
        self._known.add(row)
        self._hold(row)

    def _hold(self, row: _Row) -> None:
        """Note what a line of the journal says of its image."""
        self._label.pop(row[0], None)
        if row[4] != _TAKEN_BACK:
            self._label[row[0]] = row[1]

    def _copy_of(self, name: str, label: str) -> Path | None:
        return self._output / label / name if label and label != NONE_LABEL else None

    def _refusal(self, name: str) -> str | None:
        """Why a name can't be a class, which is a folder too; None where it can."""
        taken = next((one for one in self._classes if one.lower() == name.lower()), None)
        wrong = next((c for c in name if c in _FORBIDDEN or not c.isprintable()), None)
        if not name or name != name.strip():
            return "it is empty or has spaces around it"
        if len(name) > _LONGEST:
            return f"it has {len(name)} characters, expected at most {_LONGEST}"
        if name.lower() == NONE_LABEL:
            return "the page has a button for it already"
        if taken is not None:
            return f"it is the class {taken!r} but for upper and lower case"
        if wrong is not None:
            return f"the name of a folder can't have {wrong!r}"
        if name.startswith("."):
            return "it begins with a dot, as hidden folders do"
        return None

    @staticmethod
    def _check(folder: Path, output: Path) -> None:
        inside, outside = output.absolute(), folder.absolute()
        if inside == outside or outside in inside.parents:
            raise OptionError(f"-o {output} is inside of {folder}; choose a folder beside it")
        if output.exists() and not output.is_dir():
            raise OptionError(f"-o {output} is a file, expected a folder")
        if output.is_dir() and any(output.iterdir()) and not (output / _JOURNAL).is_file():
            raise OptionError(
                f"-o {output} is not empty and has no {_JOURNAL}, so this did not make it; choose "
                "another folder"
            )


def _whole_lines(file: Path) -> str:
    """The text; a torn last line, of a killed program or a full disk, is cut off the file."""
    raw = file.read_bytes()  # no text: a letter of several bytes may be torn
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        write_file(file, whole)
    return whole.decode()


def _read_journal(file: Path) -> list[_Row]:
    """The rows of the journal."""
    if not file.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(_whole_lines(file)), strict=True))
        found = [
            (row["path"], row["label"], row["by"], row["at"], row.get("withdrawn") or "")
            for row in rows
        ]
        for row in found:
            datetime.fromisoformat(row[3])
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise OptionError(f"{file} is no journal of `edgecnn label` ({error}); move it") from error
    return found


def _is_of_today(file: Path) -> bool:
    """Whether a journal has all columns; one of an older edgecnn has no `withdrawn`."""
    with open(file, encoding="utf-8") as opened:
        return opened.readline().strip() == ",".join(_COLUMNS)
