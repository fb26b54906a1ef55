"""What a benchmark says of each artifact, and that each is measured alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from edgecnn.bundle import Bundle
from edgecnn.device.benchmark import Benchmark, BenchmarkOptions, benchmark
from edgecnn.device.evaluate import EvaluateOptions, evaluate
from edgecnn.device.isolated import call
from edgecnn.errors import BundleError, DataError, MissingRuntimeError

SHORT = BenchmarkOptions(warmup=2, repeats=20, seconds=0.5)


@pytest.fixture(scope="module")
def few(digits_field, tmp_path_factory):
    root = tmp_path_factory.mktemp("bench") / "few"
    for folder in sorted(digits_field.iterdir()):
        (root / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:4]:
            shutil.copy(path, root / folder.name)
    return root


@pytest.fixture(scope="module")
def result(digits_bundle, few) -> Benchmark:
    return benchmark(digits_bundle, few, SHORT)


def test_every_artifact_is_measured(result, digits_bundle):
    artifacts = Bundle.open(digits_bundle).card.artifacts
    assert [row.file for row in result.rows] == [a.file for a in artifacts]
    assert result.skipped == ()
    for row, artifact in zip(result.rows, artifacts, strict=True):
        assert row.bytes == artifact.bytes
        assert 0 < row.invoke_ms["p50"] <= row.invoke_ms["p95"]
        assert row.invoke_ms["p50"] + row.preprocess_ms["p50"] <= 2 * row.total_ms["p95"]
        assert row.repeats == 20


def test_json_is_what_design_promises(result):
    data = json.loads(json.dumps(result.to_json()))
    assert isinstance(data["device"], str)
    assert data["device"]
    for row in data["artifacts"]:
        assert {"file", "bytes", "invoke_ms", "accuracy", "rss_mb", "kind"} <= row.keys()
        assert row["accuracy"]["total"] == 40
    assert data["runtimes"].keys() >= {"onnxruntime"}
    assert all(number[0].isdigit() for number in data["runtimes"].values())


def test_accuracy_is_that_of_evaluate(result, digits_bundle, few):
    for row in result.rows:
        assert row.accuracy == evaluate(digits_bundle, few, EvaluateOptions(row.file)).accuracy


def test_agreement_is_with_the_float_artifact(result):
    by_file = {row.file: row.agreement for row in result.rows}
    assert by_file["model_float32.tflite"] == 1.0
    assert by_file["model_float32.onnx"] == 1.0
    assert all(0.8 <= share <= 1 for share in by_file.values())


def test_memory_is_of_one_artifact_alone(result):
    """This process holds TensorFlow (over 400 MB); a device that runs one artifact does not."""
    assert all(20 < row.rss_mb < 200 for row in result.rows)


def test_text_is_a_table_that_claims_nothing_of_other_machines(result):
    text = result.to_text()
    for row in result.rows:
        assert row.file in text
    assert result.device in text
    assert "Measured on this machine" in text


def test_without_images_there_is_no_accuracy(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    plain = benchmark(bundle.path, None, SHORT)
    assert {row.accuracy for row in plain.rows} == {None}
    assert all(row["accuracy"] is None for row in plain.to_json()["artifacts"])
    assert "accuracy" not in plain.to_text()


def test_artifacts_that_cannot_run_here_are_passed_over_with_the_reason(digits_bundle):
    """A runtime that is not installed stands for a Pi without onnxruntime."""
    options = replace(SHORT, runtime="no_such_runtime")
    result = benchmark(digits_bundle, None, options)
    assert {row.file.rpartition(".")[2] for row in result.rows} == {"onnx"}
    assert len(result.skipped) == 5
    assert all("no TFLite runtime" in reason for _, reason in result.skipped)
    assert "skipped model_float32.tflite" in result.to_text()


def test_images_of_unknown_classes_are_refused_before_measuring(digits_bundle, few, tmp_path):
    shutil.copytree(few / "0", tmp_path / "zero")
    with pytest.raises(DataError, match="'zero'"):
        benchmark(digits_bundle, tmp_path, SHORT, progress=lambda *_: pytest.fail("measured"))
    with pytest.raises(BundleError, match="does not exist"):
        benchmark(tmp_path / "none", None, SHORT)


def test_a_process_that_dies_is_reported_not_raised_through():
    with pytest.raises(MissingRuntimeError, match="status 1"):
        call("edgecnn.no_such_module", {}, 60)
    with pytest.raises(MissingRuntimeError, match="no answer in 0 s"):
        call("edgecnn.device.probe", {"module": "os"}, 0.001)
