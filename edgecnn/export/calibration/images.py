"""The representative images: read, checked and brought to tensors.

Full-integer models take the range of every activation from these images, so a set that is
flat, tiny, repeated or of one class ruins the model without an error anywhere: such a set is
refused here, a doubtful one warned of. Several folders make one set, their union.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.camera.scenes import evenly
from edgecnn.errors import CalibrationError, DataError, ImageError
from edgecnn.files.folders import file_sha256, find_images
from edgecnn.records import Json, Progress

__all__ = [
    "Calibration",
    "Reading",
    "fair_shares",
    "is_flat",
    "load_calibration",
    "pin",
    "set_names",
]

_MINIMUM = 10  # 8 images cost 6 to 12 points, or everything when they are alike
_ENOUGH = 100  # from here on more images change the accuracy by less than 0.1 point
_MOST = 500
_FLAT = 3.0  # grey levels of standard deviation in each channel: a lens cap, a wall, a dark night
_SHARE = 0.9  # of one class: the others' activations are hardly seen


@dataclass(frozen=True)
class Reading:
    """How a set is read.

    most: images at most, evenly spread over the sorted files; several folders share it fairly.
    strict: refuse a set that would ruin the model. Else only one without images is refused, flat
        images are kept and what is wrong is among the warnings: for experiments.
    judge_classes: judge the set by the classes that the model sees in it.
    """

    most: int = _MOST
    strict: bool = True
    judge_classes: bool = True


@dataclass(frozen=True)
class Calibration:
    """Usable representative images.

    tensors: uint8 (n, height, width, 3) RGB, n <= 500; scores: float32 (n, classes), the float
    model's. `files` are in the same order. `sources` tells the parts of a union:
    {"source", "count", "sha256"} of each; empty for one folder.
    """

    source: str
    tensors: np.ndarray
    files: tuple[Path, ...]
    digests: tuple[str, ...]
    scores: np.ndarray
    warnings: tuple[str, ...]
    sources: tuple[Json, ...] = ()

    def to_json(self) -> Json:
        """What the card keeps; `sha256` is over the sorted digests of the files."""
        data = {**_summary(self.source, self.digests), "warnings": list(self.warnings)}
        return {**data, "sources": list(self.sources)} if self.sources else data


def load_calibration(
    folder: Path | Sequence[Path],
    spec: InputSpec,
    labels: tuple[str, ...],
    predict: Callable[[np.ndarray], np.ndarray],
    lab_sha256: Collection[str] = (),
    progress: Progress | None = None,
    reading: Reading | None = None,
) -> Calibration:
    """Read representative images, evenly spread over the sorted files of one or more folders.

    Args:
        folder: Images, searched in all subfolders; or a folder with images/ and manifest.csv.
            Of several folders the union is read, and judged as one set.
        predict: Float scores, float32 (n, classes), of uint8 tensors (n, height, width, 3).
        lab_sha256: Digests of the lab test images, which should not be among these.
        reading: How many (500 if not said), and whether a ruinous set is refused.

    Raises:
        CalibrationError: No, too few, mostly flat, repeated or one-class images.
    """
    reading = reading or Reading()
    folders = [folder] if isinstance(folder, Path) else list(folder)
    names = set_names(folders)
    title = ", ".join(map(str, folders))
    passed_over: list[str] = []
    chosen = _choose(folders, reading.most, passed_over)
    reader = _Reader(spec, keep_flat=not reading.strict)
    for k, (part, path) in enumerate(chosen):
        reader.read(path, part)
        if progress:
            progress("reading calibration images", k + 1, len(chosen))
    warnings = _check_images(title, reader, reading.strict)
    tensors = np.stack(reader.tensors)
    scores = predict(tensors)
    top1 = scores.argmax(axis=1)
    if reading.judge_classes:
        warnings += _check_classes(title, reader.files, top1, labels, reading.strict)
    warnings += [*_check_overlap(reader.digests, lab_sha256), *passed_over]
    files, digests = tuple(reader.files), tuple(reader.digests)
    sources = _sources(names, reader)
    return Calibration(" + ".join(names), tensors, files, digests, scores, tuple(warnings), sources)


def pin(tensors: np.ndarray) -> np.ndarray:
    """uint8 tensors (n, height, width, 3) with 0 and 255 in two corner pixels of the first.

    The input's range is then exactly 0..255 whatever the images hold, so the integer model gets
    input scale 1 and takes raw pixels: zero point 0 for uint8, -128 for int8.
    """
    pinned = tensors.copy()
    pinned[0, 0, 0], pinned[0, -1, -1] = 0, 255
    return pinned


def is_flat(tensor: np.ndarray) -> bool:
    """Whether an image, uint8 (height, width, 3), is of one colour."""
    return bool(tensor.std(axis=(0, 1)).max() < _FLAT)


def fair_shares(sizes: Sequence[int], total: int) -> list[int]:
    """How many each set gives to a union of `total`: the same, but no more than it has.

    Example:
        >>> fair_shares([900, 30, 500], 300)
        [135, 30, 135]
    """
    shares = [0] * len(sizes)
    left = total
    # The small ones first: what they lack is spread over the others.
    for place, k in enumerate(sorted(range(len(sizes)), key=lambda k: (sizes[k], k))):
        shares[k] = min(sizes[k], left // (len(sizes) - place))
        left -= shares[k]
    return shares


def _summary(source: str, digests: Sequence[str]) -> Json:
    digest = hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
    return {"count": len(digests), "sha256": digest, "source": source}


def _sources(names: Sequence[str], reader: _Reader) -> tuple[Json, ...]:
    """The parts of a union; of a single folder there is nothing to tell."""
    if len(names) < 2:
        return ()
    own: list[list[str]] = [[] for _ in names]
    for digest, part in zip(reader.digests, reader.parts, strict=True):
        own[part].append(digest)
    return tuple(_summary(name, digests) for name, digests in zip(names, own, strict=True))


def set_names(folders: Sequence[Path]) -> list[str]:
    """Short names that tell the folders apart.

    Raises:
        CalibrationError: No folder, or one that is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    if not folders:
        raise CalibrationError(
            "no calibration folder given; pass one or more folders of field images"
        )
    twice = next((str(f) for f in folders if resolved.count(f.resolve()) > 1), None)
    if twice:
        raise CalibrationError(
            f"calibration folder {twice} is given twice, expected different ones"
        )
    names = [path.name for path in resolved]
    if len(set(names)) < len(names):
        names = [str(path) for path in resolved]
    return names


