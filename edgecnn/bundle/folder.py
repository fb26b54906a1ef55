"""The bundle, which travels from the lab to the device: a folder NAME.edgecnn/ or its .zip.

card.json       what the model is and how it did in the lab
labels.txt      one label a line, in the order of the scores
lab_test.csv    the lab test images by digest, with what each artifact answered
model_*.tflite, model_*.onnx
model_embedding_float32.tflite, head.npz   the float model below its last layer, and that layer
lab_embeddings.npz   what it makes of lab images: see onboard/lab_memory.py
classify.py     a program that runs the .tflite files without edgecnn
golden/         encoded camera frames and golden.json: what tensor and scores they must give
SHA256SUMS      of all of these: `sha256sum -c SHA256SUMS` agrees with `Bundle.open`
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.bundle.artifacts import preferred
from edgecnn.bundle.card import CARD_FILE, Artifact, Card, GoldenFrame
from edgecnn.errors import ArtifactError, BundleError
from edgecnn.files.manifest import csv_text
from edgecnn.files.staging import staged_folder
from edgecnn.records import json_text

__all__ = ["Bundle", "LabTestRow", "is_bundle", "read_card", "seal", "write_bundle"]

_SUMS = "SHA256SUMS"
_CONFIDENCE = "confidence:"


@dataclass(frozen=True)
class LabTestRow:
    """A lab test image: digest of its file, its label, and the predicted label of each artifact.

    `predicted["keras"]` is the float model before export. `confidence` is how sure each artifact
    was, by the card's temperature; bundles of version 0.1 have none.
    """

    file: str
    sha256: str
    label: str
    predicted: dict[str, str]
    confidence: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle.

    files    the digest of each file in it
    sha256   the digest of SHA256SUMS, which identifies the whole bundle
    """

    path: Path
    card: Card
    files: Mapping[str, str]
    sha256: str

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Open a bundle folder or zip and check every file against SHA256SUMS.

        Raises:
            BundleError: No bundle, another format, or a file that is missing or was changed.
        """
        if not isinstance(path, str | Path):
            raise BundleError(f"the bundle is {path!r}, expected a NAME.edgecnn folder or its zip")
        path = Path(path)
        listed = _read(path, _SUMS)
        sums = _parse_sums(listed.decode(errors="replace"), path)
        for name, digest in sums.items():
            _read_as(path, name, digest)
        card = read_card(_read(path, CARD_FILE), path)
        for artifact in card.artifacts:
            if sums.get(artifact.file) != artifact.sha256:
                raise BundleError(
                    f"{path}: {artifact.file} is not the file of card.json; export again"
                )
        # Not splitlines(): that also splits at characters that a label may hold.
        labels = _read(path, "labels.txt").decode(errors="replace").removesuffix("\n").split("\n")
        if tuple(labels) != card.labels:
            raise BundleError(f"{path}: labels.txt and card.json disagree; export again")
        return cls(path, card, sums, hashlib.sha256(listed).hexdigest())

    def read(self, name: str) -> bytes:
        """The bytes of a file of the bundle, as they were when it was opened.

        Raises:
            BundleError: There is no such file, or it was replaced meanwhile.
        """
        digest = self.files.get(name)
        return _read(self.path, name) if digest is None else _read_as(self.path, name, digest)

    def artifact(self, name: str | None = None) -> Artifact:
        """An artifact by file name or kind; None takes the one meant for devices.

        Of several of a kind it is the one meant for devices too: not every device runs ONNX.

        Raises:
            ArtifactError: The bundle has no such artifact.
        """
        artifacts = self.card.artifacts
        by_name = {a.file: a for a in artifacts}
        of_kind = [a.file for a in artifacts if name in (None, a.kind)]
        wanted = name if name in by_name else preferred(of_kind)
        if wanted is not None:
            return by_name[wanted]
        have = ", ".join(a.file for a in artifacts) or "none"
        raise ArtifactError(f"{self.path} has no artifact {name!r}; it has {have}")

    def golden(self) -> list[GoldenFrame]:
        """The golden frames, in order; `read("golden/" + frame.file)` gives the encoded frame.

        Raises:
            BundleError: golden.json is missing or no list of golden frames.
        """
        try:
            content = json.loads(self.read("golden/golden.json"))
            if not isinstance(content, list):
                raise TypeError("no list")
            frames = [GoldenFrame.from_json(entry) for entry in content]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BundleError(
                f"{self.path}: golden/golden.json is not readable ({error}); export again"
            ) from error
        families = [family for frame in frames for family in (frame.scores, frame.builtin)]
        lengths = {len(scores) for family in families for scores in family.values()}
        if lengths - {len(self.card.labels)}:
            raise BundleError(
                f"{self.path}: golden/golden.json has {max(lengths)} scores a frame, the card "
                f"{len(self.card.labels)} labels; export again"
            )
        return frames

    def lab_test(self) -> list[LabTestRow]:
        """The rows of lab_test.csv.

        Raises:
            BundleError: It is missing or no such table.
        """
        try:
            rows = csv.DictReader(io.StringIO(self.read("lab_test.csv").decode()), strict=True)
            return [_lab_test_row(row) for row in rows]
        except (KeyError, AttributeError, TypeError, ValueError, csv.Error) as error:
            raise BundleError(
                f"{self.path}: lab_test.csv is not readable ({error}); export again"
            ) from error


def is_bundle(path: Path) -> bool:
    """Whether this is a bundle or its zip, as far as its list of files says."""
    if path.is_dir():
        return (path / _SUMS).is_file()
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == _SUMS for name in archive.namelist())


def write_bundle(
    path: Path,
    card: Card,
    artifacts: Mapping[str, bytes],
    golden: list[GoldenFrame],
    golden_images: Mapping[str, bytes],
    lab_test: list[LabTestRow],
) -> Bundle:
    """Write a bundle folder, whole or not at all.

    Raises:
        OutputError: The place is taken, read-only or full.
    """
    with staged_folder(path, marker=_SUMS) as stage:
        (stage / "golden").mkdir()
        labels = "".join(f"{label}\n" for label in card.labels)
        goldens = json_text([g.to_json() for g in golden])
        texts = {
            CARD_FILE: json_text(card.to_json()),
            "labels.txt": labels,
            "lab_test.csv": _lab_test_csv(lab_test),
            "golden/golden.json": goldens,
        }
        for name, text in texts.items():
            (stage / name).write_bytes(text.encode())  # UTF-8 in every locale
        for name, data in artifacts.items():
            (stage / name).write_bytes(data)
        for name, data in golden_images.items():
            (stage / "golden" / name).write_bytes(data)
        seal(stage)
    return Bundle.open(path)


def seal(folder: Path) -> None:
    """Write SHA256SUMS for all files of a bundle folder, after a deliberate edit, for example."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names
        if name != _SUMS
    ]
    (folder / _SUMS).write_text("".join(lines))


