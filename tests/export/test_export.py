"""From a MODEL folder to a bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import edgecnn
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import EdgecnnError, ImageError, ModelError, OptionError, OutputError
from edgecnn.export.export import FORMATS, ExportOptions, export
from edgecnn.model.read import load_lab_model, load_model

INTEGER = ("tflite-full-integer", "onnx-full-integer")


def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "model")


def test_all_seven_artifacts_are_written_and_checked_on_every_lab_image(small_result):
    bundle = Bundle.open(small_result.bundle)
    assert [a.file for a in bundle.card.artifacts] == list(FORMATS.values())
    assert bundle.card.artifacts == small_result.artifacts
    assert small_result.lab == bundle.card.lab.tally
    for artifact in bundle.card.artifacts:
        assert artifact.lab.total == 600
        assert artifact.agreement > 0.98
        assert artifact.ok


def test_the_lab_figure_of_an_older_model_is_counted_anew(digits_model, tmp_path):
    """It took digits that look alike for independent answers."""
    model = copy(digits_model, tmp_path)
    lab = load_lab_model(model).card.lab
    assert lab.tally.effective < lab.tally.total
    card = json.loads((model / "card.json").read_text())
    card["lab"] = {key: value for key, value in card["lab"].items() if key != "effective"}
    (model / "card.json").write_text(json.dumps(card))
    assert load_lab_model(model).card.lab == lab


def test_float_artifacts_compute_what_keras_computes(small_result):
    for artifact in small_result.artifacts:
        if artifact.kind == "float32":
            assert artifact.agreement == 1.0
            assert artifact.max_output_error < 1e-5
        if artifact.kind == "float16":
            assert artifact.max_output_error < 0.01


def test_the_table_of_the_lab_test_gives_the_tallies_of_the_card(small_result):
    bundle = Bundle.open(small_result.bundle)
    rows = bundle.lab_test()
    for artifact in bundle.card.artifacts:
        right = sum(row.predicted[artifact.file] == row.label for row in rows)
        same = sum(row.predicted[artifact.file] == row.predicted["keras"] for row in rows)
        assert right == artifact.lab.correct
        assert same / len(rows) == pytest.approx(artifact.agreement)
    assert sum(r.predicted["keras"] == r.label for r in rows) == bundle.card.lab.tally.correct


def test_full_integer_models_take_raw_pixels(small_result):
    for artifact in small_result.artifacts:
        if artifact.kind == "full_integer":
            assert artifact.input.dtype == artifact.output.dtype == "uint8"
            assert (artifact.input.scale, artifact.input.zero_point) == (1.0, 0)
            # 1/256 in TFLite, 1/255 in ONNX: the whole range of a score.
            assert artifact.output.scale == pytest.approx(1 / 255.5, rel=0.003)


def test_int8_models_take_pixels_less_128_and_answer_alike(small_result, small_int8):
    assert len(small_int8.artifacts) == 2
    for artifact in small_int8.artifacts:
        assert artifact.kind == "full_integer"
        assert artifact.input.dtype == artifact.output.dtype == "int8"
        assert (artifact.input.scale, artifact.input.zero_point) == (1.0, -128)
        twin = next(a for a in small_result.artifacts if a.file == artifact.file)
        assert artifact.lab.correct == pytest.approx(twin.lab.correct, abs=3)


def test_golden_frames_of_lab_and_field_replay_on_every_artifact(small_result):
    bundle = Bundle.open(small_result.bundle)
    names = [golden.file for golden in bundle.golden()]
    assert len(names) == 8
    assert sum("field" in name for name in names) == 4
    for artifact in bundle.card.artifacts:
        replayed = Classifier(bundle, artifact.file).replay_golden()
        assert all(result.tensor_ok and result.steps == 0 for result in replayed)
    fields = [g.scores["model_float32.tflite"] for g in bundle.golden() if "field" in g.file]
    assert len({int(np.argmax(scores)) for scores in fields}) == 4


def test_the_card_tells_where_the_model_and_its_ranges_come_from(small_result, small_field):
    card = Bundle.open(small_result.bundle).card
    assert card.edgecnn == edgecnn.__version__
    assert card.calibration["source"] == "field"
    assert card.calibration["count"] == len(list(small_field.iterdir()))
    assert len(card.calibration["sha256"]) == 64


def test_json_and_text_tell_the_same(small_result):
    data = json.loads(json.dumps(small_result.to_json()))
    assert data["bundle"] == str(small_result.bundle)
    text = small_result.to_text()
    for artifact in data["artifacts"]:
        assert {"file", "kind", "bytes", "lab", "agreement", "ok"} <= set(artifact)
        known = {"correct", "total", "effective", "accuracy", "low", "high"}
        assert set(artifact["lab"]) == known, "digits that look alike are worth less"
        assert artifact["file"] in text
    assert f"edgecnn evaluate {small_result.bundle}" in text


def count_calls(monkeypatch, module, name):
    """How often a converter is called, and with which format."""
    calls = []
    real = getattr(module, name)

    def counted(*args, **more):
        calls.append(args[1] if name == "convert_tflite" else name)
        return real(*args, **more)

    monkeypatch.setattr(module, name, counted)
    return calls


def test_comparing_exporting_and_repairing_convert_each_file_once(
    tmp_path, small_model, small_field, monkeypatch
):
    from edgecnn.export.convert import onnx_maker, tflite_maker, tflite_ranges

    frozen = count_calls(monkeypatch, tflite_maker, "freeze")
    files = count_calls(monkeypatch, tflite_maker, "convert_tflite")
    open_ranges = count_calls(monkeypatch, tflite_ranges, "calibratable")
    onnx = count_calls(monkeypatch, onnx_maker, "convert_onnx")
    options = ExportOptions(compare=True, compare_counts=(20,), repair=True)
    result = export(small_model, small_field, tmp_path / "once.edgecnn", options)
    assert all(found.healthy for found in result.repairs)
    assert (len(frozen), len(open_ranges), len(onnx)) == (1, 1, 1)
    # The repair judges a file that a part of the images did not help to calibrate.
    wanted = [name for name in options.formats if name.startswith("tflite-")]
    assert sorted(files) == sorted([*wanted, "tflite-full-integer"])


def test_a_repair_takes_the_file_that_was_converted_where_no_image_is_set_aside(
    tmp_path, small_model, small_field, monkeypatch
):
    from edgecnn.export.convert import tflite_maker

    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(small_field.iterdir())[:30]:
        shutil.copy(path, few)
    files = count_calls(monkeypatch, tflite_maker, "convert_tflite")
    options = ExportOptions(formats=("tflite-full-integer",), repair=True)
    result = export(small_model, few, tmp_path / "few.edgecnn", options)
    assert [step.step for step in result.repairs[0].steps] == ["as is"]
    assert files.count("tflite-full-integer") == 1
    assert files.count("tflite-float32") == 1  # to compare the layers with


@pytest.fixture(scope="module")
def brittle_model(tmp_path_factory, small_model, small_spec, lab_images, write_model_folder):
    """The same network with +20000 on every logit: softmax does not see it, 8 bits drown in it."""
    import keras

    network = keras.saving.load_model(small_model / "model.keras")
    dense = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel, bias + 20000])
    folder = tmp_path_factory.mktemp("export") / "brittle"
    return write_model_folder(folder, network, lab_images, small_spec)


def test_an_artifact_that_loses_too_much_fails_the_gate_and_is_marked(
    tmp_path, brittle_model, small_field
):
    options = ExportOptions(formats=("tflite-float32", *INTEGER), max_drop=5.0)
    result = export(brittle_model, small_field, tmp_path / "b.edgecnn", options)
    assert not result.ok
    ok = {a.file: a.ok for a in Bundle.open(tmp_path / "b.edgecnn").card.artifacts}
    assert ok.pop("model_float32.tflite")
    assert not any(ok.values())
    assert "drop too large" in result.to_text()
    told = [w for w in result.warnings if "disagrees with the Keras model" in w]
    assert len(told) == len(INTEGER)
    assert all("its images are not the cause: rounding is" in w for w in told)
    assert "most precision is lost in " in told[0]


def test_without_a_gate_the_same_artifact_is_written_with_a_warning(
    tmp_path, brittle_model, small_field
):
    options = ExportOptions(formats=("tflite-full-integer",))
    result = export(brittle_model, small_field, tmp_path / "b.edgecnn", options)
    assert result.ok
    assert result.drop(result.artifacts[0]) > 20


@pytest.fixture(scope="module")
def odd_model(tmp_path_factory, small_spec, lab_images, write_model_folder):
    """A network with an operation that has no 16-bit version."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input(small_spec.shape)
    x = keras.layers.Rescaling(1 / 64)(image)
    x = keras.layers.Flatten()(keras.ops.sin(keras.layers.Conv2D(4, 5, strides=4)(x)))
    network = keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(10)(x)))
    folder = tmp_path_factory.mktemp("export") / "odd"
    return write_model_folder(folder, network, lab_images[:60], small_spec)


