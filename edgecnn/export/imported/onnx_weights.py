"""Weights that an .onnx file keeps in another file beside it, as PyTorch writes them."""

from __future__ import annotations

from pathlib import Path

from edgecnn.errors import ModelError

__all__ = ["with_own_weights"]


def with_own_weights(data: bytes, file: Path) -> bytes:
    """The .onnx file with all of its weights inside; as it is where it has them already.

    Args:
        data: The bytes of `file`, which may be damaged: whoever reads the graph says so.

    Raises:
        ModelError: The file with the weights is not there, or not whole.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import checker, external_data_helper

    try:
        model = onnx.load_from_string(data)
    except DecodeError:
        return data
    outside = [
        one for one in model.graph.initializer if external_data_helper.uses_external_data(one)
    ]
    if not outside:
        return data
    names = {entry.value for entry in outside[0].external_data if entry.key == "location"}
    try:
        external_data_helper.load_external_data_for_model(model, str(file.parent))
    except (OSError, ValueError, checker.ValidationError) as error:
        raise ModelError(
            f"{file} keeps its weights in another file, {', '.join(names)}, which is not beside it "
            "or not whole; copy both files, or save it as one: onnx.save(onnx.load(FILE), NEW_FILE)"
        ) from error
    return bytes(model.SerializeToString())
