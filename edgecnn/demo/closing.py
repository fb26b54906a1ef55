"""The demo's end: what the network gains from its own film, without a label and with 50.

All layers of the network are adapted to the pictures that the session kept of the film's first
half. Its second half is scored: before, after adapting without a label, and after 50 labels.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.accuracy.tally import Tally
from edgecnn.errors import OutputError
from edgecnn.records import Progress, Record
from edgecnn.session.read import frame_events, open_session, read_frames
from edgecnn.session.write import SessionWriter

__all__ = ["Closing", "close_gap"]

_LABELS = 50


@dataclass(frozen=True)
class Closing(Record):
    """The Keras network on the film's second half: before, without labels, with 50 labels.

    A step that was not accepted leaves None.
    """

    before: Tally
    adapted: Tally | None
    labelled: Tally | None

    def to_text(self) -> str:
        def shown(tally: Tally | None) -> str:
            return "not accepted" if tally is None else tally.text()

        return "\n".join(
            [
                "the film's second half, by the network in float",
                f"  as trained               {self.before.text()}",
                f"  adapted without a label  {shown(self.adapted)}",
                f"  with {_LABELS} labels           {shown(self.labelled)}",
            ]
        )


def close_gap(output: Path, progress: Progress | None = None) -> Closing:
    """Adapt the demo's network to the first half of its film, and score it on the second.

    Args:
        output: The demo's folder, with `model`, `session`, `field.mp4` and `truth.csv`.

    Raises:
        EdgecnnError: A part of the folder can't be used.
    """
    from edgecnn.adapt.adapt import AdaptOptions, adapt

    truth = _read_truth(output / "truth.csv")
    half = len(truth) // 2
    seen = _first_half(output, half)
    model, adapted, labelled = (output / name for name in ("model", "adapted", "adapted_50"))
    tensors, labels = _second_half(output, truth, half)
    before = _tally(model, tensors, labels)
    if seen is None:
        return Closing(before, None, None)
    options = AdaptOptions(all_layers=True)
    found = adapt(model, seen, adapted, options, progress=progress)
    options = replace(options, labels=(_label(output, truth, progress),))
    more = adapt(model, seen, labelled, options, progress=progress)
    return Closing(
        before,
        _tally(adapted, tensors, labels) if found.accepted else None,
        _tally(labelled, tensors, labels) if more.accepted else None,
    )


def _read_truth(path: Path) -> list[str]:
    """The label of each frame of the film."""
    with path.open(newline="") as text:
        return [row["label"] for row in csv.DictReader(text)]


def _first_half(output: Path, half: int) -> Path | None:
    """A session of the film's first half, without labels; None where no picture of it was kept."""
    session = open_session(output / "session")
    frames = read_frames(session)
    early = [name for row, name in frames.images.items() if frames.frame[row] < half]
    if not early:
        return None
    with SessionWriter(output / "first_half", session.header) as part:
        for event in frame_events(session):
            if event.frame < half:
                part.frame(event)
        for name in early:
            part.keep_picture(name, session.picture(name).read_bytes())
        part.end("the film's first half")
    return part.folder


def _label(output: Path, truth: list[str], progress: Progress | None) -> Path:
    """Label the pictures that `harvest` picks, as a person would: by what the card shows."""
    from edgecnn.adapt.harvest import HarvestOptions, harvest

    seen, target = output / "first_half", output / "picked"
    options = HarvestOptions(count=_LABELS, model=output / "model")
    harvest(seen, target, options, progress=progress)
    with (target / "manifest.csv").open(newline="") as text:
        picked = [(row["file"], Path(row["source"]).stem) for row in csv.DictReader(text)]
    for file, frame in picked:
        place = target / "images" / truth[int(frame)] / Path(file).name
        place.parent.mkdir(exist_ok=True)
        (target / file).rename(place)
    return target / "images"


def _second_half(output: Path, truth: list[str], half: int) -> tuple[np.ndarray, list[str]]:
    """The film's other frames as tensors, and their labels."""
    from edgecnn.bundle.card import CARD_FILE, Card
    from edgecnn.bundle.preprocess import to_tensor

    card = Card.from_json(json.loads((output / "model" / CARD_FILE).read_text()))
    film = cv2.VideoCapture(str(output / "field.mp4"))
    tensors = []
    try:
        for number in range(len(truth)):
            there, frame = film.read()
            if not there:
                raise OutputError(
                    f"{output / 'field.mp4'} ends at frame {number}; run the demo again"
                )
            if number >= half:
                tensors.append(to_tensor(frame, card.input))
    finally:
        film.release()
    return np.stack(tensors), truth[half:]


def _tally(model: Path, tensors: np.ndarray, labels: list[str]) -> Tally:
    from edgecnn.model.predict import keras_scores, things_in
    from edgecnn.model.read import load_model
    from edgecnn.quiet import quiet

    with quiet():
        network, card = load_model(model)
        read = keras_scores(network, tensors).argmax(axis=1)
    right = [card.labels[k] == label for k, label in zip(read, labels, strict=True)]
    return tally_of_objects(right, things_in(tensors), labels)
