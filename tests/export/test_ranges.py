"""Activation ranges that leave out the rarest values, and the integer files that come of them."""

from __future__ import annotations

from dataclasses import replace

import helpers_faults as faults
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import OptionError
from edgecnn.export.convert.onnx_maker import OnnxMaker
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.convert.tflite_maker import TfliteMaker
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.judge import Judge, lab_frames
from edgecnn.export.ranges.methods import RANGE_METHODS, Observed, join
from edgecnn.export.readback.kinds import read_kind
from edgecnn.export.repair.ladder import repair
from edgecnn.export.repair.rungs import worst_tensors
from edgecnn.export.repair.workshop import make_workshop

SPEC = InputSpec(width=faults.SIDE, height=faults.SIDE)
FORMATS = ("tflite", "onnx")


def maker(kind: str, integer_io: str = "uint8"):
    if kind == "onnx":
        return OnnxMaker(faults.LABELS, SPEC, integer_io)
    return TfliteMaker("ranges", faults.LABELS, SPEC, integer_io)


@pytest.fixture(scope="module")
def plain(once):
    return faults.trained(once, "plain-relu", lambda: faults.plain_network(None), 6)


@pytest.fixture(scope="module")
def glinting(plain):
    return faults.rare_outliers(plain)


def observed(values: np.ndarray, fixed: bool = False) -> Observed:
    """One tensor, seen on each row."""
    ranges = np.stack([values.min(axis=1), values.max(axis=1)], axis=1)[:, None]
    return Observed(ranges, values[:, None], np.array([fixed]))


def error(values: np.ndarray, low: float, high: float) -> float:
    """Squared error of 255 even steps that include zero, written another way than the code's."""
    low, high = min(low, 0), max(high, 0)
    grid = np.linspace(low, high, 256)
    grid -= grid[np.abs(grid).argmin()]
    return float(((values[:, None] - grid).__abs__().min(axis=1) ** 2).mean())


