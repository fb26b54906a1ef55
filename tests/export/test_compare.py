"""The calibration experiment: which set, how many images, which ranges."""

import json
import shutil
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.artifacts import ONNX_FULL_INTEGER
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode, to_tensor
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.errors import CalibrationError, EdgecnnError, OptionError
from edgecnn.export.calibration.advice import advise, is_worse
from edgecnn.export.calibration.choice import choose_calibration
from edgecnn.export.calibration.images import Reading, load_calibration, pin
from edgecnn.export.calibration.result import AEQ, Cell, draw_comparison, plot_comparison
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.onnx_convert import quantize_onnx
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.convert.tflite_ranges import RangeModel, clipped_shares
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.readback.kinds import read_kind
from edgecnn.files.folders import find_labelled
from edgecnn.model.read import load_lab_model
from edgecnn.model.tflite_network import freeze

FILE = "model_full_integer_quant.tflite"
SMALL = ExportOptions(compare=True, compare_counts=(10, 25))
TFLITE = replace(SMALL, formats=("tflite-full-integer",), compare_counts=(10,))


@pytest.fixture(scope="module")
def lab(small_model):
    """With 200 of the lab test images: every one of some hundred files is measured on all."""
    whole = load_lab_model(small_model)
    arrays = {field.name: getattr(whole.test, field.name)[:200] for field in fields(whole.test)}
    return replace(whole, test=replace(whole.test, **arrays))


@pytest.fixture(scope="module")
def range_model(lab):
    return RangeModel(freeze(lab.network, lab.card.input.shape))


@pytest.fixture(scope="module")
def flat_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "flat"
    folder.mkdir()
    for grey in range(90, 120):
        cv2.imwrite(str(folder / f"{grey}.png"), np.full((24, 20, 3), grey, np.uint8))
    return folder


@pytest.fixture(scope="module")
def chosen(lab, small_field, image_folder, flat_folder):
    return choose(lab, [flat_folder, small_field, image_folder], SMALL)


def choose(lab, folders, options):
    return choose_calibration(lab, Makers(lab.card), folders, options)


def scores(data, tensors):
    runtime = load_runtime(data, FILE)
    return np.stack([runtime.invoke(tensor) for tensor in tensors])


@pytest.mark.parametrize("per_channel", [True, False])
def test_measured_ranges_give_the_model_that_the_converter_makes(lab, range_model, per_channel):
    images = lab.test.tensors[:30].copy()
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    frozen = freeze(lab.network, lab.card.input.shape)
    wanted = convert_tflite(frozen, "tflite-full-integer", images, per_channel=per_channel)
    made = range_model.quantize(range_model.measure(images).limits(), per_channel)
    np.testing.assert_array_equal(
        scores(made, lab.test.tensors[:200]), scores(wanted, lab.test.tensors[:200])
    )


def test_ranges_of_a_subset_give_another_model(lab, range_model):
    seen = range_model.measure(lab.test.tensors[:30])
    few, many = (range_model.quantize(part.limits()) for part in (seen[:2], seen))
    assert (scores(few, lab.test.tensors[:50]) != scores(many, lab.test.tensors[:50])).any()


def test_clipped_shares_are_those_of_the_values_beyond_the_files_ranges(lab, range_model):
    import tensorflow as tf

    images = lab.test.tensors[100:110]
    data = range_model.quantize(range_model.measure(lab.test.tensors[:2]).limits())
    shares = clipped_shares(range_model, range_model.measure(images, kept=20_000), data)
    layer = next(name for name in shares if name.endswith("MaxPool2d"))
    with pytest.warns(UserWarning, match="deprecated"):
        details = tf.lite.Interpreter(model_content=data).get_tensor_details()
    scale, zero_point = next(d["quantization"] for d in details if d["name"] == layer)
    most = (127 - zero_point) * scale
    values = np.concatenate([range_model.tap.run(image)[layer].ravel() for image in images])
    assert shares[layer] == pytest.approx((values > most + scale).mean(), rel=0.1)
    assert shares[layer] > 0


def test_all_that_calibrates_covers_itself(lab, range_model):
    images = lab.test.tensors[:10]
    data = range_model.quantize(range_model.measure(images).limits())
    assert max(clipped_shares(range_model, range_model.measure(images), data).values()) == 0


def test_ai_edge_quantizer_makes_a_full_integer_file_of_the_same_ranges(lab, range_model):
    pytest.importorskip("ai_edge_quantizer")
    from edgecnn.export.convert.ai_edge_quantizer import AEQ_METHODS, quantize_aeq

    limits = range_model.named(range_model.measure(lab.test.tensors[:30]).limits())
    for method in AEQ_METHODS:
        data = quantize_aeq(range_model.float_file, limits, method)
        assert read_kind(data) == "full_integer"
        top1 = scores(data, lab.test.tensors).argmax(axis=1)
        assert (top1 == lab.test.keras_top1).mean() > 0.97


