"""A compiled file against its CPU twin: through the real load_delegate, with a delegate in C.

The model names the strongest colour of an image: a mean over its pixels, which the delegate can
compute too, rightly or wrongly as it is told.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers_colour import LABELS, PLAIN, SCORES, SPEC, colour_bundle, encoded, strongest
from helpers_run import events
from one_op import T, one_op

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.edgetpu.twin import load_twin
from edgecnn.bundle.folder import Bundle
from edgecnn.device.benchmark.benchmark import BenchmarkOptions, benchmark
from edgecnn.device.doctor.checks import Check
from edgecnn.device.doctor.doctor import examine
from edgecnn.device.load_classifier import load_classifier
from edgecnn.device.options import DeviceOptions
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import BundleError, EdgecnnError, MissingRuntimeError

COMPILED = "model_full_integer_quant_edgetpu.tflite"


@pytest.fixture(scope="module")
def delegate(tmp_path_factory) -> str:
    """The stub's library."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    library = tmp_path_factory.mktemp("delegate") / "libstub.so"
    source = Path(__file__).with_name("stub_delegate.c")
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)
    return str(library)


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    """40 pictures, each in the folder of its colour."""
    root = tmp_path_factory.mktemp("frames")
    for k in range(40):
        path = root / LABELS[k % 3] / f"{k:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(k))
    return root


@pytest.fixture(scope="module")
def tpu_bundle(tmp_path_factory) -> Path:
    image = T((1, *SPEC.shape), "uint8", scale=1.0)
    compiled = one_op("edgetpu-custom-op", [image], [SCORES], custom=True)
    files = {PLAIN: ("full_integer", strongest()), COMPILED: ("edgetpu", compiled)}
    return colour_bundle(tmp_path_factory.mktemp("tpu") / "colour.edgecnn", files)


def named(diagnosis, name: str) -> Check:
    return next(check for check in diagnosis.checks if check.name == name)


def test_a_chip_that_computes_right_agrees_with_its_twin(tpu_bundle, frames, delegate, tmp_path):
    options = RunOptions(truth="folder", log=tmp_path / "s", device=delegate, twin_every=4)
    result = run(tpu_bundle, str(frames), options)
    assert (result.artifact, result.device, result.fallback) == (COMPILED, delegate, None)
    assert (result.live.correct, result.live.total) == (40, 40)
    assert (result.twin.frames, result.twin.agreed) == (10, 10)
    assert result.twin.max_steps <= 1
    assert result.warnings == ()
    assert f"10 of 10 frames as {PLAIN} on the CPU" in result.to_text()
    last = events(tmp_path / "s", "health")[-1]["message"]
    assert last.startswith("twin: 10 of 10 frames")


def test_a_chip_that_goes_wrong_is_caught_on_the_next_sampled_frame(
    tpu_bundle, frames, delegate, tmp_path, monkeypatch
):
    monkeypatch.setenv("STUB_WRONG_AFTER", str(6 + 20))  # 6 golden frames are replayed first
    options = RunOptions(truth="folder", log=tmp_path / "s", device=delegate, twin_every=5)
    result = run(tpu_bundle, str(frames), options)
    assert result.live.correct < 40
    assert result.twin.frames == 8
    assert 4 <= result.twin.agreed < 8
    assert not result.twin.ok
    assert result.twin.max_steps > 20
    assert len(result.warnings) == result.twin.frames - result.twin.agreed
    assert PLAIN in result.warnings[0]
    told = [e["message"] for e in events(tmp_path / "s", "health") if "message" in e]
    assert told[:-1] == list(result.warnings)
    assert json.loads(json.dumps(result.to_json()))["twin"]["ok"] is False


def test_a_chip_that_is_wrong_from_the_start_is_not_run(tpu_bundle, frames, delegate, monkeypatch):
    monkeypatch.setenv("STUB_WRONG_AFTER", "0")
    with pytest.raises(BundleError, match="off the lab's scores"):
        run(tpu_bundle, str(frames), RunOptions(device=delegate))


def test_the_twin_can_be_left_out(tpu_bundle, frames, delegate):
    result = run(tpu_bundle, str(frames), RunOptions(device=delegate, twin_every=0, max_frames=3))
    assert result.twin is None
    with pytest.raises(EdgecnnError, match="twin-every is -1, expected a whole number from 0"):
        RunOptions(twin_every=-1)


