"""The Edge TPU compiler, as far as it can be had: a program of its name, its logs, its files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from edgecnn.bundle.edgetpu.mapping import predict_edgetpu
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import EdgecnnError
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.result import ExportResult
from edgecnn.export.targets.edgetpu import parse_report

TWIN = "model_full_integer_quant.tflite"
COMPILED = "model_full_integer_quant_edgetpu.tflite"
ONE = ("tflite-full-integer",)

# As published in google-coral/edgetpu#342 and other threads of that project.
PUBLISHED = """Edge TPU Compiler version 15.0.340273435
Input: model.tflite
Output: ./EdgeTPU/model_edgetpu.tflite

Operator                       Count      Status

TRANSPOSE                      70         Operation not supported
FULLY_CONNECTED                1          More than one subgraph is not supported
PAD                            1          Mapped to Edge TPU
PAD                            17         More than one subgraph is not supported
QUANTIZE                       1          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
DEQUANTIZE                     2          Operation is working on an unsupported data type
RESIZE_NEAREST_NEIGHBOR        1          Operation version not supported
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """A program `edgetpu_compiler`, alone in its folder."""
    program = tmp_path_factory.mktemp("bin") / "edgetpu_compiler"
    script = Path(__file__).with_name("fake_edgetpu_compiler.py")
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(0o755)
    return program


def put_on_path(program: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def compiler(program, monkeypatch):
    """Puts the program on PATH; gives what sets its mode."""
    put_on_path(program, monkeypatch)
    return lambda mode: monkeypatch.setenv("FAKE_COMPILER", mode)


@pytest.fixture
def export_one(small_model, small_field, tmp_path):
    def run(**options):
        target = tmp_path / "one.edgecnn"
        return export(small_model, small_field, target, ExportOptions(ONE, **options))

    return run


@pytest.fixture(scope="module")
def compiled(program, small_model, small_field, tmp_path_factory) -> ExportResult:
    """An export with a compiler that does well."""
    target = tmp_path_factory.mktemp("compiled") / "one.edgecnn"
    with pytest.MonkeyPatch.context() as patch:
        put_on_path(program, patch)
        return export(small_model, small_field, target, ExportOptions(ONE))


def test_a_published_log_is_read_line_by_line():
    report = parse_report(PUBLISHED)
    assert report.version == "15.0.340273435"
    assert (report.mapped, report.total) == (2, 94)
    statuses = {(row.operator, row.count): row.status for row in report.rows}
    assert statuses[("TRANSPOSE", 70)] == "Operation not supported"
    assert statuses[("DEQUANTIZE", 2)].endswith("an unsupported data type")
    assert "70 TRANSPOSE: Operation not supported" in report.to_text()
    assert report.off_chip is None


@pytest.mark.parametrize("log", ["", "Model not quantized", "Operator  Count  Status\n"])
def test_a_log_without_a_table_has_no_rows(log):
    assert parse_report(log).rows == ()


def test_the_compiled_file_joins_the_bundle_with_its_twins_figures(compiled):
    bundle = Bundle.open(compiled.bundle)
    twin, mine = bundle.artifact(TWIN), bundle.artifact(COMPILED)
    assert mine.kind == "edgetpu"
    assert (mine.lab, mine.input) == (twin.lab, twin.input)
    assert mine.sha256 != twin.sha256
    assert b"edgetpu-custom-op" in bundle.read(COMPILED)
    for frame in bundle.golden():
        assert frame.scores[COMPILED] == frame.scores[TWIN]
    assert bundle.artifact().file == TWIN  # a CPU can't run the other one
    text = compiled.to_text()
    assert "9 of 9 operations mapped by edgetpu_compiler 16.0.384591198" in text
    assert f"not run here: figures are {TWIN}'s" in text
    (row,) = [line for line in text.splitlines() if line.startswith(f"{COMPILED} ")]
    assert row.endswith("twin's")


def test_the_report_and_the_prediction_are_kept_in_the_bundle(compiled):
    bundle = Bundle.open(compiled.bundle)
    kinds = json.loads(bundle.read("quantization.json"))["kinds"]
    assert kinds[TWIN]["edgetpu"]["predicted"] is True
    assert kinds[TWIN]["edgetpu"] == predict_edgetpu(bundle.read(TWIN)).to_json()
    assert kinds[COMPILED]["compiler"]["on_chip"] == round(4.21 * 1024**2)
    assert kinds[COMPILED]["compiler"]["off_chip"] == 0
    assert kinds[COMPILED]["twin"] == TWIN


def test_operations_that_stay_on_the_cpu_are_told_with_the_compilers_reason(compiler, export_one):
    compiler("partly")
    result = export_one()
    assert result.artifacts[-1].kind == "edgetpu+cpu"
    text = result.to_text()
    assert "6 of 10 operations mapped" in text
    assert "1 HARD_SWISH: Operation not supported" in text
    assert "7.0 MB of parameters are streamed" in text


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("refuse", "ended with status 1 (Model not quantized)"),
        ("silent", "ended with status 0 (no message)"),
        ("garbage", "wrote a file that is no TFLite model"),
        ("nothing", "mapped no operation at all"),
    ],
)
def test_a_compiler_that_fails_costs_only_its_own_file(compiler, export_one, mode, reason):
    compiler(mode)
    result = export_one()
    assert [a.file for a in result.artifacts] == [TWIN]
    (warning,) = [w for w in result.warnings if "edgetpu_compiler" in w]
    assert reason in warning
    assert "\n" not in warning


def test_switched_off_or_absent_the_compiler_is_not_run(compiler, export_one, monkeypatch):
    compiler("refuse")
    result = export_one(edgetpu="off")
    assert not any("compiler" in warning for warning in result.warnings)
    monkeypatch.setenv("PATH", "/nowhere")
    assert [a.file for a in export_one().artifacts] == [TWIN]
    assert "Edge TPU (predicted): 9 of 9 operations map" in result.to_text()


def test_another_word_for_the_compiler_is_refused():
    with pytest.raises(EdgecnnError, match="edgetpu is 'on', expected auto or off"):
        ExportOptions(edgetpu="on")
