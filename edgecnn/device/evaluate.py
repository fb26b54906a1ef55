"""`edgecnn evaluate`: measure accuracy on a labelled folder through the device path.

`edgecnn run` decodes, preprocesses and classifies the same frames in the same way. A difference
from the lab's accuracy therefore comes from the images or from this machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import number_things, tally_of_objects
from edgecnn.accuracy.tally import Tally, are_apart, gap_points
from edgecnn.accuracy.thing_rule import LOOKS, alike_lines
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.learned import LearnedPictures, learned_notes
from edgecnn.bundle.preprocess import decode, read_bytes
from edgecnn.bundle.spec import Prediction
from edgecnn.device.options import EvaluateOptions
from edgecnn.errors import DataError, ImageError, listed
from edgecnn.files.folders import LabelledFile, find_labelled
from edgecnn.files.manifest import (
    check_csv_place,
    check_group,
    csv_text,
    only_labels,
    read_columns,
    read_manifest,
)
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import write_file
from edgecnn.files.walk import natural_order
from edgecnn.records import Progress, Record, Skipped, computed, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.render.table import table
from edgecnn.session.layout import new_session
from edgecnn.words import number

__all__ = ["EvaluateOptions", "Evaluation", "check_labels", "evaluate"]

_LISTED = 10
_COLUMNS = ("file", "label", "group", "answer", "confidence", "correct")


@dataclass(frozen=True)
class Answer:
    """The answer for one image: `file` is its path below the evaluated folder, `thing` numbers
    what it shows: see `accuracy.objects`.
    """

    file: str
    label: str
    group: str
    prediction: Prediction
    thing: int

    @property
    def correct(self) -> bool:
        return self.prediction.label == self.label


@dataclass(frozen=True)
class Evaluation(Record):
    """What came out. `skipped` are images that couldn't be decoded; `lab` is the accuracy that the
    same artifact had on the lab's test images; `notes` say how the folder was read; `csv` is the
    table that was written; `network` is the lab accuracy of the network in float."""

    artifact: str
    runtime: str
    labels: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    lab: Tally
    answers: tuple[Answer, ...] = field(metadata=json_as(hidden=True))
    bundle: Path = field(metadata=json_as(hidden=True))
    data: Path = field(metadata=json_as(hidden=True))
    in_folders: bool = field(default=True, metadata=json_as(hidden=True))
    notes: tuple[str, ...] = ()
    csv: Path | None = None
    network: Tally | None = field(default=None, metadata=json_as(hidden=True))

    @property
    @computed
    def accuracy(self) -> Tally:
        return _tally(self.answers)

    @property
    @computed
    def per_class(self) -> dict[str, Tally]:
        """The tally of each true class that occurs, in the order of the bundle's labels."""
        return self._tallies([answer.label for answer in self.answers], self.labels)

    @property
    @computed
    def per_group(self) -> dict[str, Tally]:
        """The tally of each group, sorted by name; empty when the images have no groups."""
        groups = [answer.group for answer in self.answers]
        return self._tallies(groups, sorted(set(groups))) if any(groups) else {}

    @property
    @computed
    def confusion(self) -> list[list[int]]:
        """confusion[i][j]: the images of label i that were read as label j, in bundle order."""
        seen = Counter((a.label, a.prediction.label) for a in self.answers)
        return [[seen[i, j] for j in self.labels] for i in self.labels]

    def to_text(self) -> str:
        here, lab = self.accuracy, self.lab
        # Of an imported file the only one; else the network in float may have another.
        is_only = self.network is None or self.network.accuracy == lab.accuracy
        whose, to = ("", "") if is_only else (": this file", ": to this file")
        lines = [f"accuracy  {here.text()}", f"lab       {lab.text()}{whose}"]
        if here.accuracy is not None and lab.accuracy is not None:
            points, low, high = difference(lab, here)
            interval = f"95 % interval {low:.1f} to {high:.1f}"
            lines.append(f"gap       {points:.1f} points, {interval}{to}")
        if self.network is not None and are_apart(self.network, lab):
            lines.append(f"          the network in float: lab {self.network.text()}")
            if (gap := gap_points(self.network, here)) is not None:
                lines.append(f"          `run` and `audit` count the gap to it: {gap:.1f} points")
        lines += ["", _tally_table("class", self.per_class)]
        if len(self.per_group) > 1:
            lines += ["", _tally_table("group", self.per_group)]
        notes = [*alike_lines(here.total, here.worth), *self.notes]
        lines += ["", *notes] if notes else []
        if self.skipped:
            lines += ["", f"{number(len(self.skipped), 'image')} skipped:"]
            lines += [f"  {reason}" for _, reason in self.skipped[:_LISTED]]
            lines += ["  ..."] * (len(self.skipped) > _LISTED)
        lines += ["", f"answers: {self.csv}"] if self.csv else []
        lines += ["", f"({self.artifact} on {self.runtime})", *self._next()]
        return "\n".join(lines)

    def _next(self) -> list[str]:
        """A recorded run, which the audit can explain; only folders tell `run` their labels."""
        run = ("run", self.bundle, "--source", self.data)
        session = new_session()
        if not self.in_folders:
            return next_lines((*run, "--log", session), ("label", session))
        return next_lines((*run, "--truth", "folder", "--log", session), ("audit", session))

    def _tallies(self, keys: Sequence[str], order: Iterable[str]) -> dict[str, Tally]:
        found: dict[str, list[Answer]] = {}
        for key, answer in zip(keys, self.answers, strict=True):
            found.setdefault(key, []).append(answer)
        return {key: _tally(found[key]) for key in order if key in found}