def test_a_flat_set_is_measured_found_out_and_not_advised(chosen):
    comparison = chosen.comparison
    flat = [c for c in comparison.cells if c.name == "flat"]
    rest = [c for c in comparison.cells if c.name != "flat"]
    assert max(c.agreement.accuracy for c in flat) < 0.9
    assert min(c.agreement.accuracy for c in rest) > 0.9
    assert min(c.clipped_mean for c in flat if c.clipped) > 0.01
    assert comparison.advice.name in ("field", "images")
    assert comparison.advice.healthy
    assert any("flat" in warning for warning in comparison.warnings)


def test_the_grid_has_each_set_and_their_union_in_two_draws_by_every_back_end(chosen):
    cells = chosen.comparison.cells
    assert {c.name for c in cells} == {"flat", "field", "images", "union of all"}
    tried = {(c.back_end, c.method, c.granularity) for c in cells if c.back_end != AEQ}
    assert tried == {
        ("tflite", "MinMax", "channel"),
        ("tflite", "MinMax", "tensor"),
        ("tflite", "Percentile 99.99", "channel"),
        ("tflite", "MSE", "channel"),
        ("onnxruntime", "MinMax", "channel"),
        ("onnxruntime", "MinMax", "tensor"),
        ("onnxruntime", "Percentile", "channel"),
        ("onnxruntime", "Entropy", "channel"),
        ("onnxruntime", "MSE", "channel"),
    }
    assert all([c.draw for c in group] == [0, 1] for group in chosen.comparison.groups())
    assert {c.count for c in cells if c.name == "images"} == {10, 25}
    assert {c.count for c in cells if c.name == "flat"} == {10, 15}  # half of it is a draw


def test_the_advised_images_calibrate_and_flat_frames_are_not_judged_by(chosen):
    assert chosen.images.source == chosen.comparison.advice.name
    held_out = chosen.comparison.held_out
    assert held_out["flat"] == 0
    assert held_out["field"] == 24
    assert all(c.agreement.total == sum(held_out.values()) for c in chosen.comparison.cells)
    # Digits of one shape are one thing: these agreements have an interval as accuracies have.
    cell = max(chosen.comparison.cells, key=lambda c: c.agreement.correct)
    assert cell.agreement.worth <= len(set(cell.things.tolist())) < cell.agreement.total


def test_no_frame_of_a_given_field_is_calibrated_with(lab, small_field, image_folder):
    options = replace(TFLITE, field=small_field)
    comparison = choose(lab, [image_folder], options).comparison
    assert comparison.held_out == {"field": 120}
    with pytest.raises(CalibrationError, match=r"field has 0 images beside those to judge by"):
        choose(lab, [small_field], options)


def test_two_runs_give_the_same(lab, small_field, image_folder):
    first, second = (
        choose(lab, [small_field, image_folder], TFLITE).comparison.to_json() for _ in range(2)
    )
    assert first == second


def test_the_table_and_the_json_tell_everything(chosen):
    content = json.loads(json.dumps(chosen.comparison.to_json()))
    assert len(content["cells"]) == len(chosen.comparison.cells)
    assert content["advice"]["set"] == chosen.comparison.advice.name
    text = chosen.comparison.to_text()
    assert f"advice: calibrate with {chosen.comparison.advice.name}" in text
    layer, share = max((c.clipped_worst for c in chosen.comparison.cells), key=lambda x: x[1])
    for word in ("union of all", "Percentile", "per tensor", "24 of field"):
        assert word in text
    assert f"{layer} {100 * share:.2f} %" in text


def test_the_plot_shows_every_cell(chosen):
    figure = draw_comparison(chosen.comparison)
    *panels, clipped = figure.axes
    points = [
        len(line.get_xdata()) for axes in panels for line in axes.lines if line.get_marker() in "os"
    ]
    assert sum(points) == len(chosen.comparison.cells)
    assert any(line.get_marker() == "s" for line in clipped.lines)
    assert plot_comparison(chosen.comparison).startswith(b"\x89PNG")


