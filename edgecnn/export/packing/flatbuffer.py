"""Write the .tflite flatbuffer itself; `edgecnn.bundle.tflite_file` reads it."""

from __future__ import annotations

from typing import Any

from edgecnn.bundle.tflite_file import read_tflite, schema

__all__ = ["read_tflite", "schema", "write_tflite"]


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