def test_of_the_whole_set_an_impossible_format_is_left_out_with_a_warning(
    tmp_path, odd_model, small_field
):
    every = ExportOptions(formats=("all",))
    result = export(odd_model, small_field, tmp_path / "odd.edgecnn", every)
    files = [a.file for a in result.artifacts]
    assert "model_integer_quant_with_int16_act.tflite" not in files
    assert len(files) == 6
    assert any("tflite-int16" in w and "SIN" in w for w in result.warnings)
    kinds = {a.file: a.kind for a in result.artifacts}
    assert kinds["model_full_integer_quant.tflite"] == "hybrid/float32+int8"
    assert any("is hybrid/float32+int8 inside" in w for w in result.warnings)


def test_an_impossible_format_that_was_asked_for_is_an_error(tmp_path, odd_model, small_field):
    options = ExportOptions(formats=("tflite-float32", "tflite-int16"))
    with pytest.raises(ModelError, match=r"tflite-int16.*SIN.*--formats"):
        export(odd_model, small_field, tmp_path / "odd.edgecnn", options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": ("tflite-float32", "coreml")}, "coreml"),
        ({"formats": ()}, "names nothing"),
        ({"integer_io": "int4"}, "int4"),
        ({"max_drop": -1.0}, "max-drop is -1, expected a number from 0"),
        ({"compare_counts": (50,)}, "--compare-counts says .* add --compare"),
        ({"field": Path("field")}, "--field says .* add --compare"),
        ({"formats": ("float32",), "repair": True}, "^--repair is about full-integer files"),
        ({"formats": ("float32", "int16"), "integer_io": "int8"}, "^--integer-io int8 is about"),
    ],
)
def test_options_that_do_not_exist_are_refused_with_those_that_do(options, said):
    with pytest.raises(EdgecnnError, match=said):
        ExportOptions(**options)


