"""What `edgecnn adapt` and `edgecnn harvest` did."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgecnn.accuracy.tally import Tally
from edgecnn.adapt.gate import ALL_LAYERS, AdaptStep, LabCheck
from edgecnn.bundle.artifacts import preferred
from edgecnn.bundle.card import LiveBefore
from edgecnn.bundle.folder import is_bundle
from edgecnn.files.picked import IMAGES
from edgecnn.records import Record, computed, json_as
from edgecnn.render.next_lines import next_lines
from edgecnn.render.table import table
from edgecnn.words import number

__all__ = ["AdaptEachResult", "AdaptResult", "AdaptedFile", "HarvestResult", "UndoResult"]

_UNKNOWN = (
    "How accurate it is in the field is not known without labels of frames that it did not use."
)
_FURTHER = "If the gap stays large, --all-layers fine-tunes every layer too."
_HEADERS = (
    *("step", "", "entropy", "answers changed", "held out: fixed", "broken"),
    "validation, points",
)
# docs/results/adapt.md: labels chosen by `harvest`.
_WORTH = (
    "How many labels are worth it: on thirteen meters two networks read 97.43 % of other images "
    "right as trained, 99.01 % adapted without a label, 99.07 % with 20 labels picked so and "
    "99.08 % with 50 (docs/results/adapt.md). What labels give on this device is not known before "
    "it has them."
)
_LISTED = 20


@dataclass(frozen=True)
class AdaptedFile(Record):
    """An artifact that got the new last layer.

    differ  field images that it answers otherwise than the float network
    lab     of the lab test images that the bundle remembers, from the file's own embeddings
    differ_clearly  those of them that are no near tie of the float network's scores
    ok      whether these are few enough: 1 % more than with the old last layer, 3 % at most, or one
            image; else it is left out
    """

    file: str
    differ: int
    differ_clearly: int
    lab: Tally
    ok: bool


@dataclass(frozen=True)
class AdaptResult(Record):
    """The steps that were tried and the MODEL folder or bundle that they gave.

    model     the new one; None when nothing was accepted
    parent    the MODEL folder or bundle that was adapted
    images, labelled, groups   of the field set
    hard      images of it that a session kept for being hard: they count with a label only
    teacher   whose answers the last layer learned; None when it came to none
    refusal   why the field set was refused as a whole; empty when it was not
    suspects  files whose label the teacher contradicts surely: (file, label, what it reads)
    val       the validation images before and after, which accepted or rejected the steps
    lab_before, lab   the lab test, only read for this report; None when nothing was accepted
    files     of a bundle: what was rewritten, as it was checked
    left_out  of a bundle: artifacts that can't take another last layer, or don't follow it
    passed_over  how the folders were read, and other files in them, a line each
    live_before  what the network did live in the sessions among the folders; None without labels
    run_with  the options of `run` by which all sessions saw their frames; a note says so too
    """

    model: Path | None
    parent: Path
    images: int
    labelled: int
    groups: int
    steps: tuple[AdaptStep, ...]
    teacher: str | None = None
    refusal: str = ""
    suspects: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    val: LabCheck | None = None
    lab_before: Tally | None = None
    lab: Tally | None = None
    files: tuple[AdaptedFile, ...] = ()
    left_out: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    live_before: LiveBefore | None = None
    hard: int = 0
    calibration: Path | None = field(default=None, metadata=json_as(hidden=True))
    run_with: tuple[str, ...] = field(default=(), metadata=json_as(hidden=True))

    @property
    @computed
    def accepted(self) -> bool:
        """Whether there is a new MODEL folder."""
        return self.model is not None

    @property
    def could_go_further(self) -> bool:
        """Whether all layers could be fine-tuned and were not: of a MODEL folder, in the lab."""
        return self.calibration is not None and all(one.name != ALL_LAYERS for one in self.steps)

    @property
    def told(self) -> list[str]:
        """What there is to say of the steps beside their figures: why not, or what was cut off."""
        return [f"{one.name}: {one.reason}" for one in self.steps if one.reason != "accepted"]

    def to_text(self) -> str:
        counts = f"{number(self.images, 'image')} in {number(self.groups, 'group')}"
        counts += f", {self.labelled} labelled"
        if self.hard:
            counts += f", {self.hard} kept for being hard: learned with a label only"
        lines = [
            f"Field set: {counts}",
            *self.passed_over,
            *self.notes,
        ]
        if self.teacher:
            lines.append(f"Teacher of the last layer: {self.teacher}")
        if self.steps:
            lines += ["", table(_HEADERS, [_row(step) for step in self.steps]), "", *self.told]
        if self.suspects:
            lines.append("Labels that were held out; are they right?")
            lines += [f"  {line}" for line in _doubted(self.suspects)]
        if self.refusal:
            return "\n".join([*lines, f"Refused: {self.refusal}", "Nothing was written."])
        if self.model is None:
            return "\n".join([*lines, "No step was accepted. Nothing was written."])
        if self.could_go_further:
            lines.append(_FURTHER)
        if self.lab and self.lab_before:
            lines.append(f"Lab test before  {self.lab_before.text()}")
            lines.append(f"Lab test after   {self.lab.text()}")
        then = next_lines(*self.then(self.model), wrote=self.model)
        return "\n".join([*lines, *self._files(), *self._expected(), _UNKNOWN, *then])

    def _expected(self) -> list[str]:
        """What it may return, where the sessions have labels that are a sample."""
        if self.live_before is None:
            return []
        unused = "" if self.labelled else " To learn their labels too, add `--labels SESSION`."
        return [
            f"Live before, in these sessions: {self.live_before.live.text()}. Adapting can return "
            f"at most {self.live_before.most_points:.1f} points (the upper end of the gap's 95 % "
            f"interval); an audit of the next session says what it returned.{unused}"
        ]

    def then(self, model: Path) -> list[tuple[str | Path, ...]]:
        """The commands to try next with what was written; how to run it where a view needs that."""
        bundle: Path | str = model if self.calibration is None else "NAME.edgecnn"
        first: tuple[str | Path, ...] = ("doctor", model)
        if self.calibration is not None:
            first = ("export", model, "--calibration", self.calibration, "-o", bundle)
        run = ("run", bundle, "--source", "SOURCE", *self.run_with)
        return [first, run] if self.run_with else [first]

    def _files(self) -> list[str]:
        lines = [
            f"{one.file}: lab {one.lab.text()}; another answer than the float network to "
            f"{one.differ} of {self.images - self.hard} field images, {one.differ_clearly} of "
            "them clear ones"
            for one in self.files
        ]
        return [*lines, *self.missing]

    @property
    def missing(self) -> list[str]:
        """Which files the new bundle lacks, and why."""
        wrong = [one.file for one in self.files if not one.ok]
        others = [file for file in self.left_out if file not in wrong]
        lines = []
        if wrong:
            runs = preferred([one.file for one in self.files if one.ok])
            lines.append(
                f"Left out, too many other answers than the float network: {', '.join(wrong)}; "
                f"`edgecnn run` takes {runs}"
            )
        if others:
            lines.append(f"Left out, not to be rewritten here: {', '.join(others)}")
        return lines


@dataclass(frozen=True)
class AdaptEachResult(Record):
    """One network adapted to several devices.

    parent   what was adapted
    output   the folder with what was written
    devices  what came of each device, by its name
    older    of the devices that got none: what an earlier run wrote, which is still there
    """

    parent: Path
    output: Path
    devices: dict[str, AdaptResult]
    older: dict[str, Path] = field(default_factory=dict)

    @property
    @computed
    def adapted(self) -> int:
        """How many devices have a network of their own."""
        return sum(one.accepted for one in self.devices.values())

    @property
    def complete(self) -> bool:
        """Whether every device has one."""
        return self.adapted == len(self.devices)

    def to_text(self) -> str:
        each = self.devices.items()
        evidence = [(name, *_row(step)) for name, one in each for step in one.steps]
        lines = [table(_DEVICE_HEADERS, [_device_row(name, one) for name, one in each])]
        if evidence:
            lines += ["", table(("device", *_HEADERS), evidence)]
        lines += ["", *dict.fromkeys(note for _, one in each for note in one.notes)]
        told: dict[str, list[str]] = {}
        for name, one in each:
            for line in (*one.passed_over, *one.told, *(one.missing if one.accepted else ())):
                told.setdefault(line, []).append(name)
        lines += [f"{', '.join(names)}: {line}" for line, names in told.items()]
        for name, one in each:
            lines += [f"{name}: refused: {one.refusal}"] if one.refusal else []
            lines += [f"{name}: {line}" for line in _doubted(one.suspects)]
            if name in self.older:
                lines.append(f"{name}: {self.older[name]} is of an earlier run, and stays")
        kept = "" if self.complete else f"; the others keep what they have, or {self.parent}"
        lines.append(
            f"{self.adapted} of {len(self.devices)} devices got a network of their own in "
            f"{self.output}{kept}."
        )
        done = [one for one in self.devices.values() if one.model is not None]
        if not done or done[0].model is None:
            return "\n".join(lines)
        then = next_lines(*done[0].then(done[0].model), wrote=self.output)
        return "\n".join([*lines, _UNKNOWN, *then])


_DEVICE_HEADERS = ("device", "images", "groups", "labelled", "", "lab test before", "after")


def _device_row(name: str, one: AdaptResult) -> tuple[str, ...]:
    lab = [tally.text() if tally else "" for tally in (one.lab_before, one.lab)]
    came = "adapted" if one.accepted else ("refused" if one.refusal else "no step accepted")
    return (name, str(one.images), str(one.groups), str(one.labelled), came, *lab)


def _row(step: AdaptStep) -> tuple[str, ...]:
    def shown(value: float | None, form: str, scale: float = 1.0) -> str:
        return "" if value is None else form.format(scale * value)

    before, after = step.entropy_before, step.entropy_after
    return (
        step.name,
        step.verdict,
        "" if before is None or after is None else f"{before:.3f} -> {after:.3f}",
        shown(step.changed, "{:.1f} %", 100),
        shown(step.fixed, "{:.0f}"),
        shown(step.broken, "{:.0f}"),
        "" if step.lab is None else f"{0 - step.lab.loss_points:+.2f}",
    )


@dataclass(frozen=True)
class UndoResult(Record):
    """The network that an adapted one came from: `model` is a copy of `parent`.

    parent_at, undone_at   when the card of each was written, in UTC, as its file says
    undone, undone_lab     the adapted one, and its lab accuracy
    steps                  what it had learned of the field
    """

    model: Path
    parent: Path
    lab: Tally
    parent_at: str
    undone: Path
    undone_at: str
    undone_lab: Tally
    steps: tuple[str, ...] = ()

    def to_text(self) -> str:
        lost = f", which had accepted: {', '.join(self.steps)}" if self.steps else ""
        export = ("export", self.model, "--calibration", "FIELD", "-o", "NAME.edgecnn")
        return "\n".join(
            [
                f"wrote {self.model}, a copy of {self.parent} of {self.parent_at}: lab "
                f"{self.lab.text()}",
                f"undone: {self.undone} of {self.undone_at}{lost}: lab {self.undone_lab.text()}",
                *next_lines(("doctor", self.model) if is_bundle(self.model) else export),
            ]
        )


def _doubted(suspects: tuple[tuple[str, str, str], ...]) -> list[str]:
    lines = [f"{file}: labelled {given}, reads as {read}" for file, given, read in suspects]
    more = len(lines) - _LISTED
    return [*lines[:_LISTED], *([f"and {more} more (--json lists all)"] if more > 0 else [])]


@dataclass(frozen=True)
class HarvestResult(Record):
    """What was picked to be labelled.

    output     the folder: a folder for each class, where the images are by what the network reads
    picked     images in it; of `candidates` that were left
    left_out   images that were not candidates, by reason
    classes    picked images by the class that the network reads
    passed_over  other files in the folders, a line a folder
    network, places   what picked them, a MODEL folder or a bundle, and from where
    labelled   those places whose sessions have labels: adapting learns from these too
    devices    the folders of several devices; none of one
    adaptable  whether that network can be adapted: one of another tool can't
    """

    output: Path
    picked: int
    candidates: int
    left_out: dict[str, int]
    classes: dict[str, int]
    passed_over: tuple[str, ...] = ()
    network: Path = field(default=Path("MODEL"), metadata=json_as(hidden=True))
    places: tuple[Path, ...] = field(default=(Path("SESSION"),), metadata=json_as(hidden=True))
    adaptable: bool = field(default=True, metadata=json_as(hidden=True))
    labelled: tuple[Path, ...] = field(default=(), metadata=json_as(hidden=True))
    devices: tuple[Path, ...] = field(default=(), metadata=json_as(hidden=True))

    def to_text(self) -> str:
        fields = [word for root in self.devices or self.places for word in ("--field", root)]
        new = ["-o", "NAME.edgecnn" if is_bundle(self.network) else "MODEL2"]
        if self.devices:
            new = ["--per", "device", "-o", "MODELS"]
        places = (self.output / IMAGES, *self.labelled)
        labels = [word for place in places for word in ("--labels", place)]
        adapt = ("adapt", self.network, *fields, *labels, *new)
        train = ("train", "LAB", "--also", self.output, "-o", "MODEL2")
        then = f"adapt to {'each' if self.devices else 'this'} camera, or train for all"
        then = then if self.adaptable else "train with them"
        left = ", ".join(f"{count} {why}" for why, count in self.left_out.items() if count)
        return "\n".join(
            [
                f"Picked {self.picked} of {self.candidates} images into {self.output}",
                *([f"Left out: {left}"] if left else []),
                *self.passed_over,
                "Read as: " + ", ".join(f"{label} {n}" for label, n in self.classes.items()),
                _WORTH,
                "Move each image to the folder of what it shows and delete those that nobody can "
                f"tell; then {then}.",
                *next_lines(*([adapt] * self.adaptable), train, wrote=self.output),
            ]
        )
