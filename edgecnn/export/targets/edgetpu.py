"""Google's `edgetpu_compiler`, run where it is installed, and what its log says.

It is a program for x86-64 Debian and not a Python package, so nothing here installs it. The
compiled file can't run without the chip: its figures in the card are those of the uncompiled twin
that it was made of, until a device compares the two (`edgecnn doctor --device edgetpu`).

Source of the log's form: coral.ai/docs/edgetpu/compiler, and logs of versions 14.1, 15.0 and 16.0.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecnn.bundle.artifacts import FULL_INTEGER, compiled_of
from edgecnn.bundle.card import Artifact
from edgecnn.errors import ArtifactError, ModelError
from edgecnn.export.readback.check import Checked
from edgecnn.export.readback.kinds import read_kind
from edgecnn.records import Record, computed

__all__ = ["Compiled", "CompilerReport", "CompilerRow", "compile_twin", "parse_report"]

_COMPILER = "edgetpu_compiler"
_TWIN = FULL_INTEGER.file
_TIMEOUT_S = 300.0  # its own limit is 180 s
_MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class CompilerRow:
    """A line of the table: so many operations of this name, and what became of them."""

    operator: str
    count: int
    status: str

    @property
    def mapped(self) -> bool:
        return self.status == _MAPPED


@dataclass(frozen=True)
class CompilerReport(Record):
    """The compiler's log. Sizes in bytes; None where the log has no such line.

    on_chip, off_chip: parameters kept in the chip's memory, and those sent to it each time.
    """

    version: str
    rows: tuple[CompilerRow, ...]
    subgraphs: int | None = None
    on_chip: int | None = None
    off_chip: int | None = None

    @property
    @computed
    def mapped(self) -> int:
        return sum(row.count for row in self.rows if row.mapped)

    @property
    @computed
    def total(self) -> int:
        return sum(row.count for row in self.rows)

    def to_text(self) -> str:
        """One line: what mapped, and why the rest did not."""
        text = f"{self.mapped} of {self.total} operations mapped by edgetpu_compiler {self.version}"
        left = [f"{r.count} {r.operator}: {r.status}" for r in self.rows if not r.mapped]
        if self.off_chip:
            left.append(f"{self.off_chip / 1e6:.1f} MB of parameters are streamed")
        return "; ".join([text, *left])


@dataclass(frozen=True)
class Compiled:
    """The compiled twin of an artifact, with the log's report."""

    artifact: Artifact
    data: bytes
    report: CompilerReport
    twin: str


def compile_twin(checked: Sequence[Checked], edgetpu: str = "auto") -> Compiled | None:
    """Compile the full-integer model for the Edge TPU, if the compiler is on PATH.

    Returns:
        None where there is nothing to do: off, no compiler, or no full-integer .tflite.

    Raises:
        ModelError: The compiler refused the model, crashed, hung, or left no compiled file.
    """
    program = shutil.which(_COMPILER) if edgetpu == "auto" else None
    twin = next((c for c in checked if c.artifact.file == _TWIN), None)
    if program is None or twin is None:
        return None
    data, log = _run(program, twin.data)
    report = parse_report(log)
    try:
        kind = read_kind(data)
    except ArtifactError as error:
        raise _refusal("wrote a file that is no TFLite model") from error
    if not kind.startswith("edgetpu"):
        raise _refusal("mapped no operation at all")
    artifact = replace(
        twin.artifact,
        file=compiled_of(_TWIN),
        kind=kind,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        time_ratio=None,  # it runs on the chip, not here
    )
    return Compiled(artifact, data, report, _TWIN)


def parse_report(log: str) -> CompilerReport:
    """Read a log of `edgetpu_compiler -s`, or its _edgetpu.log file.

    Example:
        >>> parse_report("Operator  Count  Status\\n\\nCONV_2D  3  Mapped to Edge TPU\\n").mapped
        3
    """
    _, _, below = log.partition("Operator")
    rows = re.findall(r"^\s*([A-Z][\w-]*) {2,}(\d+) {2,}(\S.*?)\s*$", below, flags=re.M)
    version = re.search(r"Edge TPU Compiler version (\S+)", log)
    subgraphs = re.search(r"Number of Edge TPU subgraphs: (\d+)", log)
    return CompilerReport(
        version=version[1] if version else "of unknown version",
        rows=tuple(CompilerRow(name, int(count), status) for name, count, status in rows),
        subgraphs=int(subgraphs[1]) if subgraphs else None,
        on_chip=_size(log, "On-chip memory used for caching model parameters"),
        off_chip=_size(log, "Off-chip memory used for streaming uncached model parameters"),
    )


def _size(log: str, what: str) -> int | None:
    found = re.search(re.escape(what) + r": ([\d.]+)\s?([KMG]?i?B)", log)
    return round(float(found[1]) * _UNITS[found[2]]) if found else None


def _run(program: str, data: bytes) -> tuple[bytes, str]:
    """(compiled file, log) of a model."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, _TWIN)
        source.write_bytes(data)
        command = [program, "-s", "-o", folder, str(source)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise _refusal(f"gave no answer in {_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise _refusal(f"can't be started ({error.strerror or error})") from error
        log = f"{done.stdout}\n{done.stderr}"
        target = source.with_name(compiled_of(_TWIN))
        if done.returncode or not target.is_file():
            raise _refusal(f"ended with status {done.returncode} ({_reason(log)})")
        return target.read_bytes(), log


def _reason(log: str) -> str:
    """The log's line that tells: "ERROR: ...", "Model not quantized", "Internal compiler error"."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [li for li in lines if re.search(r"error|not |invalid|unsupported", li, re.I)]
    return (telling or lines or ["no message"])[-1][:200]


def _refusal(what: str) -> ModelError:
    return ModelError(
        f"{_COMPILER} {what}, so the bundle has no compiled file; install it again, or choose "
        "--edgetpu off"
    )