def test_the_bundle_keeps_the_experiment_and_is_calibrated_as_advised(
    small_model, small_field, flat_folder, tmp_path
):
    options = ExportOptions(formats=("tflite-full-integer",), compare=True, compare_counts=(10, 20))
    result = export(small_model, [flat_folder, small_field], tmp_path / "a.edgecnn", options)
    bundle = Bundle.open(result.bundle)
    kept = json.loads(bundle.read("quantization.json"))["compare"]
    assert kept == json.loads(json.dumps(result.comparison.to_json()))
    assert "onnxruntime" not in {cell["back_end"] for cell in kept["cells"]}  # not asked for
    assert bundle.read("calibration.png").startswith(b"\x89PNG")
    assert bundle.card.calibration["source"] == kept["advice"]["set"] == "field"
    assert result.artifacts[0].agreement > 0.97
    assert "advice: calibrate with field" in result.to_text()


def test_without_the_experiment_the_union_calibrates_and_the_card_names_its_sources(
    small_model, small_field, image_folder, tmp_path
):
    options = ExportOptions(formats=("tflite-full-integer",))
    result = export(small_model, [small_field, image_folder], tmp_path / "a.edgecnn", options)
    bundle = Bundle.open(result.bundle)
    assert "calibration.png" not in bundle.files
    assert bundle.card.calibration["source"] == "field + images"
    assert bundle.card.calibration["count"] == 500
    parts = bundle.card.calibration["sources"]
    assert [(p["source"], p["count"]) for p in parts] == [("field", 120), ("images", 380)]


@pytest.mark.meters
@pytest.mark.long
def test_the_advice_is_the_set_that_then_does_best_on_the_shared_devices(
    meters, flat_folder, tmp_path
):
    """13 devices, 4,267 labelled frames, which the experiment has not seen the labels of."""
    from edgecnn.train.train import TrainOptions, train

    quick = TrainOptions(width=24, height=36, epochs=8, augment="none", network_width=0.5, seed=1)
    train(meters / "lab", tmp_path / "model", quick)
    lab = load_lab_model(tmp_path / "model")
    names = ("techem_vdr", "pp", "lcd")
    folders = [meters / "lab", *(meters / "field" / name for name in names), flat_folder]
    options = replace(TFLITE, compare_counts=(50, 200))
    comparison = choose(lab, folders, options).comparison
    frozen = freeze(lab.network, lab.card.input.shape)
    truth = [
        (to_tensor(decode(one.path.read_bytes()), lab.card.input), lab.card.labels.index(one.label))
        for device in sorted((meters / "field").iterdir())
        for one in find_labelled(device)
    ]
    labels = np.array([label for _, label in truth])
    right = {}
    for sets in ([0], [1], [2], [3], [4], [0, 1, 2, 3, 4]):
        card, some = lab.card, [folders[k] for k in sets]
        reading = Reading(strict=False)
        images = load_calibration(some, card.input, card.labels, lab.scores, reading=reading)
        data = convert_tflite(frozen, "tflite-full-integer", pin(images.tensors))
        top1 = scores(data, [tensor for tensor, _ in truth]).argmax(axis=1)
        right[tuple(sets)] = top1 == labels
    advised = right[comparison.advice.sets]
    for sets, other in right.items():
        lost, won = int((other & ~advised).sum()), int((advised & ~other).sum())
        assert lost <= won or binomtest(lost, lost + won).pvalue > 0.05, (sets, lost, won)
    assert advised.sum() > right[4,].sum() + 0.02 * len(truth), right  # the flat set is ruinous


def cell(name="a", lost=(), drop=0.0, num_sets=1, clipped=0.0, **more):
    agrees = np.ones(200, bool)
    agrees[list(lost)] = False
    values = {
        "back_end": "tflite",
        "method": "MinMax",
        "granularity": "channel",
        "count": 50,
        "draw": 0,
        "lab": Tally(90, 100),
        "agreement": Tally(int(agrees.sum()), 200),
        "clipped": {"conv": clipped},
        "things": np.arange(200),
        **more,
    }
    return Cell(name=name, num_sets=num_sets, drop=drop, agrees=agrees, **values)


def draws(*cells):
    return [replace(c, draw=draw) for c in cells for draw in (0, 1)]


def test_a_difference_counts_when_chance_would_not_make_it():
    same, some, many = cell(), cell(lost=range(4)), cell(lost=range(12))
    assert not is_worse([same], [same])
    assert not is_worse([some], [same])
    assert is_worse([many], [same])
    assert not is_worse([same], [many])
    # As many won as lost is no difference, however many.
    assert not is_worse([cell(lost=range(12))], [cell(lost=range(12, 24))])


def test_two_draws_of_the_same_frames_are_no_more_evidence_than_one():
    same, some = cell(), cell(lost=range(5))
    assert not is_worse([some] * 10, [same] * 10)


