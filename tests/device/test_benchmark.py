"""What a benchmark says of each artifact, and that each is measured alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from some_images import some_of

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.folder import Bundle
from edgecnn.device.benchmark.benchmark import Benchmark, BenchmarkOptions, benchmark
from edgecnn.device.benchmark.result import BenchmarkRow, check_plot, draw
from edgecnn.device.benchmark.soak import soak
from edgecnn.device.evaluate import EvaluateOptions, evaluate
from edgecnn.device.machine.health import throttle_flags
from edgecnn.device.machine.isolated import call
from edgecnn.errors import (
    ArtifactError,
    BundleError,
    DataError,
    EdgecnnError,
    MissingRuntimeError,
    OptionError,
    OutputError,
)
from edgecnn.records import encode

# The repeats end it; the seconds give a busy machine time to start its process.
SHORT = BenchmarkOptions(warmup=2, warmup_seconds=0.05, repeats=20, seconds=30)


@pytest.fixture(scope="module")
def few(digits_field, tmp_path_factory):
    root = some_of(digits_field, tmp_path_factory.mktemp("bench") / "few", 4)
    (root / "notes.txt").write_text("of the field")
    (root / "3" / "torn.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture(scope="module")
def result(digits_bundle, few, tmp_path_factory) -> Benchmark:
    plot = tmp_path_factory.mktemp("plot") / "benchmark.png"
    return benchmark(digits_bundle, few, replace(SHORT, plot=plot))


@pytest.fixture
def hot_board(tmp_path, monkeypatch):
    """A vcgencmd that is well for three calls and then reports a throttled board."""
    tool = tmp_path / "bin" / "vcgencmd"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\necho x >>"{tmp_path}/calls"\n'
        f'if [ "$(wc -l <"{tmp_path}/calls")" -le 3 ]; then echo throttled=0x10000; '
        "else echo throttled=0x50004; fi\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")


@pytest.mark.clock
def test_every_artifact_is_measured(result, digits_bundle):
    artifacts = Bundle.open(digits_bundle).card.artifacts
    assert [row.file for row in result.rows] == [a.file for a in artifacts]
    assert result.skipped == ()
    for row, artifact in zip(result.rows, artifacts, strict=True):
        assert row.bytes == artifact.bytes
        assert (row.lab, row.lab_agreement) == (artifact.lab, artifact.agreement)
        assert 0 < row.invoke_ms["p50"] <= row.invoke_ms["p95"]
        assert row.invoke_ms["p50"] + row.preprocess_ms["p50"] <= 2 * row.total_ms["p95"]
        assert (row.repeats, row.threads) == (20, 1)


def test_json_is_what_design_promises(result):
    data = json.loads(json.dumps(result.to_json()))
    assert isinstance(data["device"], str)
    assert data["device"]
    for row in data["artifacts"]:
        assert {"file", "bytes", "invoke_ms", "accuracy", "rss_mb", "kind"} <= row.keys()
        assert row["accuracy"]["total"] == 40
        assert row["lab"]["total"] > 200
    assert data["runtimes"].keys() >= {"onnxruntime"}
    assert all(number[0].isdigit() for number in data["runtimes"].values())
    assert {"temperature_c", "throttled", "clock_mhz", "before"} <= data["machine"].keys()
    assert data["soak"] is None


def test_accuracy_is_that_of_evaluate(result, digits_bundle, few):
    for row in result.rows:
        assert row.accuracy == evaluate(digits_bundle, few, EvaluateOptions(row.file)).accuracy


def test_what_is_no_picture_or_can_not_be_read_is_counted(result, few):
    other, torn = result.notes
    assert other.endswith("1 file that is no picture is passed over: 1 .txt")
    assert torn.startswith(f"1 image skipped; the first: {few / '3' / 'torn.png'} ")
    assert f"{other}\n{torn}\n" in result.to_text()


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
    assert "…" not in text, "a column is cut off"
    assert result.device in text
    assert "Measured on this machine" in text


def test_without_images_there_is_lab_accuracy_only(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    plain = benchmark(bundle.path, None, SHORT)
    assert {row.accuracy for row in plain.rows} == {None}
    assert all(row["accuracy"] is None for row in plain.to_json()["artifacts"])
    header = plain.to_text().splitlines()[2]
    assert "lab" in header
    assert "95 %" in header
    assert "field" not in header
    total = plain.rows[0].lab.total
    assert f"lab: of {total} test images" in plain.to_text().splitlines()


def test_artifacts_that_cannot_run_here_are_passed_over_with_the_reason(digits_bundle):
    """A runtime that is not installed stands for a Pi without onnxruntime."""
    options = replace(SHORT, runtime="no_such_runtime", soak=2, device="edgetpu")
    result = benchmark(digits_bundle, None, options)
    assert {row.file.rpartition(".")[2] for row in result.rows} == {"onnx"}
    assert len(result.skipped) == 6
    assert result.soak is None
    assert result.skipped[-1][0] == "the soak of model_full_integer_quant.tflite"
    assert all("no TFLite runtime" in reason for _, reason in result.skipped)
    assert "skipped model_float32.tflite" in result.to_text()
    (note,) = result.notes
    assert note.startswith("measured on the CPU and not on edgetpu, because they are not compiled")
    assert all(row.file in note for row in result.rows)


def test_what_cannot_be_done_is_refused_before_measuring(digits_bundle, few, tmp_path):
    def never(*_):
        pytest.fail("measured")

    shutil.copytree(few / "0", tmp_path / "zero")
    with pytest.raises(DataError, match="'zero'"):
        benchmark(digits_bundle, tmp_path, SHORT, progress=never)
    with pytest.raises(BundleError, match="does not exist"):
        benchmark(tmp_path / "none", None, SHORT, progress=never)
    with pytest.raises(OutputError, match=r"expected a name that ends in \.png"):
        benchmark(digits_bundle, None, replace(SHORT, plot=tmp_path / "a.txt"), progress=never)
    with pytest.raises(ArtifactError, match="no artifact 'x'"):
        benchmark(digits_bundle, None, replace(SHORT, soak=2, artifact="x"), progress=never)
    with pytest.raises(OptionError, match="--artifact float32 chooses the file of --soak"):
        benchmark(digits_bundle, None, replace(SHORT, artifact="float32"), progress=never)
    with pytest.raises(OptionError, match=r"no folder DATA is given"):
        benchmark(digits_bundle, None, replace(SHORT, manifest=tmp_path / "m"), progress=never)
    with pytest.raises(MissingRuntimeError, match="device 'cuda' is unknown; expected cpu, edge"):
        benchmark(digits_bundle, None, replace(SHORT, device="cuda"), progress=never)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(EdgecnnError, match="expected a number from 2 to 86400"):
            replace(SHORT, soak=seconds)


def test_a_process_that_dies_is_reported_not_raised_through():
    with pytest.raises(MissingRuntimeError, match="status 1"):
        call("edgecnn.no_such_module", {}, 60)
    with pytest.raises(MissingRuntimeError, match="no answer in 0 s"):
        call("edgecnn.device.doctor.probe", {"module": "os"}, 0.001)


def test_the_plot_is_a_picture_and_named_in_the_result(result):
    image = cv2.imread(result.plot)
    assert image.shape[0] > 400
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20
    assert result.plot in result.to_text()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_plot_replaces_a_plot_and_nothing_else(result, few, digits_bundle, tmp_path, suffix):
    def never(*_):
        pytest.fail("measured")

    plot = tmp_path / f"plot{suffix}"
    plot.write_bytes(draw(result, suffix))
    check_plot(plot)
    other = tmp_path / f"other{suffix}"
    shutil.copy(next(few.rglob("*.png")), other)
    for place, said in (
        (other, "is not a plot of this command"),
        (digits_bundle / f"layers{suffix}", "layers"),
        (digits_bundle / f"new{suffix}", "a bundle, which holds its own files only"),
        (few / "0" / f"plot{suffix}", "choose another --plot, beside it"),
    ):
        before = place.read_bytes() if place.exists() else None
        with pytest.raises(OutputError, match=said):
            benchmark(digits_bundle, few, replace(SHORT, plot=place), progress=never)
        assert before == (place.read_bytes() if place.exists() else None)


def test_the_front_holds_what_no_other_beats(result):
    def row(name: str, ms: float, correct: int) -> BenchmarkRow:
        tally = Tally(correct, 100)
        return replace(result.rows[0], file=name, total_ms={"p50": ms}, accuracy=tally)

    rows = [row("slow best", 9, 99), row("beaten", 5, 90), row("middle", 4, 95)]
    rows += [row("fast", 1, 80), row("fast too", 1, 80), row("as fast, worse", 1, 70)]
    front = replace(result, rows=tuple(rows)).front
    assert [one.file for one in front] == ["fast", "fast too", "middle", "slow best"]


@pytest.mark.clock
def test_no_row_beats_one_of_the_front(result):
    best = result.to_json()["front"]
    rows = {row.file: row for row in result.rows}
    assert best
    for name in best:
        mine = rows[name]
        for row in result.rows:
            faster = row.total_ms["p50"] < mine.total_ms["p50"]
            assert not (faster and row.accuracy.accuracy >= mine.accuracy.accuracy)


@pytest.mark.clock
def test_a_soak_sets_the_first_minute_beside_the_steady_state(digits_bundle, hot_board):
    options = replace(SHORT, soak=4, artifact="float32")
    result = benchmark(digits_bundle, None, options)
    found = result.soak
    assert found.file == "model_float32.tflite"
    assert found.frames > 4
    assert found.window_s == 2
    total = (found.first.fps + found.last.fps) * found.window_s
    assert total == pytest.approx(found.frames, abs=2)
    times = [sample["t"] for sample in found.samples]
    assert (times[0], times[-1]) == (0, 4)
    assert all(b - a > 0.8 for a, b in pairwise(times[:-1])), "a sample a second at most"
    assert "throttled now" in found.flags
    assert "under-voltage since boot" not in found.flags, "that was so before the start"
    text = result.to_text()
    assert "4 s without a pause" in text
    assert "throttled now" in text
    data = json.loads(json.dumps(result.to_json()))["soak"]
    assert data["first"]["fps"] == found.first.fps
    assert data["change"] == pytest.approx(found.last.fps / found.first.fps - 1, abs=1e-3)


def test_a_long_soak_compares_whole_minutes(digits_bundle, monkeypatch):
    """Ten minutes pass on a clock of the test's own; the board slows down after the eighth."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.5 if now < 480 else 1.0
        return now

    options = replace(SHORT, artifact="model_full_integer_quant.tflite")
    request = {"bundle": str(digits_bundle), **encode(options)}
    found = soak({**request, "seconds": 600}, clock)
    assert found.window_s == 60
    assert found.first.fps == pytest.approx(2, abs=0.1)
    assert found.last.fps == pytest.approx(1, abs=0.1)
    assert found.change == pytest.approx(-0.5, abs=0.05)
    assert len(found.samples) < 130


def test_a_throttled_board_is_named_in_the_heading(digits_bundle, hot_board, result):
    machine = {**result.machine, "throttled": "0x50004", "temperature_c": 81.0}
    hot = replace(result, machine={**machine, "before": {**machine, "temperature_c": 48.0}})
    heading = hot.to_text().splitlines()[0]
    assert "48 to 81 °C" in heading
    assert "THROTTLED (throttled now" in heading


@pytest.mark.parametrize("bits", [None, "0x0", "", "what"])
def test_no_throttle_bit_gives_no_flag(bits):
    assert throttle_flags(bits) == []