def test_a_cpu_has_no_twin(tpu_bundle, frames):
    result = run(tpu_bundle, str(frames), RunOptions(max_frames=3))
    assert result.artifact == PLAIN
    assert result.twin is None
    assert load_twin(Classifier(tpu_bundle), "cpu") is None


def test_doctor_sets_chip_and_twin_side_by_side(tpu_bundle, delegate, monkeypatch):
    good = examine(tpu_bundle, device=delegate)
    assert named(good, COMPILED).status == "ok"
    assert f"6 of 6 frames as {PLAIN} on the CPU" in named(good, COMPILED).found
    monkeypatch.setenv("STUB_WRONG_AFTER", "0")
    bad = examine(tpu_bundle, device=delegate)
    assert not bad.ok
    assert named(bad, COMPILED).status == "fail"
    assert "--device cpu" in named(bad, COMPILED).mend


def test_doctor_predicts_what_an_edge_tpu_would_take(tpu_bundle):
    check = named(examine(tpu_bundle), "Edge TPU (predicted)")
    assert (check.status, check.found) == ("ok", "1 of 1 operations map")


def test_doctor_without_a_schema_says_what_the_export_predicted(digits_bundle, monkeypatch):
    """tflite-runtime brings no flatbuffer schema along."""
    import edgecnn.bundle.edgetpu.mapping

    def none(data: bytes) -> None:
        raise MissingRuntimeError("no TFLite schema found; pip install ai-edge-litert")

    predicted = named(examine(digits_bundle), "Edge TPU (predicted)").found
    monkeypatch.setattr(edgecnn.bundle.edgetpu.mapping, "predict_edgetpu", none)
    check = named(examine(digits_bundle), "Edge TPU (predicted)")
    assert (check.status, check.found) == ("ok", f"{predicted} (as exported)")
    assert "operations map" in predicted


def test_benchmark_tells_how_far_chip_and_twin_agree(tpu_bundle, delegate):
    result = benchmark(tpu_bundle, None, BenchmarkOptions(device=delegate, seconds=0.1, repeats=20))
    rows = {row.file: row for row in result.rows}
    assert rows[COMPILED].twin["agreed"] == rows[COMPILED].twin["frames"] == 6
    assert rows[PLAIN].twin is None
    assert f"{COMPILED}: 6 of 6 golden frames as {PLAIN}" in result.to_text()


def test_a_delegate_that_takes_nothing_falls_back_to_the_twin(tpu_bundle, delegate, monkeypatch):
    monkeypatch.setenv("STUB_IDLE", "1")
    loaded = load_classifier(tpu_bundle, DeviceOptions(device=delegate))
    assert (loaded.device, loaded.classifier.artifact.file) == ("cpu", PLAIN)
    assert loaded.fallback.startswith(f"running {PLAIN} on the CPU: {COMPILED} is compiled")


def test_a_delegate_without_a_chip_falls_back_with_its_reason(tpu_bundle, delegate, monkeypatch):
    monkeypatch.setenv("STUB_NO_DEVICE", "1")
    loaded = load_classifier(tpu_bundle, DeviceOptions(device=delegate))
    assert loaded.device == "cpu"
    assert "no chip on this bus" in loaded.fallback


@pytest.mark.env
@pytest.mark.parametrize("name", ["device-tflite-runtime", "device-litert"])
def test_on_each_device_install_the_twin_catches_a_wrong_chip(
    name, env_python, tpu_bundle, frames, delegate
):
    root = str(Path(__file__).resolve().parents[2])
    variables = {**os.environ, "PYTHONPATH": root, "STUB_WRONG_AFTER": "26"}
    command = [env_python(name), "-m", "edgecnn", "run", tpu_bundle, "--source", frames]
    command += ["--device", delegate, "--twin-every", "5", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    twin = json.loads(done.stdout.splitlines()[-1])["twin"]
    assert twin["frames"] == 8
    assert 4 <= twin["agreed"] < 8


def test_the_bundle_of_these_tests_is_whole(tpu_bundle):
    assert {a.kind for a in Bundle.open(tpu_bundle).card.artifacts} == {"full_integer", "edgetpu"}
