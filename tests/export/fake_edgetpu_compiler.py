"""Stands in for Google's edgetpu_compiler: takes its arguments, prints its log, writes its files.

The environment variable FAKE_COMPILER chooses: "mapped" (by default), "partly", "nothing" (the
model comes back as it was), "refuse", "garbage", or "silent" (says nothing and writes nothing).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HEAD = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1524 ms.

Input model: {source}
Input size: 94.50KiB
Output model: {target}
Output size: 153.30KiB
On-chip memory used for caching model parameters: 4.21MiB
On-chip memory remaining for caching model parameters: 3.29MiB
Off-chip memory used for streaming uncached model parameters: {streamed}
Number of Edge TPU subgraphs: 1
Total number of operations: 9
Operation log: {log}
"""
PARTLY = """
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of \
the model will instead run on the CPU, which is slower. If possible, consider updating your model \
to use only operations supported by the Edge TPU. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 6
Number of operations that will run on CPU: 3
"""
TABLE = """
Operator                       Count      Status

CONV_2D                        2          Mapped to Edge TPU
MAX_POOL_2D                    2          Mapped to Edge TPU
RESHAPE                        1          Mapped to Edge TPU
{rest}
"""
REST = {
    "mapped": "FULLY_CONNECTED                1          Mapped to Edge TPU\n"
    "SOFTMAX                        1          Mapped to Edge TPU\n"
    "QUANTIZE                       2          Mapped to Edge TPU",
    "partly": "HARD_SWISH                     1          Operation not supported\n"
    "FULLY_CONNECTED                1          More than one subgraph is not supported\n"
    "DEQUANTIZE                     1          Operation is working on an unsupported data type\n"
    "QUANTIZE                       1          Operation is otherwise supported, but not mapped "
    "due to some unspecified limitation\n"
    "QUANTIZE                       1          Mapped to Edge TPU",
}
TAIL = """Compilation child process completed within timeout period.
Compilation succeeded!
"""


def compiled(data: bytes, *, whole: bool) -> bytes:
    """The model with its operations (all, or all but the last) put into one custom operation."""
    import flatbuffers

    from edgecnn.bundle.tflite_file import schema

    s = schema()
    model = s.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    code = s.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = s.BuiltinOperator.CUSTOM, 32
    code.customCode, code.version = b"edgetpu-custom-op", 1
    model.operatorCodes.append(code)
    last = graph.operators[-1]
    op = s.OperatorT()
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.inputs = graph.inputs
    op.outputs = graph.outputs if whole else last.inputs[:1]
    op.customOptions = list(b"stub")
    graph.operators = [op] if whole else [op, last]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> int:
    mode = os.environ.get("FAKE_COMPILER", "mapped")
    arguments = sys.argv[1:]
    source, folder = Path(arguments[-1]), Path(arguments[arguments.index("-o") + 1])
    assert "-s" in arguments
    target = folder / f"{source.stem}_edgetpu.tflite"
    if mode == "silent":
        return 0
    if mode == "refuse":
        print("Edge TPU Compiler version 16.0.384591198")
        print("Invalid model: " + str(source), "Model not quantized", sep="\n")
        return 1
    streamed = "0.00B" if mode == "mapped" else "6.63MiB"
    log = target.with_suffix(".log")
    text = HEAD.format(source=source, target=target, streamed=streamed, log=log)
    text += PARTLY if mode == "partly" else ""
    text += TABLE.format(rest=REST.get(mode, REST["mapped"])) + TAIL
    log.write_text(text)
    print(text)
    data = source.read_bytes()
    if mode == "garbage":
        data = b"\0" * 100
    elif mode != "nothing":
        data = compiled(data, whole=mode == "mapped")
    target.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
