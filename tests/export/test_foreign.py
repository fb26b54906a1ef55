"""Keras files of the user's own: from what people save to a bundle."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import EdgecnnError
from edgecnn.export.export import FORMATS, ExportOptions, export
from edgecnn.export.foreign.foreign import load_any_model
from edgecnn.export.foreign.normalization import Front
from edgecnn.images.dataset import load_dataset

SPEC = InputSpec(width=24, height=28)
UNCHANGED = Front()
WANTED = Front("minus_one_one", "bgr")


def of(lab, front=UNCHANGED, labels=None, **more):
    """What the options say of a Keras file."""
    normalize, color = front.normalize, front.color
    return ExportOptions(lab=lab, normalize=normalize, color=color, labels=labels, **more)


FAST = ("tflite-float32", "tflite-full-integer", "onnx-float32")
QUIET = "ignore:The structure of `inputs`:UserWarning"


def _import(name: str):
    path = Path(__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def own():
    """The module of the user's networks, as a program of theirs would import it."""
    yield _import("own_networks")
    del sys.modules["own_networks"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory, write_digits) -> Path:
    return write_digits(tmp_path_factory.mktemp("foreign") / "lab", 0, 400, 1.0)


@pytest.fixture(scope="module")
def field(tmp_path_factory, write_digits) -> Path:
    return write_digits(tmp_path_factory.mktemp("foreign") / "field", 1500, 1620, 0.8)


def as_trained(data, front: Front) -> np.ndarray:
    """The pixels that the user's training script makes."""
    pixels = data.tensors.astype(np.float32)
    if front.color == "bgr":
        pixels = pixels[..., ::-1]
    if front.color == "grey":
        pixels = pixels @ np.float32([[0.299], [0.587], [0.114]])
    return {"none": pixels, "minus_one_one": pixels / 127.5 - 1}[front.normalize]


def train(
    network, data, front: Front, classes=None, loss="sparse_categorical_crossentropy", epochs=7
):
    network.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=False)
    classes = data.classes if classes is None else classes
    network.fit(as_trained(data, front), classes, batch_size=40, epochs=epochs, verbose=0)
    return network


@pytest.fixture(scope="module")
def data(lab):
    return load_dataset(lab, SPEC)


@pytest.fixture(scope="module")
def files(once, own, data) -> Path:
    """A network that was trained on B, G, R pixels between -1 and 1, as people save it."""

    def make(folder: Path) -> None:
        keras.utils.set_random_seed(1)
        network = train(own.plain(SPEC.shape, 10), data, WANTED)
        network.save(folder / "net.keras")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("absl.logging.warning", lambda *_: None)  # "this file format is legacy"
            network.save(folder / "net.h5")
        network.export(folder / "net_saved", verbose=False)

    return once("foreign-files", make, recipe=Path(own.__file__))


@pytest.fixture(scope="module")
def trained(files):
    return keras.saving.load_model(files / "net.keras", compile=False)


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net_saved"])
def test_every_kind_of_file_gives_artifacts_that_take_raw_frames(
    tmp_path, files, trained, lab, field, data, name
):
    options = ExportOptions(FAST, lab=lab, normalize="minus_one_one", color="bgr")
    result = export(files / name, field, tmp_path / "own.edgecnn", options)
    expected = trained.predict(as_trained(data, WANTED), verbose=0)
    assert result.lab.correct == (expected.argmax(1) == data.classes).sum() > 380
    assert not [w for w in result.warnings if "normalize" in w]
    bundle = Bundle.open(result.bundle)
    assert bundle.card.labels == tuple("0123456789")
    assert bundle.card.training["imported"]["file"] == name
    assert len(bundle.golden()) == 8
    for artifact in result.artifacts:
        assert artifact.agreement > 0.98
    scores = Classifier(bundle, "model_float32.tflite").runtime.invoke(data.tensors[7])
    assert np.abs(scores - expected[7]).max() < 1e-4


