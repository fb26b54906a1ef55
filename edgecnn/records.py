"""The values that every stage shares: what stands in card.json, in a session and in --json.

Accuracy is a fraction in [0, 1]; a gap or drop is in points (100 x fraction).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import sqrt
from typing import Any, Literal, get_args

from edgecnn.errors import BundleError

__all__ = [
    "CARD_FORMAT",
    "Artifact",
    "Card",
    "GoldenFrame",
    "InputSpec",
    "Json",
    "LabResult",
    "Prediction",
    "Progress",
    "Tally",
    "TensorInfo",
    "known_fields",
]

Json = dict[str, Any]
# (what is being done, done so far, out of how many): the command line draws it, not the library.
Progress = Callable[[str, int, int], None]
CARD_FORMAT = 1

Resize = Literal["stretch", "letterbox", "center_crop"]
Interpolation = Literal["halving", "nearest", "linear", "area", "cubic"]


@dataclass(frozen=True)
class InputSpec:
    """How a camera frame becomes the model's input tensor: uint8, shape (height, width, 3).

    `resize` and `interpolation` are explained in `preprocess.py`, the only code that acts on
    them. `pad` is the letterbox colour in the order of `color`, or None.
    """

    width: int
    height: int
    resize: Resize = "stretch"
    interpolation: Interpolation = "halving"
    pad: tuple[int, int, int] | None = None
    channels: int = 3
    color: str = "RGB"
    dtype: str = "uint8"
    orient: str = "exif"

    def __post_init__(self) -> None:
        def check(name: str, allowed: Sequence[Any]) -> None:
            if getattr(self, name) not in allowed:
                raise BundleError(
                    f"input spec says {name} = {getattr(self, name)!r}, "
                    f"expected {' or '.join(map(repr, allowed))}"
                )

        check("resize", get_args(Resize))
        check("interpolation", get_args(Interpolation))
        check("channels", [3])
        check("color", ["RGB"])
        check("dtype", ["uint8"])
        check("orient", ["exif"])
        if not (1 <= self.width <= 4096 and 1 <= self.height <= 4096):
            raise BundleError(
                f"input spec says {self.width}x{self.height}, expected sides of 1 to 4096 pixels"
            )
        if self.resize == "letterbox" and self.pad is None:
            object.__setattr__(self, "pad", (0, 0, 0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the tensor."""
        return (self.height, self.width, self.channels)

    def to_json(self) -> Json:
        return {**asdict(self), "pad": list(self.pad) if self.pad else None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InputSpec:
        pad = data.get("pad")
        return cls(**{**known_fields(cls, data), "pad": tuple(pad) if pad else None})


@dataclass(frozen=True)
class Tally:
    """A count of right answers with its 95 % interval.

    `effective` is the number of independent answers that `total` is worth when frames of a
    video repeat each other; None when every answer stands for itself.

    Example:
        >>> Tally(9, 10)
        Tally(90.0 % of 10, 95 % interval 59.6-98.2)
    """

    correct: int
    total: int
    effective: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Fraction in [0, 1], or None when nothing was counted."""
        return self.correct / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval at 95 % (Wilson 1927, doi:10.2307/2276774); (0, 1) for no data."""
        n = self.total if self.effective is None else self.effective
        if not self.total or n <= 0:
            return (0.0, 1.0)
        z, p = 1.959963984540054, self.correct / self.total
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # Rounding must not put the accuracy of all or none outside of its interval.
        return (max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.correct + other.correct, self.total + other.total)

    def __repr__(self) -> str:
        return f"Tally({self.text()})"

    def text(self) -> str:
        """As a person reads it: '94.3 % of 450, 95 % interval 91.8-96.1'."""
        if self.accuracy is None:
            return "no labelled frames"
        low, high = self.interval
        worth = "" if self.effective is None else f" (worth {self.effective:.0f} independent)"
        return (
            f"{100 * self.accuracy:.1f} % of {self.total}{worth}, "
            f"95 % interval {100 * low:.1f}-{100 * high:.1f}"
        )

    def to_json(self) -> Json:
        low, high = self.interval
        data: Json = {
            "correct": self.correct,
            "total": self.total,
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
        }
        return data if self.effective is None else {**data, "effective": self.effective}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        return cls(int(data["correct"]), int(data["total"]), data.get("effective"))


@dataclass(frozen=True)
class Prediction:
    """One answer.

    `scores` are the model's own (dequantized) output, in the order of the card's labels; they sum
    to about 1 and are what sessions log. `confidence` is that of the answer after temperature
    scaling (see confidence.py): the share of such answers that is right, on images like the lab's.
    """

    index: int
    label: str
    confidence: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class TensorInfo:
    """Type of a model's input or output: real = scale * (q - zero_point); scale 0 = float."""

    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TensorInfo:
        return cls(**known_fields(cls, data))


@dataclass(frozen=True)
class Artifact:
    """One exported file, and how it compares with the float Keras model on the lab test images.

    `kind` is read back from the file itself. `agreement` is the share of lab test images with
    the same top-1 as the Keras model; `max_output_error` the largest difference of a score.
    `confidence_error` is the expected calibration error on those images of the scores as they
    are ("raw") and after temperature scaling ("calibrated"), in [0, 1]; None if not measured.
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

    def to_json(self) -> Json:
        return {
            **asdict(self),
            "input": self.input.to_json(),
            "output": self.output.to_json(),
            "lab": self.lab.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        known = known_fields(cls, data)
        known["input"] = TensorInfo.from_json(data["input"])
        known["output"] = TensorInfo.from_json(data["output"])
        known["lab"] = Tally.from_json(data["lab"])
        return cls(**known)


@dataclass(frozen=True)
class LabResult:
    """Float accuracy on the lab's test split. confusion[i][j]: true label i read as label j."""

    tally: Tally
    confusion: tuple[tuple[int, ...], ...]

    def per_class(self, labels: Sequence[str]) -> dict[str, Tally]:
        """Tally of each true class, in the order of `labels`."""
        return {
            label: Tally(row[k], sum(row))
            for k, (label, row) in enumerate(zip(labels, self.confusion, strict=True))
        }

    def to_json(self, labels: Sequence[str]) -> Json:
        return {
            **self.tally.to_json(),
            "confusion": [list(row) for row in self.confusion],
            "per_class": {k: v.to_json() for k, v in self.per_class(labels).items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabResult:
        return cls(Tally.from_json(data), tuple(tuple(map(int, r)) for r in data["confusion"]))


@dataclass(frozen=True)
class Card:
    """What card.json says: of a MODEL folder (no artifacts yet) or of a bundle.

    `prior` are the class shares that the scores assume, in the order of `labels`: those of the
    training images, or other ones when training balanced the classes (then
    training["class_counts"] has the former). `temperature` makes confidence of scores (see
    confidence.py).
    `calibration` is {"count", "sha256"} of the representative images, `training` a summary of
    how the model came about, `parent` the sha256 of the card it was adapted from.
    """

    name: str
    labels: tuple[str, ...]
    input: InputSpec
    lab: LabResult
    prior: tuple[float, ...]
    edgecnn: str
    artifacts: tuple[Artifact, ...] = ()
    temperature: float = 1.0
    calibration: Json | None = None
    camera: Json | None = None
    training: Json = field(default_factory=dict)
    parent: str | None = None
    format: int = CARD_FORMAT

    def to_json(self) -> Json:
        return {
            "format": self.format,
            "edgecnn": self.edgecnn,
            "name": self.name,
            "labels": list(self.labels),
            "input": self.input.to_json(),
            "artifacts": [a.to_json() for a in self.artifacts],
            "lab": self.lab.to_json(self.labels),
            "prior": list(self.prior),
            "temperature": self.temperature,
            "calibration": self.calibration,
            "camera": self.camera,
            "training": self.training,
            "parent": self.parent,
        }

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
            known = known_fields(cls, data)
            known["labels"] = tuple(map(str, data["labels"]))
            known["input"] = InputSpec.from_json(data["input"])
            known["artifacts"] = tuple(map(Artifact.from_json, data["artifacts"]))
            known["lab"] = LabResult.from_json(data["lab"])
            known["prior"] = tuple(map(float, data["prior"]))
            known["temperature"] = float(data.get("temperature", 1.0))
            if not 0.01 <= known["temperature"] <= 100:
                raise ValueError(f"temperature {known['temperature']}, expected 0.01 to 100")
            return cls(**known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"card is not readable ({type(error).__name__}: {error}); export the bundle again"
            ) from error


@dataclass(frozen=True)
class GoldenFrame:
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

    def to_json(self) -> Json:
        return {
            **asdict(self),
            "scores": {k: list(v) for k, v in self.scores.items()},
            "builtin": {k: list(v) for k, v in self.builtin.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GoldenFrame:
        known = known_fields(cls, data)
        for name in ("scores", "builtin"):
            known[name] = {k: tuple(v) for k, v in data.get(name, {}).items()}
        return cls(**known)


def known_fields(cls: Any, data: Mapping[str, Any]) -> Json:
    """The entries of `data` that `cls` has fields for: later versions may add some."""
    return {f.name: data[f.name] for f in fields(cls) if f.name in data}
