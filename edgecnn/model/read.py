"""Read a MODEL folder: the network, its card and its lab test.

model.keras     the float model: raw RGB 0..255 in, softmax scores out
card.json       labels, input, lab accuracy, and how the model came about
history.csv     loss, accuracy, learning rate and seconds, one row an epoch
training.png    the same as curves; confusion.png the lab test's confusion matrix
augmented.png   training images and what the augmentation makes of them, a row a class
lab_test.npz    tensors, labels, keras_scores, files, sha256 of the lab test images
replay.npz      training and validation images for `adapt`: see lab_replay.py
golden/         a few encoded lab test images
synthetic.png   with --synthesize: real and made images side by side
"""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.accuracy.objects import tally_of_objects
from edgecnn.accuracy.tally import Tally
from edgecnn.accuracy.thing_rule import EACH, LOOKS
from edgecnn.bundle.card import CARD_FILE, Card
from edgecnn.bundle.folder import is_bundle, read_card
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.errors import BundleError, ModelError, one_line
from edgecnn.files.arrays import open_arrays
from edgecnn.files.folders import IMAGE_SUFFIXES
from edgecnn.files.walk import natural_order
from edgecnn.images.dataset import Dataset
from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.networks.adopt import unknown_class
from edgecnn.model.networks.small import importable_here
from edgecnn.model.predict import keras_scores, lab_result, things_in
from edgecnn.quiet import quiet

if TYPE_CHECKING:
    import keras

__all__ = [
    "GOLDEN_FOLDER",
    "LAB_TEST_FILE",
    "MODEL_FILE",
    "LabModel",
    "LabTest",
    "lab_test_digests",
    "load_lab_model",
    "load_model",
]

MODEL_FILE = "model.keras"
LAB_TEST_FILE = "lab_test.npz"
GOLDEN_FOLDER = "golden"
_FEW = 64
_STEPS = 1.0  # grey levels in the mean
_POINT = 0.01


@dataclass(frozen=True)
class LabTest:
    """The lab test images as the model sees them, and what the Keras model made of them.

    tensors: uint8 (n, height, width, 3) RGB; labels: int32 (n,); keras_scores: float32
    (n, classes); files, sha256: str (n,), path below the lab folder and digest of the file.
    These names are those of the arrays in the MODEL folder. `rule` says what counts as one thing,
    `LOOKS` or `EACH`.
    """

    tensors: Tensors
    labels: np.ndarray
    keras_scores: np.ndarray
    files: np.ndarray
    sha256: np.ndarray
    rule: str = LOOKS

    @classmethod
    def of(cls, data: Dataset, rows: np.ndarray, scores: np.ndarray, rule: str = LOOKS) -> LabTest:
        """The lab test on these rows of a data set, whose tensors may stay in a file."""
        return cls(
            ChosenTensors(data.tensors, rows),
            data.classes[rows],
            scores,
            np.array([data.name(k) for k in rows]),
            np.array([data.sha256[k] for k in rows]),
            rule,
        )

    @classmethod
    def array_names(cls) -> tuple[str, ...]:
        """What the MODEL folder has an array of."""
        return tuple(field.name for field in fields(cls) if field.name != "rule")

    @property
    def keras_top1(self) -> np.ndarray:
        """int64, shape (n,): the float model's answers."""
        return np.asarray(self.keras_scores.argmax(axis=1))

    @cached_property
    def things(self) -> np.ndarray:
        """int64, shape (n,): what each image shows; `evaluate` numbers the same files alike."""
        return things_in(self.tensors, natural_order(list(map(str, self.files))), self.rule)

    def tally(self, top1: np.ndarray) -> Tally:
        """How many of these answers are right; those of one thing are no independent answers."""
        return tally_of_objects(top1 == self.labels, self.things, self.labels)


