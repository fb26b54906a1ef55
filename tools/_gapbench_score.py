"""Play the cases of GapBench: plant, record a session, audit it, and compare the ledger."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from _bench_audit import faulty
from _gapbench_cases import Case, Plant
from _gapbench_plant import FRAMES_A_THING, on_frame, on_input, on_labels

from edgecnn.audit.audit import audit
from edgecnn.audit.options import AuditOptions
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.files.folders import find_images

__all__ = ["CAUSES", "Bench", "Played"]

CAUSES = ("path", "framing", "light", "truth")
_IMAGES = 300


@dataclass
class Played:
    """A case and what came of it; points by cause.

    planted   what each cause costs: switched on and off, the mean over both orders of a pair
    found     what the ledger says
    baselines what three rules without any method say
    gap, left  of the audit
    """

    group: str
    case: str
    planted: dict[str, float] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    gap: float = 0.0
    left: float = 0.0
    verdict: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class Bench:
    """Plays cases with one network on one set of labelled images.

    Args:
        bundle: The network.
        images: FOLDER/<class>/: of these the bundle's lab test images, or all where it has none.
        folder: Where sessions are written.
    """

    def __init__(self, bundle: Path, images: Path, folder: Path) -> None:
        self.bundle, self.folder = Bundle.open(bundle), folder
        self.classifier = Classifier(self.bundle)
        tested = {row.sha256 for row in self.bundle.lab_test()}
        files = [path for path in find_images(images) if path.parent.name in self.labels]
        own = [f for f in files if hashlib.sha256(f.read_bytes()).hexdigest() in tested]
        self.files = own or files

    @property
    def labels(self) -> Sequence[str]:
        return self.classifier.card.labels

    def play(self, case: Case) -> Played:
        """Plant, record, audit, and say what it really cost."""
        files = self._choose(case)
        frames = [read_image(file) for file in files]
        labels = [file.parent.name for file in files]
        seen = _planted(frames, case.plants)
        played = Played(case.group, str(case), self._costs(frames, labels, case.plants))
        session = self._record(case, seen, labels)
        report = audit([session], AuditOptions(bundle=self.bundle.path, truth=session / "told.csv"))
        for step in report.steps:
            for cause, share in _causes(step.cause).items():
                played.found[cause] = played.found.get(cause, 0.0) + share * step.points
        played.gap = report.gap_points or 0.0
        played.left = report.residual.points if report.residual else 0.0
        played.verdict = report.verdict
        played.baselines = _baselines(frames, seen, played.gap)
        return played

    def _choose(self, case: Case) -> list[Path]:
        """300 images; in a case of late labels 75, each four times in a row."""
        rng = np.random.default_rng(case.seed)
        files = [self.files[k] for k in rng.permutation(len(self.files))]
        kinds = {plant.kind: plant.strength for plant in case.plants}
        if "hard classes" in kinds:
            hard = self._hardest(files)
            rest = [f for f in files if f.parent.name not in hard]
            few = [f for f in files if f.parent.name in hard]
            count = min(len(few), round(kinds["hard classes"] * _IMAGES))
            files = few[:count] + rest[: round(count * (1 / kinds["hard classes"] - 1))]
            files = [files[k] for k in rng.permutation(len(files))]
        if "late" in kinds:
            chosen = files[: _IMAGES // FRAMES_A_THING]
            return [file for file in chosen for _ in range(FRAMES_A_THING)]
        return files[:_IMAGES]

    def _hardest(self, files: Sequence[Path]) -> list[str]:
        """The two classes that the network reads worst."""
        right: dict[str, list[bool]] = {}
        for file in files:
            answer = self.classifier(read_image(file)).label
            right.setdefault(file.parent.name, []).append(answer == file.parent.name)
        return sorted(right, key=lambda label: float(np.mean(right[label])))[:2]

    def _costs(
        self, frames: Sequence[np.ndarray], labels: Sequence[str], plants: Sequence[Plant]
    ) -> dict[str, float]:
        """Points that each plant costs, on and off; of two the mean over both orders."""
        real = [plant for plant in plants if plant.cause in CAUSES]

        def accuracy(some: Sequence[Plant]) -> float:
            return self._accuracy(_planted(frames, some), labels, some)

        whole = accuracy([])
        if len(real) < 2:
            return {plant.cause: 100 * (whole - accuracy([plant])) for plant in real}
        both, alone = accuracy(real), [accuracy([plant]) for plant in real]
        return {
            plant.cause: 50 * ((whole - alone[k]) + (alone[1 - k] - both))
            for k, plant in enumerate(real)
        }

    def _accuracy(
        self, frames: Sequence[np.ndarray], labels: Sequence[str], plants: Sequence[Plant]
    ) -> float:
        spec = self.classifier.card.input
        make = _program(plants, spec)
        told = _told(plants, labels)
        right = []
        for frame, label in zip(frames, told, strict=True):
            if label is None:
                continue
            values = make(frame)
            invoke = self.classifier.runtime.invoke
            if values.dtype != np.uint8:
                invoke = self.classifier.runtime.invoke_real
            right.append(self.labels[int(invoke(values).argmax())] == label)
        return float(np.mean(right))

    def _record(self, case: Case, seen: Sequence[np.ndarray], labels: Sequence[str]) -> Path:
        """What `run` with a program of these faults records, and the labels as they were told."""
        name = hashlib.sha256(str(case).encode()).hexdigest()[:8]
        source, log = self.folder / f"{name}_images", self.folder / name
        source.mkdir(parents=True)
        for file, frame in zip(_names(len(seen)), seen, strict=True):
            cv2.imwrite(str(source / file), frame)
        with faulty(lambda frame, spec: _program(case.plants, spec)(frame)):
            run(self.bundle.path, str(source), RunOptions(log=log))
        with (log / "told.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["frame", "label"])
            told = enumerate(_told(case.plants, labels))
            rows.writerows((k, label) for k, label in told if label is not None)
        return log


def _names(count: int) -> list[str]:
    return [f"image{k}.png" for k in range(count)]


def _told(plants: Sequence[Plant], labels: Sequence[str]) -> list[str | None]:
    told: list[str | None] = list(labels)
    for plant in plants:
        if plant.cause == "truth":
            told = on_labels(plant, labels, _names(len(labels)))
    return told


def _planted(frames: Sequence[np.ndarray], plants: Sequence[Plant]) -> list[np.ndarray]:
    """Light falls on the scene as it is framed: framing comes first."""
    found = list(frames)
    for plant in sorted(plants, key=lambda plant: plant.cause != "framing"):
        found = [np.ascontiguousarray(on_frame(plant, k)(f)) for k, f in enumerate(found)]
    return found


def _program(plants: Sequence[Plant], spec: InputSpec):
    ways = [way for plant in plants if (way := on_input(plant, spec)) is not None]
    way = ways[0] if ways else lambda frame: to_tensor(frame, spec)
    return lambda frame: np.ascontiguousarray(way(frame))


def _causes(step: str) -> dict[str, float]:
    """The causes that a step of the ledger blames, and how much of it each gets."""
    first = step.split(" (")[0]
    known = {"device path": "path", "labels": "truth", "framing": "framing", "light": "light"}
    if first in known:
        return {known[first]: 1.0}
    return {"framing": 0.5, "light": 0.5} if first.startswith("framing or light") else {}


def _baselines(
    frames: Sequence[np.ndarray], seen: Sequence[np.ndarray], gap: float
) -> dict[str, dict[str, float]]:
    """An all-zero ledger, the largest drift as the cause, and equal parts for all causes."""
    before, after = (np.array([_statistics(f) for f in some]) for some in (frames, seen))
    moved = np.abs(after.mean(axis=0) - before.mean(axis=0)) / (before.std(axis=0) + 1e-9)
    cause = ("light", "light", "light", "framing", "framing", "framing")[int(moved.argmax())]
    return {
        "zero": {},
        "largest drift": {cause: gap},
        "equal parts": {one: gap / len(CAUSES) for one in CAUSES},
    }


def _statistics(frame: np.ndarray) -> tuple[float, ...]:
    """Mean, contrast, sharpness; the middle of the edges, across and down, and their reach."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(float)
    edges = np.abs(cv2.Sobel(grey, cv2.CV_64F, 1, 0)) + np.abs(cv2.Sobel(grey, cv2.CV_64F, 0, 1))
    weight = edges / max(1e-9, edges.sum())
    y, x = np.mgrid[0 : 1 : complex(grey.shape[0]), 0 : 1 : complex(grey.shape[1])]
    middle_x, middle_y = float((weight * x).sum()), float((weight * y).sum())
    reach = float((weight * ((x - middle_x) ** 2 + (y - middle_y) ** 2)).sum())
    sharp = float(np.log(1 + cv2.Laplacian(grey, cv2.CV_64F).var()))
    return float(grey.mean()), float(grey.std()), sharp, middle_x, middle_y, reach
