"""The device side in environments as devices have them: no TensorFlow, either TFLite runtime.

Lab and device must give the same tensors to the last bit and the same scores to one step.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from determinism import digests, encoded_images
from device_answers import answers_of
from some_images import some_of

from edgecnn.adapt.adapt import adapt
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.runtime.module import Kernels
from edgecnn.bundle.spec import InputSpec
from edgecnn.device.evaluate import evaluate

pytestmark = pytest.mark.env

REPO = Path(__file__).resolve().parents[1]
INSTALLS = ("device-tflite-runtime", "device-litert")
TFLITE = (
    "model_float32.tflite",
    "model_float16.tflite",
    "model_dynamic_range_quant.tflite",
    "model_full_integer_quant.tflite",
    "model_integer_quant_with_int16_act.tflite",
)


def call(python: Path, *arguments: object, path: str = "") -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, str(REPO))))}
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def edgecnn_json(python: Path, *arguments: object) -> dict:
    """What a command prints with --json; it must be all that stands on stdout."""
    done = call(python, "-m", "edgecnn", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=INSTALLS)
def python(request, env_python) -> Path:
    return env_python(request.param)


@pytest.fixture(scope="module")
def images(tmp_path_factory, digits_field) -> Path:
    """200 field digits."""
    return some_of(digits_field, tmp_path_factory.mktemp("installs") / "field", 20)


@pytest.fixture(scope="module")
def askew(images, tmp_path_factory) -> Path:
    """They, sheared and shifted: the network reads them badly enough to be adapted."""
    root = tmp_path_factory.mktemp("askew")
    matrix = np.array([[1.0, -0.32, 9.0], [0.06, 1.15, -4.0]])
    for path in images.rglob("*.png"):
        seen = cv2.warpAffine(
            cv2.imread(str(path)), matrix, (36, 44), borderMode=cv2.BORDER_REPLICATE
        )
        cv2.imwrite(str(root / path.name), seen)
    return root


@pytest.fixture(scope="module")
def encoded(tmp_path_factory) -> Path:
    """Image files of all kinds."""
    folder = tmp_path_factory.mktemp("encoded")
    for name, data in encoded_images().items():
        (folder / name).write_bytes(data)
    return folder


def test_tensorflow_is_not_there(python):
    assert call(python, "-c", "import tensorflow").returncode != 0


def test_decoding_and_resizing_give_the_labs_tensors(python, encoded):
    done = call(python, REPO / "tests" / "determinism.py", encoded)
    assert done.returncode == 0, done.stderr
    expected, found = digests(encoded), json.loads(done.stdout)
    assert {k: v for k, v in found.items() if v != expected[k]} == {}
    assert len(found) == len(expected)


def test_real_photographs_give_the_labs_tensors(python, meters, tmp_path):
    for k, path in enumerate(sorted(p for p in meters.rglob("*.*") if p.is_file())[::499]):
        shutil.copy(path, tmp_path / f"{k}{path.suffix}")
    done = call(python, REPO / "tests" / "determinism.py", tmp_path)
    assert json.loads(done.stdout) == digests(tmp_path)


@pytest.mark.parametrize("name", INSTALLS)
def test_scores_are_the_labs_within_one_step(env_python, name, digits_bundle, images):
    script = REPO / "tests" / "device_answers.py"
    done = call(env_python(name), script, digits_bundle, images, *TFLITE)
    assert done.returncode == 0, done.stderr
    kernels = "builtin" if name == "device-tflite-runtime" else "default"
    assert_alike(Bundle.open(digits_bundle), images, json.loads(done.stdout), kernels)


def float_step(file: str) -> float:
    """How far the float scores of two runtimes may be apart."""
    if file.startswith(("model_float32", "model_float16")):
        return 1e-5
    return 1 / 256 if "dynamic_range" in file else 1e-3


def assert_alike(bundle: Bundle, images: Path, found: dict, kernels: Kernels) -> None:
    """Every score within one integer step of the lab's by the same kernels; all predictions too.

    tflite-runtime 2.14 has no XNNPACK for integers, so it is held against the built-in kernels.
    Float outputs of models that are integer inside may move too: dynamic range rounds its
    activations to 8 bits anew for every image, so by up to a step of 8 bits.
    """
    expected = answers_of(str(bundle.path), str(images), list(found), kernels)
    for file, lab in expected.items():
        assert found[file].keys() == lab.keys()
        mine = np.array([found[file][name] for name in lab])
        theirs = np.array(list(lab.values()))
        step = bundle.artifact(file).output.scale or float_step(file)
        assert np.abs(mine - theirs).max() <= step * 1.001, file
        differ = np.flatnonzero(mine.argmax(1) != theirs.argmax(1))
        lead = np.diff(np.sort(theirs[differ])[:, -2:]).ravel()
        assert (lead <= 2 * step).all(), f"{file}: only a near tie may come out otherwise"
        assert differ.size <= 0.01 * len(lab), file


def test_doctor_finds_the_device_well(python, digits_bundle):
    diagnosis = edgecnn_json(python, "doctor", digits_bundle)
    assert diagnosis["ok"] is True
    status = {check["name"]: check["status"] for check in diagnosis["checks"]}
    assert {status[file] for file in TFLITE} == {"ok"}
    assert status["model_float32.onnx"] == "ok", "onnxruntime is optional: nothing is wrong"


def test_evaluate_run_and_audit_count_alike(python, digits_bundle, images, tmp_path):
    here = edgecnn_json(python, "evaluate", digits_bundle, images)
    session = tmp_path / "session"
    source = ("--source", images, "--truth", "folder", "--log", session)
    live = edgecnn_json(python, "run", digits_bundle, *source)
    assert live["frames"] == 200
    assert (live["live"]["correct"], live["live"]["total"]) == (here["accuracy"]["correct"], 200)
    report = edgecnn_json(python, "audit", session)
    assert report["live"]["correct"] == here["accuracy"]["correct"]
    lab = evaluate(digits_bundle, images)
    assert abs(lab.accuracy.correct - here["accuracy"]["correct"]) <= 2, "kernels: near ties"


def assert_adapted_alike(python: Path, digits_bundle: Path, askew: Path, tmp_path: Path) -> Path:
    """`adapt` in that Python gives what the lab's gives; returns the bundle that it wrote.

    A weight that differs in its last digit may move a logit of the integer file by one of its
    steps, which moves a score by a few of its own.
    """
    here, there = tmp_path / "here.edgecnn", tmp_path / "lab.edgecnn"
    result = edgecnn_json(python, "adapt", digits_bundle, "--field", askew, "-o", here)
    assert result["accepted"] is True
    assert adapt(digits_bundle, askew, there).accepted
    tensors = [to_tensor(read_image(file), InputSpec(24, 32)) for file in askew.rglob("*.png")]
    for file in ("model_float32.tflite", "model_full_integer_quant.tflite"):
        mine, lab = (load_runtime(Bundle.open(one).read(file), file) for one in (here, there))
        most = 4 * mine.output.scale if mine.output.scale else 1e-3
        for tensor in tensors[::4]:
            assert np.abs(mine.invoke(tensor) - lab.invoke(tensor)).max() <= most
    return here


def test_a_bundle_is_adapted_here_as_in_the_lab(python, digits_bundle, askew, tmp_path):
    here = assert_adapted_alike(python, digits_bundle, askew, tmp_path)
    assert edgecnn_json(python, "doctor", here)["ok"] is True
    shutil.copytree(digits_bundle, tmp_path / "parent.edgecnn")
    undone = edgecnn_json(python, "adapt", here, "--undo", "-o", tmp_path / "back.edgecnn")
    assert undone["lab"]["correct"] == Bundle.open(digits_bundle).card.lab.tally.correct


def test_benchmark_measures_what_can_run(python, digits_bundle):
    result = edgecnn_json(python, "benchmark", digits_bundle)
    assert [row["file"] for row in result["artifacts"]] == list(TFLITE)
    assert {entry["file"] for entry in result["skipped"]} == {
        "model_float32.onnx",
        "model_full_integer_quant.onnx",
    }


@pytest.mark.parametrize("command", ["evaluate", "doctor", "run"])
def test_bad_input_is_one_line_and_status_2(python, command, digits_bundle, tmp_path):
    more = {"evaluate": [tmp_path], "doctor": [], "run": ["--source", tmp_path / "none.mp4"]}
    bundle = tmp_path / "none.edgecnn" if command == "doctor" else digits_bundle
    done = call(python, "-m", "edgecnn", command, bundle, *more[command])
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (("inspect", "DATA"), "inspecting needs pillow, scikit-learn"),
        (("calibrate", "DATA", "--lab", "DATA", "-o", "OUT"), "calibrating needs matplotlib"),
        (("train", "DATA", "-o", "OUT"), "training needs tensorflow, scikit-learn"),
        (("export", "MODEL", "--calibration", "DATA", "-o", "OUT"), "exporting needs tensorflow"),
        (("import", "FILE", "--lab", "DATA", "-o", "OUT"), "importing needs onnx"),
        (("adapt", "MODEL", "--field", "DATA", "-o", "OUT"), "adapting a MODEL folder needs"),
        (("harvest", "DATA", "--model", "MODEL", "-o", "OUT"), "harvesting needs matplotlib"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_command_of_the_lab_says_here_what_it_needs(
    env_python, command, missing, digits_model, digits_bundle, images, tmp_path
):
    file = digits_bundle / "model_float32.tflite"
    given = {"DATA": images, "MODEL": digits_model, "FILE": file, "OUT": tmp_path / "out"}
    words = [str(given.get(word, word)) for word in command]
    done = call(env_python("device-litert"), "-m", "edgecnn", *words)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert missing in line
    assert "pip install '.[lab]' in a clone of edgecnn" in line


def test_numpy_2_beside_tflite_runtime_is_found_before_it_dies(
    env_python, digits_bundle, images, tmp_path
):
    """numpy of the other install, put before this one's, as a careless pip would have it."""
    old, new = map(env_python, INSTALLS)
    (packages,) = (new.parents[1] / "lib").glob("python3.*/site-packages")
    for path in packages.glob("numpy*"):
        (tmp_path / path.name).symlink_to(path)
    done = call(old, "-m", "edgecnn", "evaluate", digits_bundle, images, path=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "built on numpy 1" in line
    assert "numpy<2" in line
    done = call(old, "-m", "edgecnn", "doctor", path=str(tmp_path))
    assert done.returncode == 1
    assert "no TFLite runtime works here" in done.stdout
