"""The parity matrix of tools/parity: every file, every way to run it, beside the lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _parity import ParityOptions, parity
from _parity_limits import faults_of, limits_for
from _parity_result import Parity

import edgecnn
from edgecnn.bundle.artifacts import EXPORT_FORMATS
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.bundle.runtime.load import load_runtime, top1
from edgecnn.bundle.runtime.module import TFLITE_RUNTIMES
from edgecnn.errors import BundleError, DataError, MissingRuntimeError

REPO = Path(__file__).resolve().parents[1]
INTEGER = "model_full_integer_quant.tflite"
TFLITE = {one.name: one.file for one in EXPORT_FORMATS if one.file.endswith(".tflite")}


@pytest.fixture(scope="module")
def lab_images(tmp_path_factory, digits_bundle, digits_folder) -> Path:
    """40 of the lab test images: their digests stand in lab_test.csv."""
    root = tmp_path_factory.mktemp("parity") / "lab"
    for row in Bundle.open(digits_bundle).lab_test()[:40]:
        target = root / row.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(digits_folder / row.file, target)
    return root


@pytest.fixture(scope="module")
def matrix(digits_bundle, digits_model, lab_images) -> Parity:
    everything = ParityOptions(TFLITE_RUNTIMES, threads=2, keras=digits_model / "lab_test.npz")
    return parity(digits_bundle, lab_images, everything)


def edited(bundle: Path, target: Path, file: str, change) -> Path:
    """A copy of a bundle in which `change` edited the JSON of `file`."""
    copy = Path(shutil.copytree(bundle, target))
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    seal(copy)
    return copy


def test_every_file_runs_every_way_and_holds(matrix, digits_bundle):
    assert matrix.ok, matrix.to_text()
    ways = {(c.file, c.runtime, c.kernels, c.threads) for c in matrix.cells}
    for artifact in Bundle.open(digits_bundle).card.artifacts:
        onnx = artifact.file.endswith(".onnx")
        for runtime in ("onnxruntime",) if onnx else ("ai_edge_litert", "tensorflow"):
            for kernels in ("default",) if onnx else ("default", "builtin"):
                assert {(artifact.file, runtime, kernels, n) for n in (1, 2)} <= ways
    assert all(cell.images == 40 + matrix.golden for cell in matrix.cells)


def test_the_float_files_give_the_keras_scores(matrix):
    for cell in matrix.cells:
        assert cell.float_error is not None
        if cell.kind == "float32":
            assert cell.float_error < 1e-5
            assert cell.float_agreement == 1.0


def test_threads_change_nothing(matrix):
    many = [cell for cell in matrix.cells if cell.threads == 2]
    assert len(many) == len(matrix.cells) // 2
    for cell in many:
        assert cell.thread_error <= (0 if cell.unit == "steps" else 1e-5), cell.file


def test_without_scores_the_labs_answers_are_the_reference(digits_bundle, lab_images):
    found = parity(digits_bundle, lab_images, ParityOptions(threads=2, most=10))
    everything = 10 + found.golden
    assert found.reference == f"Keras in the lab, {everything} of {everything} images"
    assert all(c.float_agreement is not None for c in found.cells)


def test_for_images_that_the_lab_never_saw_the_float_file_is_the_reference(
    digits_bundle, digits_field
):
    found = parity(digits_bundle, digits_field, ParityOptions(threads=2, most=20))
    assert found.reference == "model_float32.tflite here"
    float_cell = next(c for c in found.cells if c.file == "model_float32.tflite")
    assert (float_cell.float_error, float_cell.float_agreement) == (0.0, 1.0)
    assert found.ok, found.to_text()


def test_golden_frames_alone_will_do(digits_bundle):
    found = parity(digits_bundle, options=ParityOptions(threads=2))
    assert found.ok
    assert found.golden == len(Bundle.open(digits_bundle).golden())
    assert all(c.images == found.golden for c in found.cells)
    floats = [c.float_error for c in found.cells if c.kind == "float32"]
    assert max(floats) < 1e-5, "against the Keras model's scores in golden.json"


def test_golden_scores_of_another_model_are_beyond_the_limit(digits_bundle, tmp_path):
    def turn(frames):
        for frame in frames:
            for family in (frame["scores"], frame["builtin"]):
                if INTEGER in family:
                    family[INTEGER] = family[INTEGER][::-1]

    copy = edited(digits_bundle, tmp_path / "b.edgecnn", "golden/golden.json", turn)
    found = parity(copy, options=ParityOptions(threads=2))
    assert not found.ok
    assert {c.file for c in found.cells if not c.ok} == {INTEGER}
    assert "limit 1 step" in found.to_text()


@pytest.mark.parametrize(("count", "ok"), [(1, True), (8, False)])
def test_answers_of_another_model_are_beyond_the_limit(digits_bundle, tmp_path, count, ok):
    """The Keras model's scores are shifted by a class; a single image proves nothing."""

    def roll(frames):
        for frame in frames[:count]:
            frame["scores"]["keras"] = frame["scores"]["keras"][1:] + frame["scores"]["keras"][:1]

    copy = edited(digits_bundle, tmp_path / "b.edgecnn", "golden/golden.json", roll)
    found = parity(copy, options=ParityOptions(threads=2))
    assert found.ok is ok, found.to_text()
    assert all(cell.float_agreement < 1 for cell in found.cells)


