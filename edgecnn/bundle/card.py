"""card.json: the description of a model in its MODEL folder or bundle, and golden frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.reject import Reject
from edgecnn.accuracy.tally import Tally
from edgecnn.accuracy.thing_rule import EACH, LOOKS
from edgecnn.bundle.spec import InputSpec, TensorInfo
from edgecnn.errors import BundleError, reason_of
from edgecnn.records import Json, Record, computed, decode, encode, expect_object, json_as
from edgecnn.words import number

__all__ = [
    "CARD_FILE",
    "CARD_FORMAT",
    "Artifact",
    "Card",
    "GoldenFrame",
    "LabResult",
    "LiveBefore",
    "picture_key",
]


CARD_FILE = "card.json"
CARD_FORMAT = 1
# A card of more labels has only those cells of its confusion matrix that are not 0.
_WHOLE_MATRIX = 100


@dataclass(frozen=True)
class Artifact(Record):
    """One exported file, and how it compares with the float Keras model on the lab test images.

    `kind` is read back from the file itself. `agreement` is the share of lab test images with
    the same top-1 as the Keras model; `max_output_error` the largest difference of a score.
    `confidence_error` is the expected calibration error on those images of the scores as they
    are ("raw") and after temperature scaling ("calibrated"), in [0, 1]; None if not measured.
    `time_ratio` is the time of an image against the float32 file, both on the lab's machine.
    """

    file: str
    kind: str
    sha256: str
    bytes: int
    input: TensorInfo
    output: TensorInfo
    lab: Tally
    agreement: float
    max_output_error: float
    ok: bool = True
    confidence_error: dict[str, float] | None = None
    time_ratio: float | None = None


@dataclass(frozen=True)
class LabResult:
    """Float accuracy on the lab's test split, and which labels were read as which.

    `read_as[i]` counts the answers to images of label i, by their label; without those that never
    came: of a thousand classes a whole matrix would be a million zeros on every device.
    `worth[i]` is how many independent answers those are worth (see `Tally`); where it is empty,
    as many an answer as all together are.
    """

    tally: Tally
    read_as: tuple[Mapping[int, int], ...]
    worth: tuple[float | None, ...] = ()

    @classmethod
    def of(
        cls, tally: Tally, confusion: ArrayLike, worth: tuple[float | None, ...] = ()
    ) -> LabResult:
        """From a confusion matrix (k, k); [i, j]: true label i read as label j."""
        rows = np.asarray(confusion)
        read_as = ({int(j): int(row[j]) for j in np.flatnonzero(row)} for row in rows)
        return cls(tally, tuple(read_as), _if_any(worth))

    @property
    def confusion(self) -> np.ndarray:
        """The confusion matrix (k, k), int64; [i, j]: true label i read as label j."""
        matrix = np.zeros((len(self.read_as),) * 2, np.int64)
        for row, counts in zip(matrix, self.read_as, strict=True):
            row[list(counts)] = list(counts.values())
        return matrix

    def per_class(self, labels: Sequence[str]) -> dict[str, Tally]:
        """Tally of each true class, in the order of `labels`."""
        found = {}
        for k, (label, counts) in enumerate(zip(labels, self.read_as, strict=True)):
            one = Tally(counts.get(k, 0), sum(counts.values()))
            worth = self.worth[k] if self.worth else one.worth_as(self.tally).effective
            found[label] = replace(one, effective=worth)
        return found

    def to_json(self, labels: Sequence[str]) -> Json:
        few = len(self.read_as) <= _WHOLE_MATRIX
        confusion = self.confusion.tolist() if few else encode(self.read_as)
        per_class = encode(self.per_class(labels))
        return {**self.tally.to_json(), "confusion": confusion, "per_class": per_class}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabResult:
        rows: Sequence[Any] = data["confusion"]
        if not isinstance(rows, list):
            raise TypeError("confusion is no list of rows")
        read_as = tuple(_counts(row, len(rows)) for row in rows)
        per_class = expect_object(data.get("per_class", {}), "per_class")
        worth = tuple(_worth(label, one) for label, one in per_class.items())
        worth = _if_any(worth) if len(worth) == len(rows) else ()
        return cls(Tally.from_json(data), read_as, worth)


def _if_any(worth: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Empty where every answer to every class stands for itself: then all together do, too."""
    return worth if any(one is not None for one in worth) else ()


def _worth(label: str, tally: Any) -> float | None:
    """What the answers to a class are worth, as the file has it."""
    found = expect_object(tally, label).get("effective")
    return None if found is None else float(decode(float, found, "effective"))


def _counts(row: Any, num_labels: int) -> dict[int, int]:
    """A row of the matrix as the file has it: a count for each label, or of those that came."""
    if isinstance(row, list) and len(row) != num_labels:
        raise ValueError(f"a row of {len(row)} in a confusion of {number(num_labels, 'label')}")
    found = row if isinstance(row, dict) else dict(enumerate(row))
    counts = {int(label): int(count) for label, count in found.items() if int(count)}
    if not all(0 <= label < num_labels for label in counts):
        raise ValueError(f"a label beyond the confusion's {num_labels}")
    if min(counts.values(), default=0) < 0:
        raise ValueError("a count below 0 in the confusion")
    return counts


@dataclass(frozen=True)
class LiveBefore(Record):
    """What a network did live in the sessions that another was then adapted to.

    live  live accuracy, by the labels of these sessions
    lab   lab accuracy of the file that ran in them
    """

    live: Tally
    lab: Tally

    @property
    @computed
    def most_points(self) -> float:
        """What adapting can return at most: the upper end of the 95 % interval of the gap."""
        return max(0.0, difference(self.lab, self.live)[2])


def picture_key(sha256: str) -> str:
    """What a card keeps of the SHA-256 of a picture: enough to know it again."""
    return sha256[:16]