@dataclass(frozen=True)
class LabModel:
    """A trained model with its card, its lab test and up to 4 encoded lab images.

    `notes` is what the user should know of how it was read.
    """

    path: Path
    card: Card
    network: Any
    test: LabTest
    golden: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def scores(self, tensors: Tensors) -> np.ndarray:
        """The float model's scores, float32 (n, classes), of uint8 (n, height, width, 3) RGB.

        TensorFlow's messages are kept off the terminal.
        """
        with quiet():
            return keras_scores(self.network, tensors)


def load_lab_model(path: Path, things: str | None = None) -> LabModel:
    """Load a MODEL folder and check that its parts belong together.

    Args:
        things: What counts as one thing, `LOOKS` or `EACH`; None: what did in the training.

    Raises:
        ModelError: No MODEL folder, a part that is missing, broken or of another model.
    """
    try:
        with quiet():
            network, card = load_model(path)
    except BundleError as error:
        raise ModelError(str(error).replace("export again", "train again")) from error
    torn = [label for label in card.labels if label.splitlines() != [label]]
    if torn:
        raise ModelError(
            f"{path}: label {torn[0]!r} is not one line of text, as labels.txt needs it; "
            "rename the class folder and train again"
        )
    if wrong := card.torn_fields():
        raise ModelError(
            f"{path}: {', '.join(wrong)} in {CARD_FILE} is not what `edgecnn train` writes for "
            f"{len(card.labels)} labels; train again"
        )
    if things == EACH:
        card = card.counting_each()
    card = replace(card, things=things or card.things)
    test = _load_test(path / LAB_TEST_FILE, card)
    golden = (path / GOLDEN_FOLDER).glob("*")
    encoded = tuple(sorted(p for p in golden if p.suffix.lower() in IMAGE_SUFFIXES))
    _check_golden(path, encoded, card, test)
    _check_accuracy(path, card, test)
    # Counted anew: an older edgecnn took images of one thing for independent answers.
    card = replace(card, lab=lab_result(test.keras_scores, test.labels, test.things))
    model = LabModel(path, card, network, test, encoded)
    if not np.abs(model.scores(test.tensors[:_FEW]) - test.keras_scores[:_FEW]).max() < 0.01:
        raise ModelError(
            f"{path}: {MODEL_FILE} does not give the scores in {LAB_TEST_FILE}; one of the two "
            "was replaced; train again"
        )
    return model


def _check_accuracy(path: Path, card: Card, test: LabTest) -> None:
    """Refuse a lab test or a card that was edited: what the labels of one say of the network's
    scores, the other contradicts.

    Raises:
        ModelError: By more than a point; an older edgecnn may have counted a tie otherwise.
    """
    found = test.tally(test.keras_top1)
    said = card.lab.tally
    if abs((found.accuracy or 0.0) - (said.accuracy or 0.0)) > _POINT:
        raise ModelError(
            f"{path}: the network reads {found.percent} of the images in {LAB_TEST_FILE} as "
            f"labelled there, and {CARD_FILE} says {said.percent}, so one of the two was edited; "
            "put it back, or train again"
        )


def _check_golden(path: Path, encoded: Sequence[Path], card: Card, test: LabTest) -> None:
    """Refuse a card whose input was edited: its golden images would become other tensors.

    Decoders differ by a step or two at most, another resizing by far more.

    Raises:
        ModelError: One does.
    """
    for file in encoded:
        raw = file.read_bytes()
        rows = np.flatnonzero(test.sha256 == hashlib.sha256(raw).hexdigest())
        if not len(rows):
            continue
        made = to_tensor(decode(raw, file.name), card.input).astype(int)
        if np.abs(made - test.tensors[int(rows[0])]).mean() > _STEPS:
            raise ModelError(
                f"{path}: {GOLDEN_FOLDER}/{file.name} becomes another input by {CARD_FILE} "
                f"({card.input.resize}, {card.input.interpolation}) than in training, so the card "
                "was edited; put its input back, or train again"
            )


def lab_test_digests(folder: Path) -> frozenset[str]:
    """The SHA-256 of each lab test image of a MODEL folder, without loading the images.

    Raises:
        ModelError: They can't be read.
    """
    return frozenset(map(str, _read_arrays(folder / LAB_TEST_FILE, ("sha256",))["sha256"]))