def test_the_matrix_is_json_and_text(matrix):
    data = json.loads(json.dumps(matrix.to_json()))
    assert data["ok"] is True
    assert len(data["cells"]) == len(matrix.cells)
    text = matrix.to_text()
    assert "ai_edge_litert builtin x2" in text
    assert "…" not in text, "no cell may be cut"


def run_tool(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, REPO / "tools" / "parity", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_the_tool_takes_threads_and_the_labs_scores(digits_bundle, digits_model, lab_images):
    scores = digits_model / "lab_test.npz"
    done = run_tool(digits_bundle, lab_images, "--threads", 3, "--keras", scores, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert {cell["threads"] for cell in found["cells"]} == {1, 3}
    assert found["reference"] == "Keras in the lab, 48 of 48 images"  # 8 are golden frames


def test_the_tool_names_bad_input_in_one_line(tmp_path):
    done = run_tool(tmp_path / "none.edgecnn")
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not exist" in done.stderr.strip().splitlines()[-1]


def test_bad_input_is_named(digits_bundle, tmp_path):
    with pytest.raises(DataError, match="no image"):
        parity(digits_bundle, tmp_path)
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 images"):
        parity(digits_bundle, tmp_path)
    (tmp_path / "x.npz").write_bytes(b"no arrays")
    with pytest.raises(DataError, match=r"lab_test\.npz"):
        parity(digits_bundle, digits_bundle / "golden", ParityOptions(keras=tmp_path / "x.npz"))
    empty = edited(digits_bundle, tmp_path / "c.edgecnn", "golden/golden.json", list.clear)
    with pytest.raises(BundleError, match="no golden frames"):
        parity(empty)


def test_no_runtime_at_all_is_an_error(digits_bundle, tmp_path):
    def leave_tflite(card):
        card["artifacts"] = [a for a in card["artifacts"] if a["file"].endswith(".tflite")]

    only = edited(digits_bundle, tmp_path / "b.edgecnn", "card.json", leave_tflite)
    with pytest.raises(MissingRuntimeError, match=r"no file of .* no_such_runtime"):
        parity(only, options=ParityOptions(("no_such_runtime",)))


def test_limits_follow_the_kind():
    assert limits_for("full_integer", True).golden == 1
    assert limits_for("float32", False).golden < limits_for("dynamic_range", False).golden
    for kind in ("float32", "float16", "dynamic_range", "int16_activations", "full_integer"):
        limits = limits_for(kind, integer_output=kind == "full_integer")
        assert limits.threads <= limits.golden, "threads change less than kernels do"
        assert 0.97 <= limits.agreement < 1
    assert limits_for("hybrid/float32+int8", True) == limits_for("full_integer", True)


class Faulty:
    """A runtime of one family of kernels that computes something else than the file says."""

    def __init__(self, runtime, change) -> None:
        self._runtime, self._change = runtime, change

    def __getattr__(self, name: str):
        return getattr(self._runtime, name)

    def invoke(self, tensor: np.ndarray) -> np.ndarray:
        return self._runtime.invoke(self._change(tensor))


def wrong_weights(data: bytes) -> bytes:
    """The first layer with its filters in the reverse order."""
    from edgecnn.export.packing.flatbuffer import read_tflite, write_tflite

    model = read_tflite(data)
    graph = model.subgraphs[0]
    kernels = [t for t in graph.tensors if len(t.shape) == 4 and t.buffer]
    kernel = next(t for t in kernels if model.buffers[t.buffer].data is not None)
    weights = np.array(model.buffers[kernel.buffer].data, np.uint8).view(np.int8)
    filters = weights.reshape(kernel.shape[0], -1)
    filters[:] = filters[::-1].copy()
    model.buffers[kernel.buffer].data = weights.view(np.uint8)
    return write_tflite(model)


def plant(monkeypatch, change=None, corrupt=None, where=("kernels", "builtin")) -> None:
    """Make TFLite's own kernels (or another way) wrong for the full-integer file only."""

    def load(data, file, **how):
        wrong = file == INTEGER and how.get(where[0]) == where[1]
        runtime = load_runtime(corrupt(data) if wrong and corrupt else data, file, **how)
        return Faulty(runtime, change) if wrong and change else runtime

    monkeypatch.setattr("edgecnn.bundle.classifier.load_runtime", load)


def faults_by_kernels(bundle: Path, images: Path) -> dict[str, str]:
    """What is beyond a limit, by kernels."""
    found = parity(bundle, images, ParityOptions(TFLITE_RUNTIMES[:1], threads=2))
    assert {c.file for c in found.cells if not c.ok} <= {INTEGER}
    return {c.kernels: "; ".join(c.faults) for c in found.cells if not c.ok}


def test_a_kernel_that_swaps_channels_fails(monkeypatch, digits_bundle, lab_images):
    plant(monkeypatch, change=lambda tensor: tensor[..., ::-1].copy())
    faults = faults_by_kernels(digits_bundle, lab_images)
    assert set(faults) == {"builtin"}
    assert "in the mean over clear images" in faults["builtin"]


def test_threads_that_swap_channels_fail(monkeypatch, digits_bundle, lab_images):
    plant(monkeypatch, lambda tensor: tensor[..., ::-1].copy(), where=("threads", 2))
    found = parity(digits_bundle, lab_images, ParityOptions(TFLITE_RUNTIMES[:1], threads=2))
    wrong = [cell for cell in found.cells if not cell.ok]
    assert {(cell.file, cell.threads) for cell in wrong} == {(INTEGER, 2)}
    assert all("from one thread's" in "; ".join(cell.faults) for cell in wrong)


def test_rounding_may_reach_what_quantization_moves(matrix):
    """Only then: the displacement widens the two limits of the mean, and no others.

    A thread may differ by it, another way to run the file by twice as much.
    """
    cell = next(c for c in matrix.cells if (c.file, c.kernels) == (INTEGER, "builtin"))
    assert 0 <= cell.displacement < 4, "some steps of 1/256, by the network that was trained here"
    limits = limits_for("full_integer", True)
    wide = replace(cell, displacement=6.0, image_mean=10.0, thread_mean=5.0)
    assert faults_of(wide, limits, 40, 40) == []
    tight = replace(wide, displacement=4.0)
    assert len(faults_of(tight, limits, 40, 40)) == 2
    assert len(faults_of(replace(wide, golden_error=5.0), limits, 40, 40)) == 1


def test_a_kernel_with_wrong_weights_fails(monkeypatch, digits_bundle, lab_images):
    plant(monkeypatch, corrupt=wrong_weights)
    faults = faults_by_kernels(digits_bundle, lab_images)
    assert set(faults) == {"builtin"}, "the wrong kernels and no others"


def test_a_file_with_wrong_weights_is_refused_by_its_checksum(digits_bundle, tmp_path):
    copy = Path(shutil.copytree(digits_bundle, tmp_path / "b.edgecnn"))
    (copy / INTEGER).write_bytes(wrong_weights((copy / INTEGER).read_bytes()))
    with pytest.raises(BundleError, match=INTEGER):
        parity(copy)


def test_answers_by_another_tie_rule_fail(monkeypatch, digits_bundle, lab_images):
    def last(scores: np.ndarray) -> int:
        return int(len(scores) - 1 - scores[::-1].argmax())

    def tie(tensor: np.ndarray) -> np.ndarray:
        return tensor

    class Tied(Faulty):
        def invoke(self, tensor: np.ndarray) -> np.ndarray:
            scores = self._runtime.invoke(tensor)
            scores[scores.argmax() :] = scores.max()
            return scores

    def load(data, file, **how):
        return Tied(load_runtime(data, file, **how), tie)

    monkeypatch.setattr("edgecnn.bundle.classifier.load_runtime", load)
    options = ParityOptions(TFLITE_RUNTIMES[:1], threads=2)
    rule = "answers the later of equal classes"
    assert rule not in parity(digits_bundle, lab_images, options).to_text()
    monkeypatch.setattr("_parity.top1", last)
    assert rule in parity(digits_bundle, lab_images, options).to_text()


@pytest.fixture(scope="module")
def tied_files() -> dict[str, bytes]:
    """A classifier whose classes 1 and 3 always tie at the top, as each format."""
    import keras

    from edgecnn.bundle.spec import InputSpec
    from edgecnn.export.convert.onnx_convert import (
        convert_onnx,
        embed_onnx_metadata,
        quantization_texts,
        quantize_onnx,
    )
    from edgecnn.export.convert.tflite_convert import convert_tflite
    from edgecnn.model.tflite_network import freeze

    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    kernel, bias = network.layers[-1].get_weights()
    kernel[:, 3] = kernel[:, 1]
    bias[:] = [0, 6, 0, 6, 1]
    network.layers[-1].set_weights([kernel, bias])
    spec = InputSpec(width=8, height=8)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    frozen = freeze(network, spec.shape)
    files = {file: convert_tflite(frozen, name, images) for name, file in TFLITE.items()}
    plain = convert_onnx(network, spec)
    integer, *infos = quantize_onnx(plain, images)
    quantized = embed_onnx_metadata(integer, quantization_texts(*infos))
    return {**files, "model_float32.onnx": plain, "model_full_integer_quant.onnx": quantized}


@pytest.mark.parametrize("runtime", TFLITE_RUNTIMES)
@pytest.mark.parametrize("kernels", ["default", "builtin"])
def test_ties_go_to_the_lower_index_on_every_runtime(tied_files, runtime, kernels):
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for file, data in tied_files.items():
        try:
            loaded = load_runtime(data, file, runtime=runtime, kernels=kernels, threads=2)
        except MissingRuntimeError:
            pytest.skip(f"{runtime} is not installed here")
        scores = loaded.invoke(image)
        assert scores[1] == scores[3] == scores.max(), file
        assert top1(scores) == 1, file


@pytest.mark.env
@pytest.mark.parametrize("name", ["device-tflite-runtime", "device-litert"])
def test_ties_go_to_the_lower_index_on_the_devices_runtimes(tied_files, env_python, name, tmp_path):
    for file, data in tied_files.items():
        (tmp_path / file).write_bytes(data)
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from edgecnn.bundle.runtime.load import load_runtime, top1\n"
        "image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.tflite')):\n"
        "    for kernels in ('default', 'builtin'):\n"
        "        loaded = load_runtime(path.read_bytes(), path.name, kernels=kernels)\n"
        "        scores = loaded.invoke(image)\n"
        "        assert scores[1] == scores[3] == scores.max(), (path.name, kernels, scores)\n"
        "        assert top1(scores) == 1, (path.name, kernels)\n"
        "        print(loaded.name, path.name)\n"
    )
    path = str(Path(edgecnn.__file__).parents[1])
    done = subprocess.run(
        [env_python(name), "-c", program, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    runtime = "tflite_runtime" if name == "device-tflite-runtime" else "ai_edge_litert"
    tflite = [file for file in tied_files if file.endswith(".tflite")]
    assert done.stdout.count(runtime) == 2 * len(tflite)