@pytest.mark.parametrize("formats", [("int8",), ("onnx",), ("micro", "int8"), ("all",)])
def test_what_is_about_integer_files_goes_with_one_of_them(formats):
    ExportOptions(formats=formats, repair=True, integer_io="int8")


def test_a_bundle_in_the_place_of_a_model_is_named(small_result, small_field, tmp_path):
    with pytest.raises(ModelError, match="is a bundle, expected the MODEL folder or the Keras"):
        export(small_result.bundle, small_field, tmp_path / "out.edgecnn")


def test_a_bundle_among_the_images_that_are_read_is_refused(small_model, small_field, tmp_path):
    for given in (small_field, [small_field, tmp_path]):
        place = small_field / "o.edgecnn"
        with pytest.raises(OutputError, match="whose images are read"):
            export(small_model, given, place)
        assert not place.exists()
    (tmp_path / "judge").mkdir()
    options = ExportOptions(compare=True, field=tmp_path / "judge")
    with pytest.raises(OutputError, match="whose images are read"):
        export(small_model, small_field, tmp_path / "judge" / "o.edgecnn", options)


def test_a_step_of_videos_without_a_video_is_refused(small_model, small_field, tmp_path):
    with pytest.raises(OptionError, match=r"--video-step 3 .* no --calibration is one"):
        export(small_model, small_field, tmp_path / "o.edgecnn", ExportOptions(video_step=3))
    assert list(tmp_path.iterdir()) == []


def _no_model(folder):
    (folder / "model.keras").unlink()


def _corrupt(folder):
    (folder / "model.keras").write_bytes((folder / "model.keras").read_bytes()[:2000])


def _no_lab_test(folder):
    (folder / "lab_test.npz").unlink()


def _cut_lab_test(folder):
    (folder / "lab_test.npz").write_bytes((folder / "lab_test.npz").read_bytes()[:-3000])


