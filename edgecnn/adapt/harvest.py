"""`edgecnn harvest`: the field images that are most worth a label, in folders to be corrected.

manifest.csv        file, sha256, source, what the network reads and how sure it is
contact_sheet.png   all of them
images/<class>/     a folder a class; each image is in that of what the network reads
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from edgecnn.accuracy.confidence import calibrated_scores
from edgecnn.adapt.data import (
    FieldSet,
    GivenLabels,
    read_field,
    session_labels,
    sessions_of,
    undisputed,
)
from edgecnn.adapt.options import HarvestOptions
from edgecnn.adapt.result import HarvestResult
from edgecnn.bundle.card import Card
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.onboard.stored_network import lacking_files
from edgecnn.errors import DataError, OptionError
from edgecnn.files.manifest import csv_text
from edgecnn.files.own_folders import check_outside
from edgecnn.files.picked import IMAGES, MANIFEST, SHEET, check_replaceable
from edgecnn.files.staging import check_writable, staged_folder
from edgecnn.installed import check_installed
from edgecnn.quiet import quiet
from edgecnn.records import Progress
from edgecnn.render.png import picture_sheet
from edgecnn.session.ranking import rank_frames
from edgecnn.session.read import Session
from edgecnn.session.reading.devices import device_folders

__all__ = ["HarvestOptions", "HarvestResult", "harvest"]

# From tensors, uint8 (n, height, width, 3), to scores (n, classes) and embeddings (n, d).
_Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def harvest(
    field: Sequence[Path | str] | Path | str,
    output: Path | str,
    options: HarvestOptions,
    *,
    progress: Progress | None = None,
) -> HarvestResult:
    """Pick the images that are most worth a label; what has a label or looks like it is left out,
    and so are lab test images, from which nothing may be learned, and images of the training.

    Args:
        field: SESSION folders, or image folders.
        output: The folder to write; an older one of this command is replaced, unless a person has
            sorted its images.

    Raises:
        OptionError: Not exactly one of `model` and `bundle` is given.
        DataError: No image is left to pick, or they are the lab's.
        MissingRuntimeError: A library of the lab is not installed.
        OutputError: The output place is taken, sorted, among the images, read-only or full.
    """
    _check_network(options)
    given = [field] if isinstance(field, str | Path) else field
    roots = list(dict.fromkeys(map(Path, given)))
    output = Path(output)
    check_outside(output, roots)
    check_replaceable(output)
    check_writable(output, marker=MANIFEST)
    with quiet():
        card, look, lab_test, adaptable = _eyes(options)
    sessions = {root: sessions_of([root]) for root in roots}
    said = {
        root: [label for one in some for label in session_labels(one, card)]
        for root, some in sessions.items()
    }
    labels = [one for some in said.values() for one in some]
    judged = {digest for digest, label in labels if label < 0}
    classes = undisputed(one for one in labels if one[1] >= 0)
    images = read_field(roots, card, GivenLabels(classes), progress).without(lab_test)
    images = images.untrained(card.trained_pictures)
    known = np.isin(images.groups, images.groups[images.labelled])
    seen = np.array([digest in judged for digest in images.sha256], bool) & ~known
    left = images.part(np.flatnonzero(~known & ~seen))
    if not len(left):
        raise DataError(
            f"all {len(images)} images have a label or look like one that has: give the "
            "session to `edgecnn adapt` as --field and as --labels, or record more"
        )
    with quiet():
        scores, embedding = look(left.tensors)
    certain = calibrated_scores(scores, card.temperature).max(axis=1)
    rows = rank_frames(embedding, certain, left.groups, options.count, options.seed)
    picks = left.part(rows)
    read = scores[rows].argmax(axis=1)
    _write(output, picks, [card.labels[k] for k in read], certain[rows], card.labels)
    labelled = len(images.labelled)
    return HarvestResult(
        output,
        len(rows),
        len(np.unique(left.groups)),
        {
            "labelled already": labelled,
            "like one with a label": int(known.sum()) - labelled,
            "judged, of no class": int(seen.sum()),
            "like another one": len(left) - len(np.unique(left.groups)),
            "unreadable": images.broken,
            "there twice": images.repeated,
        },
        dict(sorted(Counter(card.labels[k] for k in read).items())),
        images.passed_over,
        options.model or options.bundle or Path(),
        tuple(roots),
        adaptable,
        tuple(root for root, labels in said.items() if any(label >= 0 for _, label in labels)),
        tuple(_devices(sessions)),
    )


def _check_network(options: HarvestOptions) -> None:
    """Refuse none and two, and one whose libraries are not here."""
    if (options.model is None) == (options.bundle is None):
        which = "neither" if options.model is None else "both"
        raise OptionError(
            f"{which} of --model and --bundle given, expected one: the network whose embedding "
            "tells the images apart"
        )
    needs = ("matplotlib", "tensorflow") if options.model is not None else ("matplotlib",)
    check_installed("harvesting", *needs)


def _devices(sessions: Mapping[Path, Sequence[Session]]) -> list[Path]:
    """The folders of several devices that recorded; none where some images are of no session."""
    if not all(sessions.values()):
        return []
    return device_folders([one for some in sessions.values() for one in some])


def _eyes(options: HarvestOptions) -> tuple[Card, _Look, frozenset[str], bool]:
    """The network that looks at the images, the digests of its lab test, and whether it can be
    adapted.
    """
    if options.model is not None:
        from edgecnn.model.embedding import split_trained
        from edgecnn.model.read import lab_test_digests, load_model

        network, card = load_model(options.model)
        split = split_trained(network, card)

        def look(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            embedding = split.embed(tensors)
            return split.head.scores(embedding), embedding

        return card, look, lab_test_digests(options.model), True
    from edgecnn.calibrate.pool import view_of_bundle

    path = Path(options.bundle or "")
    bundle, view = Bundle.open(path), view_of_bundle(path)
    return bundle.card, view.look, view.lab_test, not lacking_files(bundle)


def _write(
    output: Path,
    picks: FieldSet,
    read: Sequence[str],
    certain: np.ndarray,
    labels: Sequence[str],
) -> None:
    rows = []
    with staged_folder(output, marker=MANIFEST) as stage:
        for label in labels:  # an image may show a class that the network reads in none
            (stage / IMAGES / label).mkdir(parents=True, exist_ok=True)
        for k, (file, label) in enumerate(zip(picks.files, read, strict=True)):
            name = f"{IMAGES}/{label}/{k:04d}{file.path.suffix.lower()}"
            (stage / name).write_bytes(file.path.read_bytes())
            time = file.time.isoformat() if file.time else ""
            rows.append([name, picks.sha256[k], file.source, time, label, f"{certain[k]:.3f}"])
        header = ["file", "sha256", "source", "time", "read_as", "confidence"]
        (stage / MANIFEST).write_text(csv_text(header, rows), encoding="utf-8")
        order = sorted(set(read))
        sheet = [
            (f"read as {label}", picks.tensors[[k for k, one in enumerate(read) if one == label]])
            for label in order
        ]
        (stage / SHEET).write_bytes(picture_sheet(sheet))
