"""The bytes of each format that an export was asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.calibration.choice import Chosen
from edgecnn.export.convert.onnx_convert import (
    convert_onnx,
    embed_onnx_metadata,
    onnx_texts,
    quantization_texts,
    quantize_onnx,
)
from edgecnn.export.convert.tflite_convert import convert_tflite, freeze
from edgecnn.export.convert.tflite_ranges import RangeModel
from edgecnn.export.options import FORMATS, ExportOptions
from edgecnn.export.packing.metadata import embed_tflite_metadata
from edgecnn.model.read import LabModel
from edgecnn.records import Progress

__all__ = ["convert_all"]


def convert_all(
    lab: LabModel, chosen: Chosen, options: ExportOptions, progress: Progress | None = None
) -> tuple[dict[str, bytes], list[str]]:
    """The bytes of each format, and a warning for each that could not be made.

    Raises:
        ModelError: A format can't be made and is one of a choice, or none can.
        ArtifactError: The same, of a file that no runtime takes.
    """
    makers = _makers(lab, chosen, options)
    files, warnings = {}, []
    for k, name in enumerate(options.artifacts):
        if progress:
            progress(f"converting to {name}", k, len(options.artifacts))
        try:
            data = makers[name]()
            load_runtime(data, FORMATS[name])  # converters write files that no runtime takes
            files[name] = data
        except (ModelError, ArtifactError) as error:
            if set(options.artifacts) != set(FORMATS):
                raise
            warnings.append(str(error))
    if not files:
        raise ModelError(warnings[0])
    return files, warnings


def _makers(
    lab: LabModel, chosen: Chosen, options: ExportOptions
) -> dict[str, Callable[[], bytes]]:
    spec, labels = lab.card.input, lab.card.labels
    texts = onnx_texts(labels, spec)
    frozen = cache(partial(freeze, lab.network, spec))
    onnx = cache(partial(convert_onnx, lab.network, spec))

    def tflite(name: str) -> bytes:
        method = chosen.method(name)
        if method == "MinMax":
            pinned = chosen.images.pinned()
            data = convert_tflite(frozen(), name, pinned, options.integer_io)
        else:
            model = RangeModel(frozen(), options.integer_io)
            data = model.quantize(model.measure(chosen.images.tensors), method=method)
        return embed_tflite_metadata(data, options.name or lab.card.name, labels, spec)

    def onnx_float() -> bytes:
        return embed_onnx_metadata(onnx(), texts)

    def onnx_integer() -> bytes:
        method = chosen.method("onnx-full-integer")
        images = chosen.onnx_images()
        data, *infos = quantize_onnx(onnx(), images, options.integer_io, method=method)
        return embed_onnx_metadata(data, {**texts, **quantization_texts(*infos)})

    return {
        **{name: partial(tflite, name) for name in FORMATS if name.startswith("tflite-")},
        "onnx-float32": onnx_float,
        "onnx-full-integer": onnx_integer,
    }