class _Reader:
    """Collects the distinct images that can be used and counts the rest."""

    def __init__(self, spec: InputSpec, keep_flat: bool = False) -> None:
        self.spec = spec
        self.keep_flat = keep_flat
        self.parts: list[int] = []
        self.files: list[Path] = []
        self.digests: list[str] = []
        self.tensors: list[np.ndarray] = []
        self.left_out: Counter[str] = Counter()
        self.first_broken = ""
        self.flat = 0
        self._seen: set[str] = set()

    def read(self, path: Path, part: int) -> None:
        try:
            data = path.read_bytes()
            tensor = to_tensor(decode(data, str(path)), self.spec)
        except (OSError, ImageError) as error:
            self.left_out["broken"] += 1
            self.first_broken = self.first_broken or f"; the first broken one: {error}"
            return
        digest, look = file_sha256(data), tensor_sha256(tensor)
        flat = is_flat(tensor)
        self.flat += int(flat)
        if flat and not self.keep_flat:
            self.left_out["flat"] += 1
        elif digest in self._seen or look in self._seen:
            self.left_out["repeated"] += 1
        else:
            self._seen |= {digest, look}
            self.parts.append(part)
            self.files.append(path)
            self.digests.append(digest)
            self.tensors.append(tensor)


def _choose(folders: Sequence[Path], most: int, passed_over: list[str]) -> list[tuple[int, Path]]:
    """(number of the folder, file), at most `most`."""
    found = []
    for folder in folders:
        # As `calibrate` writes it; a person's own table of labels may have that name too.
        picked = (folder / "manifest.csv").is_file() and (folder / "images").is_dir()
        root = folder / "images" if picked else folder
        try:
            found.append(find_images(root, passed_over))
        except DataError as error:
            raise CalibrationError(f"calibration set: {error}") from error
    chosen = []
    shares = fair_shares([len(files) for files in found], most)
    for part, (files, share) in enumerate(zip(found, shares, strict=True)):
        chosen += [(part, files[k]) for k in evenly(len(files), share)]
    return chosen


def _refuse(message: str, strict: bool, warnings: list[str]) -> None:
    if strict:
        raise CalibrationError(message)
    warnings.append(message)


def _check_images(folder: str, reader: _Reader, strict: bool) -> list[str]:
    usable, left_out = len(reader.files), reader.left_out
    total = usable + left_out.total()
    warnings: list[str] = []
    if 2 * reader.flat > total:
        _refuse(
            f"{reader.flat} of {total} calibration images in {folder} are flat (one colour), "
            "expected pictures of what the camera will see; take them in the field",
            strict,
            warnings,
        )
    what = ", ".join(f"{n} {name}" for name, n in sorted(left_out.items()))
    if usable < _MINIMUM:
        _refuse(
            f"{folder} has {usable} usable calibration images{f' ({what})' if what else ''}, "
            f"expected at least {_MINIMUM} different ones, better {_ENOUGH}; add field images"
            f"{reader.first_broken}",
            strict or not usable,
            warnings,
        )
    if what:
        warnings.append(
            f"of {total} calibration images these were left out: {what}{reader.first_broken}"
        )
    if usable < _ENOUGH:
        warnings.append(
            f"{usable} calibration images are few: {_ENOUGH} to 300 make the integer models safer"
        )
    return warnings


def _check_classes(
    folder: str, files: list[Path], top1: np.ndarray, labels: tuple[str, ...], strict: bool
) -> list[str]:
    index, count = Counter(top1.tolist()).most_common(1)[0]
    warnings: list[str] = []
    if count == len(files):
        _refuse(
            f"the float model reads all {count} calibration images in {folder} as "
            f"{labels[index]!r}, expected a mix of classes; add images of the others "
            "(lab images will do)",
            strict,
            warnings,
        )
    elif count >= _SHARE * len(files):
        warnings.append(
            f"the float model reads {count} of {len(files)} calibration images as "
            f"{labels[index]!r}; add images of other classes"
        )
    folders = {path.resolve().parent.name for path in files}
    if len(folders) == 1 and folders <= set(labels):
        warnings.append(
            f"all calibration images come from a folder {folders.pop()!r}: one class only; "
            "add images of other classes"
        )
    return warnings


def _check_overlap(digests: list[str], lab_sha256: Collection[str]) -> list[str]:
    overlap = len(set(digests) & set(lab_sha256))
    if not overlap:
        return []
    return [
        f"{overlap} of {len(digests)} calibration images are lab test images; the lab accuracy "
        "of the integer models is a little too good"
    ]