def _other_labels(folder):
    card = json.loads((folder / "card.json").read_text())
    card["labels"] = card["labels"][:9]
    (folder / "card.json").write_text(json.dumps(card))


def _edit_card(**changes):
    def edit(folder):
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return edit


def _swapped_labels(folder):
    labels = json.loads((folder / "card.json").read_text())["labels"]
    counts = dict.fromkeys(labels, 100)  # as `train` writes them
    _edit_card(labels=labels[::-1], training={"class_counts": counts})(folder)


def _float_labels(folder):
    arrays = dict(np.load(folder / "lab_test.npz"))
    np.savez(folder / "lab_test.npz", **{**arrays, "labels": arrays["labels"] + 0.5})


def _torn_card(folder):
    (folder / "card.json").write_text("{")


def _other_network(folder):
    import keras

    network = keras.saving.load_model(folder / "model.keras")
    network.set_weights([w + 0.1 for w in network.get_weights()])
    network.save(folder / "model.keras")


@pytest.mark.parametrize(
    "damage",
    [
        _no_model,
        _corrupt,
        _no_lab_test,
        _cut_lab_test,
        _other_labels,
        _swapped_labels,
        _float_labels,
        _edit_card(name=None),
        _edit_card(prior=[1.0]),
        _edit_card(things="often"),
        _edit_card(labels=["0"] * 10),
        _torn_card,
        _other_network,
    ],
)
def test_a_damaged_model_folder_is_refused_in_one_line(tmp_path, small_model, small_field, damage):
    folder = copy(small_model, tmp_path)
    damage(folder)
    with pytest.raises(ModelError) as caught:
        export(folder, small_field, tmp_path / "out.edgecnn")
    assert "\n" not in str(caught.value)
    assert "train" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_edited_labels_are_refused_by_whatever_takes_the_network(tmp_path, small_model):
    folder = copy(small_model, tmp_path)
    _swapped_labels(folder)
    with pytest.raises(ModelError, match=r"has the label '.*' where the training had '"):
        load_model(folder)


@pytest.mark.parametrize("folder_of", ["camera_1", "{label}_test", "0"])
def test_labels_need_not_be_the_names_of_the_folders(tmp_path, small_model, folder_of):
    folder = copy(small_model, tmp_path)
    arrays = dict(np.load(folder / "lab_test.npz"))
    labels = json.loads((folder / "card.json").read_text())["labels"]
    arrays["files"] = np.array(
        [
            f"{folder_of.format(label=labels[code])}/{Path(name).name}"
            for name, code in zip(arrays["files"], arrays["labels"], strict=True)
        ]
    )
    np.savez(folder / "lab_test.npz", **arrays)
    assert load_lab_model(folder).test.files.tolist() == arrays["files"].tolist()


def test_an_output_that_is_somebody_elses_is_left_alone(tmp_path, small_model, small_field):
    taken = tmp_path / "photos"
    taken.mkdir()
    (taken / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(OutputError, match="not a folder of this command"):
        export(small_model, small_field, taken)
    assert (taken / "cat.jpg").read_bytes() == b"cat"


def test_a_failure_at_the_end_leaves_the_older_bundle_and_nothing_else(
    tmp_path, small_model, small_field
):
    options = ExportOptions(formats=("tflite-float32",))
    before = export(small_model, small_field, tmp_path / "b.edgecnn", options)
    folder = copy(small_model, tmp_path)
    (folder / "golden" / "0.png").write_bytes(b"")
    with pytest.raises(ImageError):
        export(folder, small_field, tmp_path / "b.edgecnn", options)
    assert Bundle.open(before.bundle).card.artifacts == before.artifacts
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.edgecnn", "model"]


def test_progress_is_reported_and_the_converters_are_silent(small_alone):
    """In a process of its own: C++ code writes past sys.stderr, and only on first use."""
    seen = json.loads((small_alone / "progress.json").read_text())
    assert all(0 <= done <= total for _, done, total in seen)
    steps = {what.split()[0].rstrip(":") for what, _, _ in seen}
    assert steps == {"loading", "reading", "converting", "comparing", "checking"}
    assert json.loads((small_alone / "said.json").read_text()) == ["", ""]
