"""Labels and preprocessing inside the .tflite, as the TFLite metadata standard wants them.

Two parts: a ModelMetadata flatbuffer (file identifier M001) in the model's metadata under the
name TFLITE_METADATA, and the files it names, appended to the model as an uncompressed zip. So
`python -m zipfile -l model.tflite` lists them, and MediaPipe Tasks reads the class names. Nothing
that today's Python can install writes this flatbuffer: it is written by slot number here.

Source: metadata_schema.fbs 1.5.0, in TensorFlow Lite Support and in MediaPipe.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from edgecnn.bundle.spec import InputSpec
from edgecnn.export.packing.flatbuffer import read_tflite, schema, write_tflite

__all__ = [
    "INPUT_FILE",
    "LABELS_FILE",
    "embed_tflite_metadata",
    "own_program",
    "preprocessing_text",
]

_RESIZE = {
    "stretch": "Resize the whole image to {size}, whatever its aspect ratio.",
    "letterbox": (
        "Scale the whole image by min({width} / width, {height} / height), each side rounded half "
        "up, and centre it on a {size} canvas of colour {pad} (the odd pixel goes right and below)."
    ),
    "center_crop": (
        "Cut out the largest centred window of the aspect ratio {width}:{height} (one side whole, "
        "the other rounded half up, starting at (side - window) // 2) and resize it to {size}."
    ),
}
_HALVING = (
    "To resize: while the image is at least twice too wide and twice too high, cut it to even "
    "sides and halve it (cv2.resize, INTER_LINEAR: the mean of 2x2 pixels); then cv2.resize "
    "with INTER_LINEAR to the size, unless it has that size already."
)

LABELS_FILE, INPUT_FILE = "labels.txt", "input.json"
_PROGRAM = "classify.py"
# Numbers of the schema's enums and unions.
_DESCRIPTIONS, _TENSOR_AXIS_LABELS = 1, 2
_RGB = 1
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1
_NORMALIZATION_OPTIONS = 1
_MIN_PARSER_VERSION = "1.0.0"


def embed_tflite_metadata(
    data: bytes, name: str, labels: tuple[str, ...], spec: InputSpec
) -> bytes:
    """Put the metadata and its files into a .tflite model that has none; it runs as before.

    It also gets the signature serving_default, with the input "image" and the output "scores", by
    which LiteRT's newer interfaces and ai-edge-quantizer address a model.

    Args:
        labels: In the order of the scores.
    """
    model = read_tflite(data)
    if not model.signatureDefs:
        model.signatureDefs = [_signature(model)]
    metadata = _model_metadata(name, labels, spec)
    entry = schema().MetadataT("TFLITE_METADATA", len(model.buffers))
    model.buffers.append(schema().BufferT(metadata))
    model.metadata = [*(model.metadata or []), entry]
    files = {
        LABELS_FILE: "".join(f"{label}\n" for label in labels),
        INPUT_FILE: _input_json(labels, spec),
    }
    stream = io.BytesIO(write_tflite(model))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            # A ZipInfo without a time: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def own_program() -> dict[str, bytes]:
    """The program that runs a .tflite file by this metadata without edgecnn, by its file name."""
    return {_PROGRAM: (Path(__file__).parent / _PROGRAM).read_bytes()}


def _signature(model: Any) -> Any:
    graph = model.subgraphs[0]
    signature = schema().SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = (
        [_named(name, ends[0])]
        for name, ends in (("image", graph.inputs), ("scores", graph.outputs))
    )
    return signature


def _named(name: str, index: int) -> Any:
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), int(index)
    return entry


def preprocessing_text(spec: InputSpec) -> str:
    """One paragraph: from an image file to the input tensor, and from the output to the class."""
    size = f"{spec.width}x{spec.height} (width x height)"
    resize = _RESIZE[spec.resize].format(
        size=size, width=spec.width, height=spec.height, pad=list(spec.pad or ())
    )
    direct = f"To resize: cv2.resize with INTER_{spec.interpolation.upper()}."
    return " ".join(
        (
            "Decode the image to 8 bits a channel, upright by its EXIF orientation.",
            resize,
            _HALVING if spec.interpolation == "halving" else direct,
            f"The input is [1, {spec.height}, {spec.width}, 3] in R, G, B order, raw values 0 to "
            "255: no mean is subtracted and nothing is divided, the model does that itself.",
            "A float32 input takes the same values as floats; an integer input takes "
            "round(value / scale) + zero_point (for uint8 the value itself).",
            "The output holds one score for each line of the labels, 0 to 1; an integer output "
            "stands for (q - zero_point) * scale. The class is the highest score; of equal ones "
            "the first.",
        )
    )


def _input_json(labels: tuple[str, ...], spec: InputSpec) -> str:
    """The input spec, the labels and the text as one JSON object."""
    return json.dumps(
        {**spec.to_json(), "labels": list(labels), "preprocessing": preprocessing_text(spec)},
        indent=1,
        ensure_ascii=False,
    )


def _model_metadata(name: str, labels: tuple[str, ...], spec: InputSpec) -> bytes:
    import flatbuffers

    writer = _Writer(flatbuffers.Builder(1024))
    text = preprocessing_text(spec)
    subgraph = writer.table(
        10,
        {2: writer.tables([_input(writer, text)]), 3: writer.tables([_output(writer, labels)])},
    )
    described = writer.table(
        5,
        {0: writer.text(INPUT_FILE), 1: writer.text("How an image becomes the input")},
        {2: _DESCRIPTIONS},
    )
    root = writer.table(
        8,
        {
            0: writer.text(name),
            1: writer.text(f"Image classifier made by edgecnn. {text}"),
            3: writer.tables([subgraph]),
            6: writer.tables([described]),
            7: writer.text(_MIN_PARSER_VERSION),
        },
    )
    writer.builder.Finish(root, file_identifier=b"M001")
    return bytes(writer.builder.Output())


def _input(writer: _Writer, text: str) -> int:
    """TensorMetadata of the image: RGB, raw 0..255, that is mean 0 and standard deviation 1."""
    image = writer.table(2, {}, {0: _RGB})
    content = writer.table(3, {1: image}, {0: _IMAGE_PROPERTIES})
    options = writer.table(2, {0: writer.floats([0.0]), 1: writer.floats([1.0])})
    unit = writer.table(2, {1: options}, {0: _NORMALIZATION_OPTIONS})
    return writer.table(
        7,
        {
            0: writer.text("image"),
            1: writer.text(text),
            3: content,
            4: writer.tables([unit]),
            5: writer.table(2, {0: writer.floats([255.0]), 1: writer.floats([0.0])}),
        },
    )


def _output(writer: _Writer, labels: tuple[str, ...]) -> int:
    """TensorMetadata of the scores, with the label file of its axis."""
    content = writer.table(3, {1: writer.table(0, {})}, {0: _FEATURE_PROPERTIES})
    file = writer.table(
        5,
        {0: writer.text(LABELS_FILE), 1: writer.text("One label a line")},
        {2: _TENSOR_AXIS_LABELS},
    )
    return writer.table(
        7,
        {
            0: writer.text("scores"),
            1: writer.text(f"One score, 0 to 1, for each of {len(labels)} classes"),
            3: content,
            5: writer.table(2, {0: writer.floats([1.0]), 1: writer.floats([0.0])}),
            6: writer.tables([file]),
        },
    )


class _Writer:
    """Tables by slot number, on top of the flatbuffers builder."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def floats(self, values: list[float]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())

    def tables(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(
        self, num_slots: int, offsets: dict[int, int], numbers: dict[int, int] | None = None
    ) -> int:
        """A table: references and one-byte enum values, by slot."""
        self.builder.StartObject(num_slots)
        for slot, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in (numbers or {}).items():
            self.builder.PrependUint8Slot(slot, number, 0)
        return int(self.builder.EndObject())