def load_model(folder: Path | str) -> tuple[keras.Model, Card]:
    """Open a MODEL folder as `edgecnn train` writes it.

    Raises:
        ModelError: Missing, of something else, or damaged.
        BundleError: Its card.json can't be read.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ModelError(f"{folder} does not exist, expected a MODEL folder of `edgecnn train`")
    file, card_file = folder / MODEL_FILE, folder / CARD_FILE
    if not file.is_file() and is_bundle(folder):
        raise ModelError(
            f"{folder} is a bundle, expected a MODEL folder of `edgecnn train`; where a command "
            "takes a bundle too, name it with --bundle"
        )
    for needed in (card_file, file):
        if not needed.is_file():
            raise ModelError(
                f"{folder} has no {needed.name}, expected a MODEL folder of `edgecnn train`"
            )
    try:
        card = read_card(card_file.read_bytes(), folder)
        model = _load_network(file, card)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file} can't be loaded ({one_line(error)}); train again") from error
    found = (tuple(model.input_shape[1:]), model.output_shape[-1])
    if found != (card.input.shape, len(card.labels)):
        raise ModelError(
            f"{file} takes {found[0]} and gives {found[1]} scores, its card.json says "
            f"{card.input.shape} and {len(card.labels)} labels; train again"
        )
    _check_labels(folder, card)
    return model, card


def _check_labels(folder: Path, card: Card) -> None:
    """Refuse a card whose labels were edited: the network's answers would have other names.

    Not by the folders of the images: a manifest may name the labels, and a folder be cat_test.

    Raises:
        ModelError: They are others than those of the training, or in another order.
    """
    counts = card.training.get("class_counts")
    trained = tuple(counts) if isinstance(counts, Mapping) else card.labels
    if trained != card.labels:
        pairs = zip_longest(card.labels, trained)
        label, before = next(pair for pair in pairs if pair[0] != pair[1])
        raise ModelError(
            f"{folder}: {CARD_FILE} has the label {label!r} where the training had {before!r}, so "
            "its labels were edited; put them back, or train again"
        )


def _load_network(file: Path, card: Card) -> keras.Model:
    """Load the network; if it holds classes of the user's own, import their module first."""
    import keras

    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError) as error:
        unknown = unknown_class(error)
        reference = card.training.get("options", {}).get("network")
        if unknown is None or reference is None:
            raise
        module = str(reference).partition(":")[0]
        try:
            with importable_here():
                importlib.import_module(module)  # registers its classes
        except ImportError as missing:
            raise ModelError(
                f"{file} holds {unknown!r} of the network {reference}, and {module} can't be "
                "imported; run this in the folder that holds it"
            ) from missing
    return keras.saving.load_model(file, compile=False)


def _load_test(path: Path, card: Card) -> LabTest:
    names = LabTest.array_names()
    test = LabTest(**_read_arrays(path, names), rule=card.things)
    count, classes = len(test.labels), len(card.labels)
    shapes = {
        "tensors": (count, *card.input.shape),
        "keras_scores": (count, classes),
        "files": (count,),
        "sha256": (count,),
    }
    wrong = [name for name, shape in shapes.items() if getattr(test, name).shape != shape]
    kinds = {"tensors": "u", "labels": "i", "keras_scores": "f"}
    wrong += [name for name, kind in kinds.items() if getattr(test, name).dtype.kind != kind]
    if wrong or not count or not 0 <= test.labels.min() <= test.labels.max() < classes:
        raise ModelError(
            f"{path}: {', '.join(wrong) or 'labels'} does not fit the model's card; train again"
        )
    return test


def _read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    def refused(error: Exception) -> ModelError:
        return ModelError(
            f"can't read {path} ({error}); expected arrays {', '.join(names)}; train again"
        )

    with open_arrays(path.read_bytes, refused) as arrays:
        return {name: arrays[name] for name in names}