def test_frames_of_one_thing_are_no_more_evidence_than_one():
    things = np.minimum(np.arange(200), 188)[::-1]
    same, many = cell(things=things), cell(lost=range(12), things=things)
    assert not is_worse([many], [same])


@pytest.mark.parametrize(
    ("cells", "advised"),
    [
        # More agreement wins over lab accuracy and simplicity,
        ((cell("a", range(30)), cell("union", drop=3, num_sets=2)), "union"),
        # within noise the single set does, of several the one that clips less.
        ((cell("a", range(3)), cell("union", num_sets=2)), "a"),
        ((cell("a", clipped=0.1), cell("b", range(3), clipped=0.01)), "b"),
        ((cell("a", drop=1.0), cell("b", drop=0.5)), "b"),
        ((cell("a"), cell("b")), "a"),
    ],
)
def test_the_advice_is_by_agreement_then_the_simplest(cells, advised):
    names = [c.name for c in cells if c.num_sets == 1]
    advice = advise(draws(*cells), names)
    assert advice.name == advised
    assert advice.sets == ((names.index(advised),) if advised in names else (0,))


def test_how_many_are_enough_is_the_fewest_within_noise():
    cells = [cell(lost=range(40), count=10), cell(lost=range(2), count=50), cell(count=200)]
    assert advise(draws(*cells), ["a"]).enough == 50


def test_no_healthy_set_is_said_so():
    advice = advise(draws(cell(lost=range(40))), ["a"])
    assert not advice.healthy
    assert "a healthy set reaches 97 %" in advice.reasons[0]


@pytest.mark.parametrize(("lost", "method"), [(range(30), "MSE"), (range(3), "MinMax")])
def test_other_ranges_are_taken_only_beyond_noise(lost, method):
    onnx = {"back_end": "onnxruntime", "clipped": {}}
    cells = [cell(), cell(lost=lost, **onnx), cell(method="MSE", **onnx)]
    advice = advise(draws(*cells), ["a"])
    assert (advice.tflite_method, advice.onnx_method) == ("MinMax", method)
    advice = advise(draws(cell(lost=lost), cell(method="MSE")), ["a"])
    assert (advice.tflite_method, advice.onnx_method) == (method, "MinMax")
    assert advice.healthy


def test_the_set_is_chosen_by_min_max_whatever_the_ranges():
    cells = [cell("a", range(20)), cell("b", range(5)), cell("a", method="MSE")]
    assert advise(draws(*cells), ["a", "b"]).name == "b"


def test_an_onnx_method_other_than_min_max_gets_no_more_images_than_were_tried(
    chosen, lab, monkeypatch
):
    comparison = chosen.comparison
    entropy = replace(comparison.advice, onnx_method="Entropy")
    other = replace(chosen, comparison=replace(comparison, advice=entropy))
    recipe = other.recipe(ONNX_FULL_INTEGER, lab.network)
    assert recipe.method == "Entropy"
    assert recipe.histogram_images <= 25 < len(recipe.images)
    given = []

    def quantize(data, images, *args, **more):
        given.append(len(images))
        return quantize_onnx(data, images[:2], *args, **more)

    monkeypatch.setattr("edgecnn.export.convert.onnx_maker.quantize_onnx", quantize)
    for one in (other, chosen):
        Makers(lab.card).onnx.make(one.recipe(ONNX_FULL_INTEGER, lab.network))
    assert 5 <= given[0] <= 25
    assert given[1] == len(chosen.images.files)


def test_what_cannot_be_compared_is_refused_in_one_line(lab, small_field, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(small_field.iterdir())[:7]:
        shutil.copy(path, few)
    for folders, message in (
        ([few], "1 frames are left to judge"),
        ([few, small_field], "few has 6 images beside those to judge by, expected 10"),
        ([small_field, small_field], "given twice"),
        ([small_field, tmp_path / "none"], "does not exist"),
        ([], "no calibration folder given"),
    ):
        with pytest.raises(EdgecnnError, match=message) as caught:
            choose(lab, folders, TFLITE)
        assert "\n" not in str(caught.value)


def test_sets_of_the_same_name_are_told_apart(lab, small_field, image_folder, tmp_path):
    folders = [tmp_path / day / "frames" for day in ("monday", "tuesday")]
    for source, folder in zip((small_field, image_folder), folders, strict=True):
        shutil.copytree(source, folder)
    comparison = choose(lab, folders, TFLITE).comparison
    names = {c.name for c in comparison.cells}
    assert names == {*map(str, folders), "union of all"}


def test_counts_out_of_range_are_refused():
    for counts in ((), (0,), (-5, 10), (9999,)):
        with pytest.raises(OptionError, match="compare-counts"):
            ExportOptions(compare=True, compare_counts=counts)