@dataclass(frozen=True)
class Card(Record):
    """What card.json says of a MODEL folder (no artifacts yet) or of a bundle.

    `prior` are the class shares that the scores assume, in the order of `labels`: those of the
    training images, or other ones when training balanced the classes (then
    training["class_counts"] has the former). `temperature` makes confidence of scores (see
    confidence.py).
    `reject` is a confidence below which an answer is none, chosen and measured on lab images that
    were filmed by random cameras; None where none could be shown to hold.
    `calibration` is {"count", "sha256"} of the representative images, `training` a summary of
    how the model came about, `parent` the sha256 of the card it was adapted from, `adaptation` the
    steps that `adapt` tried, with their figures. `things` is what counts as one thing in the lab's
    figures, see `accuracy.thing_rule`.
    """

    name: str
    labels: tuple[str, ...]
    input: InputSpec
    lab: LabResult = field(metadata=json_as(hidden=True))  # `to_json` needs the labels for it
    prior: tuple[float, ...]
    edgecnn: str
    artifacts: tuple[Artifact, ...] = ()
    temperature: float = 1.0
    reject: Reject | None = None
    calibration: Json | None = None
    camera: Json | None = None
    training: Json = field(default_factory=dict)
    parent: str | None = None
    adaptation: Json | None = None
    things: str = LOOKS
    format: int = CARD_FORMAT

    def torn_fields(self) -> list[str]:
        """Fields that can't be: an edit by hand leaves a card that can be read."""
        count = len(self.labels)
        wrong = {
            "name": not isinstance(self.name, str) or not self.name,
            "labels": len(set(self.labels)) != count,
            "prior": len(self.prior) != count,
            "confusion": len(self.lab.read_as) != count,
            "things": self.things not in (LOOKS, EACH),
        }
        return [name for name, is_wrong in wrong.items() if is_wrong]

    @property
    def trained_pictures(self) -> frozenset[str]:
        """Pictures that it was trained on, of the lab's some: see `picture_key`."""
        told = (self.training, self.training.get("also"))
        return frozenset(key for one in told if one for key in one.get("pictures", ()))

    @property
    def learned_pictures(self) -> frozenset[str]:
        """Pictures that it was trained on, as above, or adapted to."""
        return self.trained_pictures | frozenset((self.adaptation or {}).get("pictures", ()))

    @property
    def adapting_loss(self) -> float:
        """Points of the lab's validation images that all adapting since training has lost."""
        return float((self.adaptation or {}).get("lost_points", 0.0))

    @property
    def has_float(self) -> bool:
        """Whether the network in float is known: `import` has one file of another tool alone."""
        imported = self.training.get("imported")
        return not isinstance(imported, Mapping) or "ending" not in imported

    @property
    def is_foreign(self) -> bool:
        """Whether another program trained the network: there is no MODEL folder to adapt."""
        return isinstance(self.training.get("imported"), Mapping)

    @property
    def is_from_scratch(self) -> bool | None:
        """Whether no weight came from elsewhere; None of a user's own network: nobody knows."""
        weights = self.training.get("network", {}).get("weights")
        return None if weights is None else weights == "none"

    @property
    def framing(self) -> str | None:
        """The margins that the network cuts off every picture; None where it sees it whole."""
        return (self.adaptation or {}).get("framing")

    @property
    def live_before(self) -> LiveBefore | None:
        """What the network that it was adapted from did live; None where that is unknown."""
        told = (self.adaptation or {}).get("live_before")
        return LiveBefore.from_json(told) if told else None

    def counting_each(self) -> Card:
        """This card where every image of the lab shows another thing, see `accuracy.thing_rule`."""

        def alone(tally: Tally) -> Tally:
            return replace(tally, effective=None)

        training = dict(self.training)
        for part in ("train", "val"):
            if isinstance(training.get(part), Mapping):
                training[part] = {k: v for k, v in training[part].items() if k != "effective"}
        return replace(
            self,
            lab=replace(self.lab, tally=alone(self.lab.tally), worth=()),
            artifacts=tuple(replace(one, lab=alone(one.lab)) for one in self.artifacts),
            training=training,
            things=EACH,
        )

    def to_json(self) -> Json:
        return {**super().to_json(), "lab": self.lab.to_json(self.labels)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        """Read a card.

        Raises:
            BundleError: A field is missing or of the wrong type, or the format is newer.
        """
        found = data.get("format")
        if found != CARD_FORMAT:
            raise BundleError(
                f"card has format {found!r}, this edgecnn reads format {CARD_FORMAT}; "
                "export again or install the edgecnn that wrote it"
            )
        try:
            lab = LabResult.from_json(expect_object(data["lab"], "lab"))
            card = super().from_json({**data, "lab": lab})
            if not 0.01 <= card.temperature <= 100:
                raise ValueError(f"temperature {card.temperature}, expected 0.01 to 100")
            _ = card.live_before, card.learned_pictures, card.adapting_loss  # torn ones raise here
            return card
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"card is not readable ({reason_of(error)}); export again") from error


@dataclass(frozen=True)
class GoldenFrame(Record):
    """An encoded camera frame with what the lab made of it.

    `tensor_sha256` is the digest of the uint8 input tensor (C order); `scores` holds, by
    artifact file name, the scores that the lab's runtime gave. There are two families of integer
    kernels, which differ by some steps: XNNPACK, which newer runtimes take, and TFLite's built-in
    ones, which tflite-runtime 2.14 takes (alike on x86 and arm64); `builtin` holds the latter's.
    """

    file: str
    tensor_sha256: str
    scores: dict[str, tuple[float, ...]]
    builtin: dict[str, tuple[float, ...]] = field(default_factory=dict)
