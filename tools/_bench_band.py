"""`tools/bench band`: does the audit's label-free band hold what each device really reads?

Float networks; a device's images are answered as they come, and its labels serve only to score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.adapt.data import read_field
from edgecnn.audit.estimate import LabConfidence, estimate_accuracy
from edgecnn.model.read import load_lab_model

_LOSS = 5.0  # points: what an alarm should find
_ALARM = 0.025  # the lowest estimate lies so far below the lab


def table(models: Sequence[Path], field: Path) -> Iterator[str]:
    """The lines: a network a row, then each device whose accuracy lies outside its band."""
    yield (
        "| network | lab, % | the band holds | width in bounds | losses over 5 points: alarm "
        "| other devices: alarm |\n|---|---|---|---|---|---|"
    )
    outside = []
    for path in models:
        model = load_lab_model(path)
        card = model.card

        def sure(scores: np.ndarray, temperature: float = card.temperature) -> np.ndarray:
            return calibrated_confidence(scores, temperature)

        scores = model.scores(model.test.tensors)
        lab = LabConfidence(sure(scores), scores.argmax(axis=1) == model.test.labels)
        lab_accuracy = float(lab.correct.mean())
        held, narrow, lost, raised = ([] for _ in range(4))
        for folder in sorted(place for place in field.iterdir() if place.is_dir()):
            images = read_field([folder], card)
            scores = model.scores(images.tensors)
            band = estimate_accuracy(sure(scores), lab_accuracy, lab)
            truth = [card.labels.index(file.path.parent.name) for file in images.files]
            right = float((scores.argmax(axis=1) == truth).mean())
            gap, width = 100 * (lab_accuracy - right), 100 * (band.high - band.low)
            held.append(band.low <= right <= band.high)
            narrow.append(width <= (10 if gap < _LOSS else 1.2 * gap + 10))
            lost.append(gap > _LOSS)
            raised.append(min(band.methods.values()) < lab_accuracy - _ALARM)
            if not held[-1]:
                outside.append(f"{path.name}, {folder.name}: {100 * right:.1f} %, {band.to_text()}")
        is_lost, is_raised = np.array(lost), np.array(raised)
        yield (
            f"| {path.name} | {100 * lab_accuracy:.1f} | {sum(held)} of {len(held)} "
            f"| {sum(narrow)} of {len(narrow)} | {(is_lost & is_raised).sum()} of {is_lost.sum()} "
            f"| {(~is_lost & is_raised).sum()} of {(~is_lost).sum()} |"
        )
    yield ""
    yield from (f"- {line}" for line in outside)