@pytest.mark.filterwarnings(QUIET)
def test_a_network_of_every_exotic_part_comes_out_in_all_seven_formats(
    tmp_path, own, lab, field, data
):
    keras.utils.set_random_seed(2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    in_float32 = own.exotic(SPEC.shape, 10)  # a CPU computes many times slower in float16
    train(in_float32, data, Front(), {"logits": data.classes}, {"logits": loss}, epochs=14)
    network = own.exotic_mixed(SPEC.shape, 10)
    network.set_weights(in_float32.get_weights())
    network.save(tmp_path / "exotic.keras")
    options = ExportOptions(("all",), lab=lab, width=SPEC.width, height=SPEC.height)
    result = export(tmp_path / "exotic.keras", field, tmp_path / "b.edgecnn", options)
    logits = network.predict({"picture": data.tensors.astype(np.float32)}, verbose=0)["logits"]
    agree = logits.argmax(1) == np.array(
        [int(row.predicted["keras"]) for row in Bundle.open(result.bundle).lab_test()]
    )
    assert agree.mean() > 0.98  # float16 against float32
    assert result.lab.accuracy > 0.9
    kinds = {a.file: a.kind for a in result.artifacts}
    assert list(kinds) == list(FORMATS.values())
    assert kinds["model_integer_quant_with_int16_act.tflite"] == "int16_activations"
    assert kinds["model_full_integer_quant.tflite"] == "full_integer"
    for artifact in result.artifacts:
        assert artifact.agreement > 0.97, artifact.file
        if artifact.kind == "float32":
            assert artifact.max_output_error < 1e-4


@pytest.mark.parametrize(
    ("front", "said"),
    [
        (Front("unit"), "--normalize minus_one_one --color bgr"),
        (Front("none", "bgr"), "--normalize minus_one_one --color bgr"),
    ],
)
def test_wrong_pixels_are_named_with_the_measured_gain(files, lab, front, said):
    model = load_any_model(files / "net.keras", of(lab, front))
    (line,) = model.notes
    assert said in line
    assert f"with {front.options()} the Keras model reads" in line
    assert "\n" not in line


def test_labels_in_another_order_are_named(tmp_path, files, lab):
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{(k + 3) % 10}\n" for k in range(10)))
    model = load_any_model(files / "net.keras", of(lab, WANTED, labels))
    assert model.card.lab.tally.accuracy < 0.1
    (line,) = model.notes
    assert "in the order 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in line
    assert "--labels" in line


def test_a_network_of_another_task_is_told_to_be_at_chance(tmp_path, own, lab):
    keras.utils.set_random_seed(5)
    own.plain(SPEC.shape, 10).save(tmp_path / "untrained.keras")
    model = load_any_model(tmp_path / "untrained.keras", of(lab, Front("unit")))
    assert [n for n in model.notes if "no more than naming the commonest class" in n] or (
        model.card.lab.tally.accuracy > 0.11
    )
    assert not [n for n in model.notes if "export again" in n]


@pytest.mark.parametrize("numbers", ["{0} {1}", "{1}"])
def test_labels_of_a_file_may_be_numbered_and_more_than_the_folders(tmp_path, lab, own, numbers):
    own.plain(SPEC.shape, 11).save(tmp_path / "eleven.keras")
    names = ["nothing", *"0123456789"]
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(numbers.format(k, n) + "\n" for k, n in enumerate(names)))
    model = load_any_model(tmp_path / "eleven.keras", of(lab, labels=labels))
    assert model.card.labels == tuple(names)
    assert all(
        names[index] == file.split("/")[0]
        for index, file in zip(model.test.labels, model.test.files, strict=True)
    )


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_one_score_becomes_two_classes(tmp_path, own, lab, activation):
    two = tmp_path / "two"
    for label in "37":
        shutil.copytree(lab / label, two / label)
    data = load_dataset(two, SPEC)
    keras.utils.set_random_seed(3)
    loss = keras.losses.BinaryCrossentropy(from_logits=activation is None)
    network = train(own.plain(SPEC.shape, 1, activation), data, WANTED, loss=loss)
    network.save(tmp_path / "binary.keras")
    model = load_any_model(tmp_path / "binary.keras", of(two, WANTED))
    assert model.card.labels == ("3", "7")
    assert model.card.lab.tally.accuracy > 0.9
    share = network.predict(as_trained(data, WANTED), verbose=0)[:, 0]
    if activation is None:
        share = 1 / (1 + np.exp(-share))
    assert model.test.keras_scores == pytest.approx(np.stack([1 - share, share], 1), abs=1e-5)


def test_a_grey_network_is_wrapped_when_asked_for(tmp_path, own, lab, data):
    keras.utils.set_random_seed(4)
    grey = Front("minus_one_one", "grey")
    network = train(own.plain((SPEC.height, SPEC.width, 1), 10), data, grey)
    network.save(tmp_path / "grey.keras")
    with pytest.raises(EdgecnnError, match="with --color grey"):
        load_any_model(tmp_path / "grey.keras", of(lab, Front("minus_one_one")))
    model = load_any_model(tmp_path / "grey.keras", of(lab, grey))
    expected = network.predict(as_trained(data, grey), verbose=0)
    assert model.test.keras_scores == pytest.approx(expected, abs=1e-4)


def test_where_the_folder_names_a_test_split_only_that_is_measured(tmp_path, files, lab):
    for k, path in enumerate(sorted(lab.rglob("*.png"))):
        target = tmp_path / "lab" / ("test" if k % 4 == 0 else "train") / path.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    model = load_any_model(files / "net.keras", of(tmp_path / "lab", WANTED))
    assert model.card.lab.tally.total == 100
    assert "100 images in test/" in model.notes[0]