def evaluate(
    bundle: Path | str,
    data: Path | str,
    options: EvaluateOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Evaluation:
    """Classify every image of a class-per-folder tree as the device would.

    Raises:
        BundleError: The bundle can't be used.
        DataError: No labelled image, labels that the bundle doesn't know, no image that can
            be decoded, or a group CSV that doesn't fit.
        MissingRuntimeError: No runtime, or no delegate.
        OptionError: A column of groups and no manifest.
        OutputError: The table can't be written, or would be among the images.
    """
    options = options or EvaluateOptions()
    root = Path(data)
    check_group(options.group, options.manifest)
    if options.csv is not None:
        check_outside(options.csv, [root], "--csv")
        check_csv_place(options.csv, _COLUMNS)
    opened = Bundle.open(bundle)
    notes: list[str] = []
    files = find_labelled(root, options.manifest, known=opened.card.labels, notes=notes)
    check_labels(files, opened.card.labels, root, options.manifest)
    groups = _groups(root, files, options)
    classifier = Classifier(
        opened,
        options.artifact,
        device=options.device,
        threads=options.threads,
        runtime=options.runtime,
    )
    answers, looks, skipped, learned = _classify(classifier, root, files, groups, progress)
    if options.things == LOOKS:
        answers = _numbered(answers, looks)
    if framing := opened.card.framing:
        notes.append(
            f"{framing} of every picture: the network was adapted to the framing of one camera, "
            "and images of another one may be read worse"
        )
    found = Evaluation(
        artifact=classifier.artifact.file,
        runtime=classifier.runtime.name,
        labels=classifier.card.labels,
        answers=answers,
        skipped=tuple(skipped),
        lab=classifier.artifact.lab,
        network=classifier.card.lab.tally,
        bundle=Path(bundle),
        data=root,
        in_folders=options.manifest is None or read_columns(options.manifest) is None,
        notes=(*notes, *learned_notes(learned, "these images")),
        csv=options.csv,
    )
    if options.csv is not None:
        write_file(options.csv, _table(found.answers))
    return found


def _classify(
    classifier: Classifier,
    root: Path,
    files: Sequence[LabelledFile],
    groups: Sequence[str],
    progress: Progress | None,
) -> tuple[tuple[Answer, ...], list[np.ndarray], list[Skipped], int]:
    """The answers, each to a thing of its own, and the fingerprints of what they are to; what
    can't be decoded, and how many images the network has learned from."""
    answers: list[Answer] = []
    skipped, looks, learned = [], [], LearnedPictures(classifier.card)
    for k, (file, group) in enumerate(zip(files, groups, strict=True)):
        name = file.path.relative_to(root).as_posix()
        try:
            encoded = read_bytes(file.path)
            frame = decode(encoded, str(file.path))
        except ImageError as error:
            skipped.append(Skipped(name, str(error)))
        else:
            learned.see(encoded)
            one = classifier.answered(frame)
            looks.append(fingerprint(one.tensor, is_rgb=True))
            answers.append(Answer(name, file.label, group, one.prediction, len(answers)))
        if progress:
            progress("classifying", k + 1, len(files))
    if not answers:
        raise DataError(
            f"none of the {len(files)} images can be decoded (first: {skipped[0][1]}), expected "
            "labelled images; replace them"
        )
    return tuple(answers), looks, skipped, learned.count


def check_labels(
    files: Sequence[LabelledFile], known: Sequence[str], root: Path, manifest: Path | None = None
) -> None:
    """Refuse classes without a label in the bundle; missing classes are fine.

    Args:
        root, manifest: What names them: the folders there, or a table.

    Raises:
        DataError: A class is unknown; the message names it and the known labels.
    """
    unknown = sorted({file.label for file in files} - set(known))
    if not unknown:
        return
    what, mend = f"{root} has class folders", "rename them or point at the folder above the classes"
    if columns := read_columns(manifest) if manifest else None:
        what, mend = f"{manifest} has labels", f"write its column {columns[1]} as the bundle does"
    raise DataError(
        f"{what} that the bundle doesn't know: {listed(unknown)}; expected some of "
        f"{listed(known)}; {mend}"
    )


def _groups(root: Path, files: Sequence[LabelledFile], options: EvaluateOptions) -> list[str]:
    """Without a manifest the folders of an image but its class: "test/phone" for
    test/cat/phone/1.jpg.
    """
    default = options.group == EvaluateOptions.group
    if options.manifest is None or (default and only_labels(options.manifest, options.group)):
        return ["/".join([*filter(None, [file.split]), *file.below]) for file in files]
    paths = [file.path for file in files]
    return [name or "" for name in read_manifest(options.manifest, options.group, paths, root)]


def _numbered(answers: Sequence[Answer], looks: Sequence[np.ndarray]) -> tuple[Answer, ...]:
    """The answers, with things numbered by looks in the order in which `run` reads the folder."""
    order = natural_order([answer.file for answer in answers])
    things = number_things(looks, order).tolist()
    return tuple(replace(one, thing=thing) for one, thing in zip(answers, things, strict=True))


def _table(answers: Iterable[Answer]) -> str:
    """A row an image, as CSV; `correct` is 1 or 0."""
    rows = []
    for one in answers:
        said = one.prediction
        certain = f"{said.confidence:.3f}"
        rows.append((one.file, one.label, one.group, said.label, certain, int(one.correct)))
    return csv_text(_COLUMNS, rows)


def _tally(answers: Sequence[Answer]) -> Tally:
    """As `run` and `audit` count the same images: those of one thing are no independent answers."""
    return tally_of_objects(
        [answer.correct for answer in answers],
        [answer.thing for answer in answers],
        [answer.label for answer in answers],
    )


def _tally_table(name: str, tallies: dict[str, Tally]) -> str:
    rows = [[key or "-", t.total, t.percent, t.range] for key, t in tallies.items()]
    return table([name, "images", "accuracy", "95 %"], rows)