@given(st.integers(0, 1000), st.floats(1, 1e4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_range_lies_within_the_extremes(seed, scale, positive):
    values = np.random.default_rng(seed).standard_t(2, (4, 256)).astype(np.float32) * scale
    seen = observed(np.maximum(values, 0) if positive else values)
    low, high = seen.limits()[0]
    assert (low, high) == (seen.values.min(), seen.values.max())
    for method in RANGE_METHODS:
        least, most = seen.limits(method)[0]
        assert low <= least <= most <= high, method


def test_the_least_squared_error_is_no_more_than_the_extremes_or_a_percentiles():
    values = np.random.default_rng(0).standard_t(2, (20, 256)).astype(np.float32)
    seen = observed(values)
    few = values.ravel()
    errors = {method: error(few, *seen.limits(method)[0]) for method in RANGE_METHODS}
    assert errors["MSE"] <= 1.05 * min(errors.values()), errors


def test_the_least_squared_error_clips_what_is_rarer_than_one_in_a_million():
    """At 8 bits: a clipped outlier M costs p M^2, rounding costs M^2 / (12 * 255^2)."""
    values = np.random.default_rng(0).normal(size=(20, 256)).astype(np.float32)
    seen = observed(values)
    seen.ranges[0, 0, 1] = 100  # seen once among all values, and not among those that were kept
    low, high = seen.limits("MSE")[0]
    assert high < 10
    assert error(values.ravel(), low, high) < 0.01 * error(values.ravel(), low, 100)
    common = values.copy()
    common[:, 0] = 100  # 1 of 256: nothing to leave out
    assert observed(common).limits("MSE")[0, 1] > 95


def test_a_percentile_leaves_the_rarest_out_and_the_input_is_never_narrowed():
    values = np.full((40, 256), 1, np.float32)
    values[0, 0] = 1000  # 1 of 10,240
    values[:, 1] = 0
    assert observed(values).limits("Percentile 99.9")[0, 1] == 1
    for method in RANGE_METHODS:
        assert observed(values, fixed=True).limits(method)[0].tolist() == [0, 1000]


def test_what_parts_of_the_images_showed_adds_up():
    values = np.random.default_rng(1).normal(size=(10, 256)).astype(np.float32)
    seen = observed(values)
    again = join([seen[:3], seen[3:]])
    for method in RANGE_METHODS:
        np.testing.assert_array_equal(again.limits(method), seen.limits(method))


@pytest.mark.parametrize("kind", FORMATS)
def test_rare_outliers_ruin_min_max_and_a_percentile_repairs_them(glinting, kind):
    """The planted case: min-max loses more than 50 points, the percentile at most one."""
    make = maker(kind)
    judge = Judge(lab_frames(glinting.test, slice(1, None, 2)))
    recipe = Recipe(make.full_integer, glinting.network, glinting.field)
    verdicts = {
        method: judge.judge(make.make(replace(recipe, method=method)), f"a.{kind}")
        for method in ("MinMax", "Percentile 99.99")
    }
    assert verdicts["MinMax"].drop_points > 50
    assert verdicts["Percentile 99.99"].drop_points <= 1


@pytest.mark.parametrize("method", ["Percentile 99.99", "MSE"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_healthy_network_keeps_its_answers_by_any_ranges(plain, kind, method):
    make = maker(kind)
    data = make.make(Recipe(make.full_integer, plain.network, plain.field, method=method))
    assert read_kind(data) == "full_integer"
    assert Judge(lab_frames(plain.test, slice(1, None, 2))).judge(data, f"a.{kind}").ok


def test_the_ladder_starts_from_the_ranges_that_it_is_given(glinting):
    shop, make = make_workshop(glinting.lab, glinting.field, ExportOptions()), maker("tflite")
    recipe = Recipe(make.full_integer, glinting.network, shop.images)
    found = repair(shop, make, replace(recipe, method="Percentile 99.99"))
    assert found.recipe.method == "Percentile 99.99"
    assert found.healthy, found.to_text()
    climbed = repair(shop, make, recipe)
    assert climbed.ok
    assert [step.step for step in climbed.steps if step.kept] == ["as is", "narrow ranges"]


@pytest.mark.parametrize("integer_io", ["uint8", "int8"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_integer_file_of_the_ladder_has_the_ends_that_were_asked_for(plain, kind, integer_io):
    make = maker(kind, integer_io)
    recipe = Recipe(make.full_integer, plain.network, plain.field[:20])
    report = make.layers(recipe, make.make(recipe), plain.test.tensors[:8])
    first = report.layers[0].tensor
    worst = tuple(e.tensor for e in worst_tensors(report, 2))
    scores = {}
    for name, change in {
        "as is": {},
        "narrow": {"method": "MSE"},
        "mixed": {"float_tensors": worst},
        "first in float": {"float_tensors": (first,)},
        "narrow and mixed": {"method": "Percentile 99.9", "float_tensors": worst},
    }.items():
        runtime = load_runtime(make.make(replace(recipe, **change)), f"a.{kind}")
        assert (runtime.input.dtype, runtime.output.dtype) == (integer_io, integer_io), name
        assert runtime.input.scale == 1.0
        assert runtime.input.zero_point == (0 if integer_io == "uint8" else -128)
        scores[name] = np.stack([runtime.invoke(t) for t in plain.test.tensors[:100]])
    truth = plain.test.keras_scores[:100].argmax(axis=1)
    for name, found in scores.items():
        assert (found.argmax(axis=1) == truth).mean() >= 0.97, name


def test_the_export_takes_the_ranges_that_the_comparison_advises(
    glinting, tmp_path, write_model_folder
):
    import cv2

    images = [
        (cv2.imencode(".png", t[..., ::-1])[1].tobytes(), int(label))
        for t, label in zip(glinting.test.tensors, glinting.test.labels, strict=True)
    ]
    model = write_model_folder(tmp_path / "model", glinting.network, images, SPEC)
    field = tmp_path / "field"
    field.mkdir()
    for k, tensor in enumerate(glinting.field):
        cv2.imwrite(str(field / f"{k:03}.png"), tensor[..., ::-1])
    options = ExportOptions(
        formats=("tflite-full-integer",),
        compare=True,
        compare_counts=(50,),
        repair=True,
        integer_only=True,
    )
    result = export(model, field, tmp_path / "a.edgecnn", options)
    assert result.comparison.advice.tflite_method == "Percentile 99.99"
    assert "file takes Percentile 99.99" in result.comparison.to_text()
    assert result.drop(result.artifacts[0]) < 1
    assert result.repairs[0].recipe.method == "Percentile 99.99"


def test_integer_only_without_a_repair_is_refused():
    with pytest.raises(OptionError, match="add --repair"):
        ExportOptions(integer_only=True)