def read_card(data: bytes, path: Path) -> Card:
    """Parse card.json.

    Raises:
        BundleError: It is not JSON or not a card.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BundleError(f"{path}: card.json is not JSON ({error}); export again") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: card.json is not a card; export again")
    return Card.from_json(content)


def _lab_test_csv(rows: list[LabTestRow]) -> str:
    answers, sure = (list(rows[0].predicted), list(rows[0].confidence)) if rows else ([], [])
    head = ["file", "sha256", "label", *answers, *(f"{_CONFIDENCE}{name}" for name in sure)]
    cells = [
        [
            *(row.file, row.sha256, row.label, *(row.predicted[name] for name in answers)),
            *(f"{row.confidence[name]:.6f}" for name in sure),
        ]
        for row in rows
    ]
    return csv_text(head, cells)


def _lab_test_row(row: dict[str, str]) -> LabTestRow:
    sure = {
        name.removeprefix(_CONFIDENCE): float(row.pop(name))
        for name in list(row)
        if name.startswith(_CONFIDENCE)
    }
    return LabTestRow(row.pop("file"), row.pop("sha256"), row.pop("label"), row, sure)


def _parse_sums(text: str, path: Path) -> dict[str, str]:
    sums = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name.startswith("/") or ".." in name.split("/"):
            raise BundleError(f"{path}: SHA256SUMS has an odd line {line[:80]!r}; export again")
        sums[name] = digest
    return sums


def _read(path: Path, name: str) -> bytes:
    """A file of a bundle folder or zip (whose files may be in one top folder)."""
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(_zip_prefix(archive) + name)
    except (FileNotFoundError, KeyError, NotADirectoryError) as error:
        if not path.exists():
            raise BundleError(f"{path} does not exist, expected a NAME.edgecnn folder") from error
        if name == _SUMS and (path / "model.keras").is_file():
            raise BundleError(
                f"{path} is a MODEL folder, expected a bundle; `edgecnn export {path} "
                "--calibration FOLDER -o NAME.edgecnn` makes one of it"
            ) from error
        hint = (
            "; is it a bundle of `edgecnn export`?"
            if name == _SUMS
            else "; copy the bundle again, or export again"
        )
        raise BundleError(f"{path} has no {name}{hint}") from error
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: an encrypted zip
        raise BundleError(
            f"{path} is neither a bundle folder nor a plain zip of one ({error}); copy it again"
        ) from error
    except OSError as error:
        raise BundleError(f"can't read {path}/{name}: {error.strerror or error}") from error


def _read_as(path: Path, name: str, digest: str) -> bytes:
    """A file of a bundle, which must have this digest."""
    data = _read(path, name)
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(
            f"{path}: {name} is not the file that was exported (its SHA-256 changed); "
            "export again, or copy the bundle again"
        )
    return data


def _zip_prefix(archive: zipfile.ZipFile) -> str:
    """'' or the folder that holds SHA256SUMS: zipping a folder from outside makes one."""
    found = [n for n in archive.namelist() if n.rpartition("/")[2] == _SUMS]
    return found[0].removesuffix(_SUMS) if len(found) == 1 else ""
