"""The field set: images of folders and sessions, as the network sees them, and their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint, group_pictures, unit_vectors
from edgecnn.bundle.card import Card, LiveBefore, picture_key
from edgecnn.bundle.frame_view import view_options
from edgecnn.bundle.last_layer import FEWEST_GROUPS, MOST_IMAGES, UNLABELLED
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.camera.scenes import evenly
from edgecnn.errors import DataError, ImageError
from edgecnn.files.folders import classed_files, digest_of, file_sha256
from edgecnn.files.picked import class_folders
from edgecnn.images.field_files import Found, find_field
from edgecnn.records import Progress
from edgecnn.session.headline import headline
from edgecnn.session.layout import check_there, is_session, sessions_below
from edgecnn.session.read import Session, open_session, read_frames, read_truth
from edgecnn.session.things import link_things
from edgecnn.words import number

__all__ = [
    "FieldSet",
    "GivenLabels",
    "labels_of",
    "live_before",
    "read_field",
    "recorded_views",
    "session_labels",
    "sessions_of",
    "undisputed",
]

_CHUNK = 64
# So many lab test images among the field's, and this share of them, and it is the lab's folder.
_OF_LAB, _SHARE_OF_LAB = 10, 0.05


@dataclass(frozen=True)
class GivenLabels:
    """Labels of images.

    classes  class by digest of the encoded file
    roots    the folders and SESSIONs that they were looked for in
    notes    how these were read, and what was passed over
    """

    classes: dict[str, int]
    roots: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FieldSet:
    """Field images in order, each picture once.

    tensors  uint8 (n, height, width, 3) RGB
    groups   int64 (n,): near-duplicates share a number
    labels   int64 (n,): class, or UNLABELLED
    hard     bool (n,): kept by a session because the answer was not sure
    broken   files that could not be read; repeated: files that were there before
    passed_over  how the folders were read, and other files in them, a line each
    """

    files: tuple[Found, ...]
    sha256: tuple[str, ...]
    tensors: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    hard: np.ndarray
    broken: int
    repeated: int
    passed_over: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensors)

    @property
    def labelled(self) -> np.ndarray:
        """The rows with a label, int64."""
        return np.flatnonzero(self.labels != UNLABELLED)

    def part(self, rows: np.ndarray) -> FieldSet:
        """Only these rows."""
        return replace(
            self,
            files=tuple(self.files[k] for k in rows),
            sha256=tuple(self.sha256[k] for k in rows),
            tensors=self.tensors[rows],
            groups=self.groups[rows],
            labels=self.labels[rows],
            hard=self.hard[rows],
        )

    @property
    def sample(self) -> FieldSet:
        """Those that show the field as it is: none that was kept for being hard."""
        return self.part(np.flatnonzero(~self.hard)) if self.hard.any() else self

    def without(self, digests: Collection[str]) -> FieldSet:
        """Those that are none of these files.

        Args:
            digests: SHA-256 of the lab test images: what was learned from them measures nothing.

        Raises:
            DataError: None is left, or so many are gone that the others come from the lab too.
        """
        rows = [k for k, digest in enumerate(self.sha256) if digest not in digests]
        if not rows:
            raise DataError(
                f"all {len(self)} field images are lab test images, expected those of a device"
            )
        gone = len(self) - len(rows)
        if gone >= _OF_LAB and gone > _SHARE_OF_LAB * len(self):
            raise DataError(
                f"{gone} of {len(self)} field images are lab test images, so the others are the "
                "lab's too; give images of the device's own camera"
            )
        are = "is a lab test image" if gone == 1 else "are lab test images"
        return self._left(rows, f"{are}, left out: such images only measure")

    def untrained(self, pictures: Collection[str], tensors: Iterable[np.ndarray] = ()) -> FieldSet:
        """Those that are no images of the training, as far as these are known.

        Images that an earlier `adapt` learned from are none: they are of the field.

        Args:
            pictures: See `Card.trained_pictures`.
            tensors: uint8 (height, width, 3) RGB of others.

        Raises:
            DataError: None is left.
        """
        known = {tensor.tobytes() for tensor in tensors}
        rows = [
            k
            for k, digest in enumerate(self.sha256)
            if picture_key(digest) not in pictures
            and not (known and self.tensors[k].tobytes() in known)
        ]
        if not rows:
            raise DataError(
                f"all {len(self)} field images are images of the training, expected those of a "
                "device"
            )
        one = len(self) - len(rows) == 1
        are = "is an image of the training" if one else "are images of the training"
        return self._left(rows, f"{are}, left out; not all of its images are known")

    def _left(self, rows: Sequence[int], why: str) -> FieldSet:
        """These rows, and a line on how many others there were and what they are."""
        if len(rows) == len(self):
            return self
        note = f"{number(len(self) - len(rows), 'field image')} {why}"
        left = self.part(np.array(rows, np.int64))
        return replace(left, passed_over=(*self.passed_over, note))

    def newest(self, count: int) -> FieldSet:
        """The newest images; of those without a time the last ones."""
        start = datetime.min.isoformat()
        when = [file.time.isoformat() if file.time else start for file in self.files]
        order = sorted(range(len(self)), key=lambda k: (when[k], k))
        return self.part(np.sort(np.array(order[-count:], np.int64)))


def read_field(
    roots: Sequence[Path],
    card: Card,
    given: GivenLabels | None = None,
    progress: Progress | None = None,
) -> FieldSet:
    """Read up to 2,000 images: those where labels were given, and others evenly spread.

    Args:
        roots: Folders, SESSIONs, and folders of SESSIONs.

    Raises:
        DataError: No image can be read, or a session ran another model.
        SessionError: A session can't be read.
    """
    given = given or GivenLabels({})
    for session in sessions_of((*given.roots, *roots)):
        _check_session(session, card)
    notes = list(given.notes)
    picked = find_field([class_folders(root) for root in given.roots])
    files = _choose(picked, find_field([class_folders(root) for root in roots], notes))
    known: list[tuple[Found, str]] = []
    tensors, prints = [], []
    seen: set[str] = set()
    hard: set[str] = set()
    broken = 0
    for k, file in enumerate(files):
        try:
            data = file.path.read_bytes()
            frame = decode(data, file.source)
        except (OSError, ImageError):
            broken += 1
            continue
        digest = file_sha256(data)
        if file.hard:
            hard.add(digest)  # its copy that was picked for a label is no sample either
        if digest not in seen:
            seen.add(digest)
            known.append((file, digest))
            tensors.append(to_tensor(frame, card.input))
            prints.append(fingerprint(frame))
        if progress and (k % _CHUNK == 0 or k + 1 == len(files)):
            progress("reading field images", k + 1, len(files))
    if not known:
        raise DataError(f"none of {len(files)} field files is a usable image; check the folder")
    classes = [given.classes.get(digest, UNLABELLED) for _, digest in known]
    groups, chains = group_pictures(unit_vectors(np.stack(prints)), FEWEST_GROUPS)
    looks = int(groups.max()) + 1
    if chains < FEWEST_GROUPS <= looks:  # of one thing, held-out images are like learned ones
        notes.append(
            f"near-duplicates join {number(len(known), 'image')} into {number(chains, 'group')}; "
            f"{looks} looks are taken for groups, as if each showed another thing"
        )
    return FieldSet(
        tuple(file for file, _ in known),
        tuple(digest for _, digest in known),
        np.stack(tensors),
        groups,
        np.array(classes, np.int64),
        np.array([digest in hard for _, digest in known], bool),
        broken,
        len(files) - broken - len(known),
        tuple(notes),
    )


def _choose(labelled: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """2,000 files at most; those where labels were given come first, and no file twice."""
    first = [labelled[k] for k in evenly(len(labelled), MOST_IMAGES)]
    there = {file.path.resolve() for file in first}
    rest = [file for file in others if file.path.resolve() not in there]
    return [*first, *(rest[k] for k in evenly(len(rest), MOST_IMAGES - len(first)))]


def sessions_of(roots: Sequence[Path]) -> list[Session]:
    """The sessions among some folders and in them, as `run --log-root` leaves them.

    Raises:
        DataError: One does not exist.
        SessionError: One can't be read.
    """
    for root in roots:
        check_there(root)
    places = (one for root in roots for one in sessions_below(root))
    return [open_session(one) for one in places if is_session(one)]


def recorded_views(sessions: Sequence[Session]) -> list[tuple[str, ...]]:
    """The options of `run` by which sessions saw their frames, each once.

    Those of a session that took whole frames are none.
    """
    heads = [one.header for one in sessions]
    return list(dict.fromkeys(tuple(view_options(h.regions, h.source_color)) for h in heads))


def _check_session(session: Session, card: Card) -> None:
    """Refuse a session whose device ran a model with other labels or another input."""
    ran = session.card
    if (ran.labels, ran.input) != (card.labels, card.input):
        raise DataError(
            f"{session.path} was recorded with {ran.name!r} ({len(ran.labels)} labels, input "
            f"{ran.input.width}x{ran.input.height}), expected a session of this model "
            f"({card.name!r}, {len(card.labels)} labels, {card.input.width}x{card.input.height})"
        )


def live_before(sessions: Sequence[Session], card: Card) -> LiveBefore | None:
    """What this network did live in these sessions.

    Returns:
        None where these ran another network or several files, or have no label that is a sample.

    Raises:
        SessionError: A session can't be read.
    """
    if len({(one.bundle_sha256, one.artifact) for one in sessions}) != 1:
        return None
    ran = sessions[0]
    labs = [one.lab for one in ran.card.artifacts if one.file == ran.artifact]
    # Another edgecnn may have counted the same answers to be worth more or less.
    if ran.card.lab.read_as != card.lab.read_as or not labs:
        return None
    frames = link_things(sessions, [read_frames(one) for one in sessions])
    parts = [(f, read_truth(one, f)) for one, f in zip(sessions, frames, strict=True)]
    live = headline(parts)
    return LiveBefore(live, labs[0]) if live.total else None


def labels_of(roots: Sequence[Path], card: Card, manifest: Path | None = None) -> GivenLabels:
    """The class of each labelled image; one that has two has none.

    Args:
        roots: Folders with one folder a class; SESSIONs with truth, or folders of them.
        manifest: A CSV file with the labels of the images in the folders.

    Raises:
        DataError: A folder is no class of the card, or nothing is labelled.
        SessionError: A session can't be read.
    """
    given: list[tuple[str, int]] = []
    notes: list[str] = []
    for place in (place for root in roots for place in sessions_below(root)):
        if is_session(place):
            judged = session_labels(open_session(place), card)
            given += [(digest, label) for digest, label in judged if label >= 0]
        else:
            given += _folder_labels(place, card, manifest, notes)
    found = undisputed(given)
    if two := len(dict(given)) - len(found):
        notes.append(f"{number(two, 'image')} with two labels: taken for unlabelled")
    if not found:
        named = ", ".join(map(str, roots))
        raise DataError(
            f"{named}: no label of a class of the model found; label pictures with "
            "`edgecnn label`, or sort them into one folder a class"
        )
    return GivenLabels(found, tuple(roots), tuple(notes))


def undisputed(given: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The label of each image by its digest; one that has two labels has none."""
    labels: dict[str, set[int]] = defaultdict(set)
    for digest, label in given:
        labels[digest].add(label)
    return {digest: one.pop() for digest, one in labels.items() if len(one) == 1}


def _folder_labels(
    root: Path, card: Card, manifest: Path | None, notes: list[str]
) -> list[tuple[str, int]]:
    """Of each file, by its digest."""
    mend = "leave these images out"
    files = classed_files(root, card.labels, notes, manifest, whose="the model", mend=mend)
    codes = {label: k for k, label in enumerate(card.labels)}
    digests = [(digest_of(file.path), codes[file.label]) for file in files]
    return [(digest, code) for digest, code in digests if digest is not None]


def session_labels(session: Session, card: Card) -> list[tuple[str, int]]:
    """By their digests, of the kept pictures with a truth: the class of the card, by its name,
    for the model that ran may have others; below 0 where that is none.
    """
    codes = {label: k for k, label in enumerate(card.labels)}
    classes = np.array([codes.get(label, UNLABELLED) for label in session.card.labels])
    frames = read_frames(session)
    truth = read_truth(session, frames)
    rows = [row for row in frames.images if truth.why[row] >= 0]
    pictures = (session.picture(frames.images[row]).read_bytes() for row in rows)
    given = truth.label[rows].astype(int)
    given = np.where(given >= 0, classes[np.maximum(given, 0)], UNLABELLED)
    return list(zip(map(file_sha256, pictures), given.tolist(), strict=True))
