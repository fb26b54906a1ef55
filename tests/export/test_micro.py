"""The C array for TFLite Micro: the bundle's own network, runnable by TFLite Micro itself."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.bundle.tflite_file import read_graph
from edgecnn.errors import ModelError, OptionError
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.export import ExportOptions
from edgecnn.export.targets import micro
from edgecnn.export.targets.micro import MICRO_FILES, make_micro
from edgecnn.export.targets.micro_model import arena_bytes, planned_bytes, to_int8_io
from edgecnn.model.tflite_network import freeze

HERE = Path(__file__).parent
INTEGER = "model_full_integer_quant.tflite"
FORMATS = ("tflite-full-integer", "micro")


@pytest.fixture(scope="module")
def result(small_export):
    return small_export("micro", ExportOptions(formats=FORMATS))


@pytest.fixture(scope="module")
def array(result) -> bytes:
    """The bytes that stand in the .cc file."""
    text = (result.bundle / MICRO_FILES[0]).read_text()
    body = re.search(r"g_model_data\[\] = \{(.*?)\};", text, re.DOTALL)[1]
    return bytes(map(int, re.findall(r"\d+", body)))


def lab_tensors(model: Path, count: int) -> np.ndarray:
    with np.load(model / "lab_test.npz") as arrays:
        return arrays["tensors"][:count]


def test_the_array_is_the_artifact_with_int8_ends(result, array, small_model):
    """Not one score differs: the conversion of uint8 at the ends is all that was cut off."""
    artifact = Bundle.open(result.bundle).read(INTEGER)
    assert hashlib.sha256(array).hexdigest() == result.micro.sha256
    mine, theirs = load_runtime(array, "a.tflite"), load_runtime(artifact, INTEGER)
    assert (mine.input.dtype, mine.output.dtype) == ("int8", "int8")
    assert (theirs.input.dtype, theirs.output.dtype) == ("uint8", "uint8")
    for tensor in lab_tensors(small_model, 200):
        assert np.array_equal(mine.invoke(tensor), theirs.invoke(tensor))
    assert result.micro.lab == result.artifacts[0].lab
    assert len(array) == result.micro.bytes < len(artifact)
    assert b"labels.txt" not in array, "metadata costs flash"


def test_a_model_with_int8_ends_is_taken_as_it_is(small_model, small_int8, array):
    assert small_int8.micro is not None
    artifact = Bundle.open(small_int8.bundle).read(INTEGER)
    first, second = load_runtime(to_int8_io(artifact), "a.tflite"), load_runtime(array, "b.tflite")
    for tensor in lab_tensors(small_model, 50):
        assert np.array_equal(first.invoke(tensor), second.invoke(tensor))


def test_the_header_registers_each_operation_once(result, array):
    header = (result.bundle / MICRO_FILES[1]).read_text()
    added = re.findall(r"resolver\.(Add\w+)\(\);", header)
    assert f"MicroMutableOpResolver<{len(added)}>" in header
    assert added == ["AddConv2D", "AddMaxPool2D", "AddReshape", "AddFullyConnected", "AddSoftmax"]
    used = {op.name for op in read_graph(array).operations}
    assert len(used) == len(added)
    assert f"kModelArenaBytes = {result.micro.arena_bytes};" in header


def test_both_files_are_sealed_and_reported(result):
    assert set(MICRO_FILES) <= Bundle.open(result.bundle).files.keys()
    data = json.loads(json.dumps(result.to_json()))
    assert data["micro"]["files"] == list(MICRO_FILES)
    assert [a["file"] for a in data["artifacts"]] == [INTEGER]
    assert "TFLite Micro" in result.to_text()


def test_it_is_not_among_what_export_writes_by_itself(small_result):
    assert small_result.micro is None
    assert not any(p.suffix == ".cc" for p in small_result.bundle.iterdir())
    assert "micro" not in small_result.to_json()


def test_it_is_refused_without_the_integer_model_that_it_is_made_of():
    with pytest.raises(OptionError, match="name both"):
        ExportOptions(formats=("tflite-float32", "micro"))


def test_a_float_model_and_an_unknown_operation_are_refused(small_result, array, monkeypatch):
    with pytest.raises(ModelError, match="expected int8 on both sides"):
        to_int8_io((small_result.bundle / "model_float32.tflite").read_bytes())
    monkeypatch.setattr(micro, "_SUPPORTED", "CONV_2D MAX_POOL_2D RESHAPE SOFTMAX")
    from edgecnn.export.readback.check import check_artifact
    from edgecnn.model.read import LabTest

    classes = np.eye(10, dtype=np.float32)[:1]
    test = LabTest(np.zeros((1, 24, 20, 3), np.uint8), np.zeros(1, int), classes, *2 * (classes,))
    card = Bundle.open(small_result.bundle).card
    with pytest.raises(ModelError, match="has no FULLY_CONNECTED"):
        make_micro(check_artifact(array, "a.tflite", test), card)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiler_makes_the_same_bytes_of_it(result, array, tmp_path):
    program = f"""
