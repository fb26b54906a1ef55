"""A model that is fed wrongly is told so before its calibration images are judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from edgecnn.errors import ModelError, OptionError
from edgecnn.export.calibration.choice import choose_calibration
from edgecnn.export.convert.makers import Makers
from edgecnn.export.foreign.foreign import load_any_model
from edgecnn.export.foreign.mismatch import Examined, explain_misreading
from edgecnn.export.options import ExportOptions
from edgecnn.model.read import LabTest, load_lab_model

SIDE = 16
CLASSES = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def _silent(monkeypatch):
    """Keras warns of .h5 through absl, which pytest would show."""
    monkeypatch.setattr("absl.logging.warning", lambda *_: None)


def colour_net(shape: tuple[int, ...] = (SIDE, SIDE, 3), *front) -> keras.Model:
    """Tells the strongest channel of pixels 0..255 (or of what `front` makes of them)."""
    head = keras.layers.Dense(3, activation="softmax")
    body = [*front, keras.layers.GlobalAveragePooling2D(), keras.layers.Rescaling(1, -0.47), head]
    net = keras.Sequential([keras.Input(shape), *body])
    # Saturates: far from the middle all classes look alike.
    head.set_weights([60 * np.eye(3, dtype=np.float32)[::-1], np.zeros(3, np.float32)])
    return net


def test_a_model_that_rescales_inside_and_gets_unit_pixels_is_refused_with_the_cure(
    tmp_path, colours
):
    net = colour_net((SIDE, SIDE, 3), keras.layers.Rescaling(1 / 255))
    kernel = np.float32([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * 40
    net.layers[-1].set_weights([kernel, np.float32([0.5, 0, 0])])
    net.save(tmp_path / "inside.keras")
    good = load_any_model(tmp_path / "inside.keras", ExportOptions(lab=colours))
    assert (good.test.keras_top1 == good.test.labels).mean() > 0.9
    # Fed with 0..1 it sees black: the bias decides.
    with pytest.raises(ModelError, match=r"at chance.*--normalize none") as caught:
        load_any_model(tmp_path / "inside.keras", ExportOptions(lab=colours, normalize="unit"))
    assert "\n" not in str(caught.value)


def test_a_softmax_over_one_unit_is_named(tmp_path, colours):
    two = tmp_path / "two"
    for name in CLASSES[:2]:
        (two / name).mkdir(parents=True)
        for path in (colours / name).iterdir():
            (two / name / path.name).write_bytes(path.read_bytes())
    layers = keras.layers
    net = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    )
    net.add(layers.Dense(1, activation="softmax"))
    net.save(tmp_path / "one.keras")
    with pytest.raises(ModelError, match="needs a sigmoid, not a softmax"):
        load_any_model(tmp_path / "one.keras", ExportOptions(lab=two))


def test_calibration_images_are_not_blamed_for_an_untrained_model(tmp_path, colours):
    net = colour_net()
    net.layers[-1].set_weights([1e-3 * np.eye(3, dtype=np.float32), np.float32([0, 2, 0])])
    net.save(tmp_path / "untrained.keras")
    model = load_any_model(tmp_path / "untrained.keras", ExportOptions(lab=colours))
    assert any("no more than naming the commonest class" in note for note in model.notes)
    chosen = choose_calibration(model, Makers(model.card), [colours], ExportOptions(lab=colours))
    assert not [w for w in chosen.images.warnings if "the float model reads" in w]


@pytest.mark.parametrize(
    ("shape", "size", "size_hw"),
    [
        ((SIDE, SIDE), {}, (SIDE, SIDE)),
        ((SIDE * SIDE,), {}, (SIDE, SIDE)),
        ((12, 20), {}, (12, 20)),
        ((12 * 20,), {"width": 20, "height": 12}, (12, 20)),
    ],
)
def test_grey_inputs_without_a_channel_axis_are_images(tmp_path, colours, shape, size, size_hw):
    layers = keras.layers
    body = [] if len(shape) == 1 else [layers.Flatten()]
    keras.Sequential([keras.Input(shape), *body, layers.Dense(3)]).save(tmp_path / "grey.keras")
    options = ExportOptions(lab=colours, color="grey", normalize="unit", **size)
    model = load_any_model(tmp_path / "grey.keras", options)
    assert model.card.input.shape == (*size_hw, 3)
    assert model.network.output_shape == (None, 3)
    assert ExportOptions(lab=colours, grey=True).color == "grey"
    with pytest.raises(ModelError, match=r"with --width and --height" if size else "--color grey"):
        load_any_model(tmp_path / "grey.keras", ExportOptions(lab=colours))


def test_a_colour_image_in_a_row_is_one(tmp_path, colours):
    keras.Sequential([keras.Input((SIDE * SIDE * 3,)), keras.layers.Dense(3)]).save(
        tmp_path / "row.keras"
    )
    model = load_any_model(tmp_path / "row.keras", ExportOptions(lab=colours, normalize="unit"))
    assert model.card.input.shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("family", "normalize", "color"),
    [
        ("mobilenet_v2", "minus_one_one", "rgb"),
        ("densenet", "imagenet", "rgb"),
        ("vgg16", "caffe", "bgr"),
    ],
)
def test_the_preprocessing_of_a_known_family_is_read_or_its_option_named(
    tmp_path, colours, family, normalize, color
):
    module = getattr(keras.applications, family)
    layers = keras.layers
    image = x = keras.Input((SIDE, SIDE, 3))
    body = [layers.Lambda(module.preprocess_input), layers.Flatten()]
    body.append(layers.Dense(3, activation="softmax"))
    for layer in body:
        x = layer(x)
    # A functional network calls a Lambda with a mask.
    functional = family == "densenet"
    net = keras.Model(image, x) if functional else keras.Sequential([image, *body])
    net.save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match=rf"--normalize {normalize}") as caught:
        load_any_model(tmp_path / "net.keras", ExportOptions(lab=colours))
    assert "\n" not in str(caught.value)
    advised = load_any_model(
        tmp_path / "net.keras", ExportOptions(lab=colours, normalize=normalize, color=color)
    )
    named = ExportOptions(lab=colours, custom=f"keras.applications.{family}")
    models = [advised]
    if color == "rgb":
        models.append(load_any_model(tmp_path / "net.keras", named))
    pixels = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    expected = np.asarray(net(pixels))
    for model in models:
        assert np.abs(model.network.predict_on_batch(pixels) - expected).max() < 1e-5


def test_formats_know_the_words_of_the_field():
    words = {"int8": ("tflite-full-integer",), "float16": ("tflite-float16",)}
    words["fp16"] = words["float16"]
    words["onnx"] = ("onnx-float32", "onnx-full-integer")
    for word, formats in words.items():
        assert ExportOptions(formats=(word,)).formats == formats
    assert "tflite-int16" in ExportOptions(formats=("all",)).formats
    assert "tflite-int16" not in ExportOptions().formats
    for word in ("INT8", "int-8"):
        with pytest.raises(OptionError, match=r"did you mean int8\?"):
            ExportOptions(formats=(word,))


@pytest.mark.parametrize(
    "edit", [{"resize": "letterbox"}, {"resize": "center_crop"}, {"interpolation": "nearest"}]
)
def test_a_card_whose_preprocessing_was_edited_is_noticed_by_its_golden_frames(
    small_model, tmp_path, edit
):
    model = Path(shutil.copytree(small_model, tmp_path / "model"))
    card = json.loads((model / "card.json").read_text())
    card["input"] |= edit
    (model / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"golden/\d\.png becomes another input .* was edited"):
        load_lab_model(model)


@pytest.mark.parametrize("edited", ["lab_test.npz", "card.json"])
def test_a_lab_test_that_contradicts_the_card_is_refused(small_model, tmp_path, edited):
    model = Path(shutil.copytree(small_model, tmp_path / "model"))
    if edited == "lab_test.npz":
        arrays = dict(np.load(model / edited))
        arrays["labels"] = arrays["labels"].max() - arrays["labels"]
        np.savez(model / edited, **arrays)
    else:
        card = json.loads((model / edited).read_text())
        card["lab"]["correct"] //= 2
        (model / edited).write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"the network reads .* and card.json says .* was edited"):
        load_lab_model(model)


def test_a_card_that_nobody_edited_is_read(small_model):
    assert load_lab_model(small_model).golden


def test_two_rare_classes_that_changed_places_are_named_though_little_is_lost():
    names = ("apple", "banana", "cherry", "date")
    truth = np.repeat([0, 1, 2, 3], [200, 200, 6, 6])
    read = np.where(truth == 2, 3, np.where(truth == 3, 2, truth))
    examined = Examined("the file", "import", "--normalize none", {})

    def said(answers: np.ndarray) -> list[str]:
        scores = np.eye(4, dtype=np.float32)[answers]
        none = np.array([""] * len(truth))
        return explain_misreading(examined, LabTest(scores, truth, scores, none, none), names)

    (line,) = said(read)
    assert "'cherry' as 'date', 'date' as 'cherry'" in line
    assert not said(truth)
    assert not said(np.where(truth == 2, 3, truth))  # one way only: the camera may do that
