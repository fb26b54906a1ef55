"""Read and write the .tflite flatbuffer itself, through TensorFlow's generated schema."""

from __future__ import annotations

import struct
from typing import Any

from edgecnn.errors import ArtifactError

__all__ = ["read_tflite", "schema", "write_tflite"]

# What reading garbage as a flatbuffer raises.
_BROKEN = (struct.error, IndexError, ValueError, TypeError, UnicodeDecodeError)


def schema() -> Any:
    """The generated TFLite schema: ModelT, TensorType, BuiltinOperator, ..."""
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def read_tflite(data: bytes) -> Any:
    """A .tflite file as a ModelT object; what is appended behind the flatbuffer is passed over.

    Raises:
        ArtifactError: Not a TFLite model.
    """
    if data[4:8] != b"TFL3":
        raise ArtifactError("the file is not a TFLite model (no TFL3 mark); export it again")
    try:
        return schema().ModelT.InitFromPackedBuf(data, 0)
    except _BROKEN as error:
        raise ArtifactError("the file is a damaged TFLite model; export it again") from error


def write_tflite(model: Any) -> bytes:
    """A ModelT object as a file, with each buffer's data at a multiple of 16 bytes.

    The schema asks for that (`force_align: 16`) and kernels that map the file rely on it, but
    the generated Python code forgets it.
    """
    import flatbuffers

    class AlignedBuffer(schema().BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802 (the generated code's name)
            data = None
            if self.data is not None:
                raw = bytes(self.data)
                builder.StartVector(1, len(raw), 16)
                builder.head = builder.head - len(raw)
                builder.Bytes[builder.head : builder.head + len(raw)] = raw
                data = builder.EndVector()
            schema().BufferStart(builder)
            if data is not None:
                schema().BufferAddData(builder, data)
            return schema().BufferEnd(builder)

    model.buffers = [AlignedBuffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
