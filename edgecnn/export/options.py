"""The options of `export`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from edgecnn.accuracy.thing_rule import THINGS_OF_IMAGES, LabThings
from edgecnn.bundle.artifacts import EXPORT_FORMATS, FULL_INTEGER, INT16, ONNX_FULL_INTEGER
from edgecnn.bundle.spec import Interpolation, Resize
from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["DEFAULT_FORMATS", "FORMATS", "MICRO", "Color", "ExportOptions", "Normalize"]

FORMATS = {one.name: one.file for one in EXPORT_FORMATS}
# An int16 file takes some 100 times as long as the float one: it is made on request only.
DEFAULT_FORMATS = tuple(name for name in FORMATS if name != INT16.name)
MICRO = "micro"  # the full-integer model as a C array
# The words of the field for these formats.
_WORDS = {
    "all": tuple(FORMATS),
    "tflite": tuple(n for n in DEFAULT_FORMATS if n.startswith("tflite")),
    "onnx": tuple(n for n in DEFAULT_FORMATS if n.startswith("onnx")),
    "int8": (FULL_INTEGER.name,),
    **{n.removeprefix("tflite-"): (n,) for n in FORMATS if n.startswith("tflite-")},
    "fp32": ("tflite-float32",),
    "fp16": ("tflite-float16",),
}
# What --integer-io shapes and --repair mends; the 16-bit file follows the first.
_INTEGER = (FULL_INTEGER.name, ONNX_FULL_INTEGER.name)
_COUNTS = (50, 100, 200, 500)
Normalize = Literal["none", "unit", "minus_one_one", "imagenet", "caffe"]
Color = Literal["rgb", "bgr", "grey"]

# What describes a Keras file of the user's own, beside its images.
_OF_A_FILE = (
    *("manifest", "labels", "normalize", "color", "grey", "width", "height", "resize"),
    *("interpolation", "custom"),
)


@dataclass(frozen=True)
class ExportOptions:
    """How to export; `name` is the card's name, None keeps the model's.

    Of the whole set of formats, one that the network can't be brought to is left out with a
    warning; in a choice of your own it is an error.
    """

    formats: tuple[str, ...] = option(
        DEFAULT_FORMATS,
        "Write only these formats, with commas between them. tflite-full-integer is int8; micro is "
        "the same as a C array for TFLite Micro; tflite-int16 runs about 100 times as long as "
        "float. Short: int8, float32, float16, int16, tflite, onnx, all.",
        panel="Formats",
        choices=(*FORMATS, MICRO, *_WORDS),
        metavar="LIST",
        shown="all but tflite-int16 and micro",
    )
    integer_io: Literal["uint8", "int8"] = option(
        "uint8", "Type of the input and output of full-integer files."
    )
    edgetpu: Literal["auto", "off"] = option(
        "auto", "Run Google's edgetpu_compiler when it is on PATH, or never."
    )
    max_drop: float | None = option(
        None,
        "Return status 1 when a file loses more than this many points of lab accuracy.",
        panel="Accuracy",
        low=0,
        high=100,
        metavar="POINTS",
    )
    things: LabThings | None = option(None, THINGS_OF_IMAGES, shown="as in the training")
    repair: bool = option(
        False,
        "Repair integer files that lose accuracy, and calibration sets that would be refused; the "
        "report says how.",
    )
    integer_only: bool = option(
        False,
        "With --repair: no step that leaves layers in float or 16 bits, as an Edge TPU needs.",
    )
    video_step: int | None = option(
        None,
        "Take every Nth frame of a video given as --calibration.",
        panel="Choice of the calibration images",
        low=1,
        shown="300 frames of each, evenly",
    )
    compare: bool = option(False, "Try each calibration folder and their union, and take the best.")
    compare_counts: tuple[int, ...] = option(
        _COUNTS,
        "With --compare: try this many images, with commas between the numbers.",
        low=1,
        high=2000,
        metavar="LIST",
    )
    field: Path | None = option(
        None,
        "With --compare: judge by these unlabelled field images.",
        metavar="FOLDER",
        shown="some of each calibration folder",
    )
    lab: Path | None = option(
        None,
        "Labelled test images, one folder a class, that the file was not trained on.",
        panel="A Keras file of your own (.keras, .h5 or SavedModel)",
        metavar="FOLDER",
    )
    manifest: Path | None = option(
        None,
        "A CSV file with a column file and a column label for the images of --lab.",
        metavar="FILE.csv",
        shown="the class folders",
    )
    labels: Path | None = option(
        None,
        "A text file with one label a line, in the order of the scores.",
        metavar="FILE",
        shown="the class folders, sorted",
    )
    normalize: Normalize = option("none", "What it expects of pixel values.")
    color: Color = option("rgb", "Channel order that it expects; grey is one channel.")
    grey: bool = option(False, "Short for --color grey.")
    width: int | None = option(None, "Input width, when the file leaves it open.", low=1, high=4096)
    height: int | None = option(
        None, "Input height, when the file leaves it open.", low=1, high=4096
    )
    resize: Resize = option("stretch", "How a frame of another shape becomes the input.")
    interpolation: Interpolation = option(
        "halving", "How pixels are computed when a frame is resized."
    )
    custom: str | None = option(
        None, "Import this module, which defines the file's own layers.", metavar="MODULE"
    )
    name: str | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.grey:
            object.__setattr__(self, "color", "grey")
        named = [name for word in self.formats for name in _WORDS.get(word, (word,))]
        object.__setattr__(self, "formats", tuple(dict.fromkeys(named)))
        object.__setattr__(self, "compare_counts", tuple(sorted(set(self.compare_counts))))
        if not self.formats or not self.compare_counts:
            raise OptionError("--formats or --compare-counts names nothing; name one at least")
        if MICRO in self.formats and FULL_INTEGER.name not in self.formats:
            raise OptionError(
                f"--formats has {MICRO}, which is made of {FULL_INTEGER.name}; name both"
            )
        if self.integer_only and not self.repair:
            raise OptionError("--integer-only limits the repairs; add --repair or leave it out")
        self._check_integer()
        counted = self.compare_counts != _COUNTS
        if not self.compare and (counted or self.field is not None):
            raise OptionError(
                f"{'--compare-counts' if counted else '--field'} says how to compare calibration "
                "sets; add --compare or leave it out"
            )
        own = [f.name for f in fields(self) if getattr(self, f.name) != f.default]
        odd = [name for name in own if name in _OF_A_FILE]
        if self.lab is None and odd:
            raise OptionError(
                f"--{odd[0]} describes a Keras file of your own, which needs its test images; name "
                "their folder with --lab, or leave it out for a MODEL folder"
            )

    def _check_integer(self) -> None:
        """Refuse what is about integer files where none is made.

        Raises:
            OptionError: It is given.
        """
        ends = self.integer_io != ExportOptions.integer_io
        given = f"--integer-io {self.integer_io}" if ends else "--repair"
        if (ends or self.repair) and not set(_INTEGER) & set(self.formats):
            raise OptionError(
                f"{given} is about full-integer files, but --formats names neither "
                f"{' nor '.join(_INTEGER)}; name one or leave it out"
            )

    @property
    def whole(self) -> bool:
        """Whether the usual formats are all among those asked for: what fails is then left out."""
        return set(DEFAULT_FORMATS) <= set(self.formats)

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The formats that become artifacts of the bundle: all but micro."""
        return tuple(name for name in self.formats if name != MICRO)