#include <cstdint>
#include <cstdio>
#include "{MICRO_FILES[1]}"
int main() {{
  if (reinterpret_cast<std::uintptr_t>(g_model_data) % 16) return 1;
  for (std::size_t k = 0; k < kModelNumLabels; ++k)
    std::fprintf(stderr, "%s\\n", g_model_labels[k]);
  return std::fwrite(g_model_data, 1, g_model_data_len, stdout) != g_model_data_len;
}}
"""
    (tmp_path / "main.cc").write_text(program)
    command = ["g++", "-std=c++11", "-Wall", "-Werror", f"-I{result.bundle}", "-o", "main"]
    sources = ["main.cc", result.bundle / MICRO_FILES[0]]
    subprocess.run([*command, *sources], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout == array
    assert done.stderr.decode().split() == [str(k) for k in range(10)]


def run_micro(python: Path, model: Path, arena: int, tensors: np.ndarray, folder: Path):
    """int8 outputs of TFLite Micro, shape (n, classes)."""
    np.save(folder / "tensors.npy", (tensors.astype(int) - 128).astype(np.int8))
    command = [python, HERE / "micro_classify.py", model, str(arena), folder / "tensors.npy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


@pytest.mark.env
def test_tflite_micro_answers_as_the_lab(result, array, small_model, env_python, tmp_path):
    tensors = lab_tensors(small_model, 300)
    model, arena = result.bundle / MICRO_FILES[0], result.micro.arena_bytes
    found = run_micro(env_python("tflite-micro"), model, arena, tensors, tmp_path)
    lab = load_runtime(array, "a.tflite", kernels="builtin")
    expected = np.stack([lab.invoke(tensor) for tensor in tensors]) * 256 - 128
    assert np.abs(found - expected).max() <= 1
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.99


def _mobile_network(shape):
    import keras

    layers = keras.layers
    image = keras.Input(shape)
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6")(x)
    for _ in range(3):
        y = layers.Conv2D(48, 1, activation="hard_silu")(x)
        y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(48, 1, activation="sigmoid")(gate)
        x = layers.Add()([x, layers.Conv2D(16, 1)(layers.Multiply()([y, gate]))])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


@pytest.mark.env
def test_the_arena_suffices_for_a_mobile_network_and_is_not_wasteful(env_python, tmp_path):
    spec = InputSpec(64, 64)
    tensors = np.random.default_rng(0).integers(0, 256, (12, *spec.shape), dtype=np.uint8)
    tensors[0, 0, 0], tensors[0, 0, 1] = 0, 255
    frozen = freeze(_mobile_network(spec.shape), spec.shape)
    data = to_int8_io(convert_tflite(frozen, "tflite-full-integer", tensors))
    graph = read_graph(data)
    arena = arena_bytes(graph)
    (tmp_path / "mobile.tflite").write_bytes(data)
    python = env_python("tflite-micro")
    found = run_micro(python, tmp_path / "mobile.tflite", arena, tensors, tmp_path)
    lab = load_runtime(data, "a.tflite", kernels="builtin")
    expected = np.stack([lab.invoke(tensor) for tensor in tensors]) * 256 - 128
    assert np.abs(found - expected).max() <= 2
    assert planned_bytes(graph) < arena < 1.15 * planned_bytes(graph)