def test_a_keras_file_without_a_lab_and_a_model_folder_with_one_are_refused(
    files, lab, small_model
):
    with pytest.raises(EdgecnnError, match="--lab"):
        load_any_model(files / "net.keras", ExportOptions())
    with pytest.raises(EdgecnnError, match="leave --lab"):
        load_any_model(small_model, of(lab))
    with pytest.raises(EdgecnnError, match="does not exist"):
        load_any_model(files / "absent.keras", ExportOptions())


@pytest.mark.parametrize("name", ["net.tflite", "NET.ONNX"])
@pytest.mark.parametrize("with_lab", [True, False])
def test_a_file_of_another_format_is_sent_to_import(tmp_path, lab, name, with_lab):
    path = tmp_path / name
    path.write_bytes(b"x")
    with pytest.raises(EdgecnnError) as error:
        load_any_model(path, of(lab) if with_lab else ExportOptions())
    assert f"`edgecnn import {path} --lab FOLDER -o NAME.edgecnn`" in str(error.value)
    assert "MODEL folder" not in str(error.value)


def _two_inputs():
    image, more = keras.Input(SPEC.shape), keras.Input((4,))
    both = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(image), more])
    return keras.Model([image, more], keras.layers.Dense(10)(both))


def _two_outputs():
    image = keras.Input(SPEC.shape)
    x = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(10)(x), keras.layers.Dense(4)(x)])


def _network(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def _open(*layers):
    return _network((None, None, 3), keras.layers.Conv2D(10, 5), *layers)


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (_two_inputs, {}, ["2 inputs", "expected one image"]),
        (_two_outputs, {}, ["2 outputs", "model.outputs[k]"]),
        (lambda: _open(keras.layers.GlobalMaxPooling2D()), {}, ["--width and --height"]),
        (
            lambda: _open(keras.layers.GlobalMaxPooling2D()),
            {"width": 4, "height": 4},
            ["4x4 pixels", "negative"],
        ),
        (
            lambda: _network(SPEC.shape, keras.layers.Flatten(), keras.layers.Dense(10)),
            {"width": 30},
            ["takes images of 24x28 pixels"],
        ),
        (
            lambda: _network(SPEC.shape, keras.layers.Flatten(), keras.layers.Dense(9)),
            {},
            ["9 scores", "10 class folders", "--labels"],
        ),
        (lambda: _network(SPEC.shape, keras.layers.Conv2D(10, 3)), {}, ["detectors"]),
        (
            lambda: _network((3, 28, 24), keras.layers.Flatten(), keras.layers.Dense(10)),
            {},
            ["(3, 28, 24)", "Permute"],
        ),
        (
            lambda: _network((28, 24, 4), keras.layers.Flatten(), keras.layers.Dense(10)),
            {},
            ["(28, 24, 4)", "colour or grey"],
        ),
        (lambda: _network((7,), keras.layers.Dense(10)), {}, ["7 values in a row", "--width"]),
    ],
)
def test_what_is_no_classifier_of_frames_is_refused_in_one_line(tmp_path, lab, make, options, said):
    make().save(tmp_path / "odd.keras")
    with pytest.raises(EdgecnnError) as caught:
        load_any_model(tmp_path / "odd.keras", of(lab, **options))
    assert "\n" not in str(caught.value)
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb\n", ["2 labels", "class folders 0, 1"]),
        ("0\n" * 10, ["10 labels (1 different)"]),
        (b"\xff\xfe\x00", ["not UTF-8"]),
        (None, ["No such file"]),
    ],
)
def test_label_files_that_do_not_fit_are_refused(tmp_path, files, lab, text, said):
    path = tmp_path / "labels.txt"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(EdgecnnError) as caught:
        load_any_model(files / "net.keras", of(lab, WANTED, path))
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize("normalize", ["none", "unit", "minus_one_one", "imagenet", "caffe"])
@pytest.mark.parametrize("color", ["rgb", "bgr", "grey"])
def test_the_front_computes_what_its_name_says(normalize, color):
    """Against Keras's own preprocessing where it has it."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.float32)
    found = Front(normalize, color).apply(pixels)
    mode = {"minus_one_one": "tf", "imagenet": "torch"}.get(normalize)
    preprocess = keras.applications.imagenet_utils.preprocess_input
    if normalize == "caffe":
        expected = preprocess(pixels.copy(), mode="caffe")[..., ::-1]  # it gives B, G, R
    elif mode:
        expected = preprocess(pixels.copy(), mode=mode)
    else:
        expected = pixels / (255 if normalize == "unit" else 1)
    if color == "bgr":
        expected = expected[..., ::-1]
    if color == "grey":
        expected = expected @ np.float32([[0.299], [0.587], [0.114]])
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_card_of_an_imported_model_is_json(tmp_path, files, lab):
    model = load_any_model(files / "net_saved", of(lab, WANTED))
    data = json.loads(json.dumps(model.card.to_json()))
    assert data["training"]["imported"]["normalize"] == "minus_one_one"
    assert len(data["training"]["imported"]["sha256"]) == 64
