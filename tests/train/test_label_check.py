"""Which operations keep the label: on real digits, and where one knows what classes are told by."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.train.augmentation.label_check import (
    as_operation,
    check_labels,
    label_notes,
    safe_augmentation,
)
from edgecnn.train.augmentation.operations import (
    OPERATIONS,
    STRENGTHS,
    Augmentation,
    Geometry,
    Light,
)
from edgecnn.train.augmentation.pipeline import single_operations
from edgecnn.train.augmentation.quick_probe import embed

METERS = Path(__file__).parents[2].parent / "shared" / "data" / "meters" / "lab"


def alone(**options) -> dict:
    """The product's own operations, each at the strength given."""
    geometry = {k: v for k, v in options.items() if k in Geometry.__dataclass_fields__}
    light = {k: v for k, v in options.items() if k not in geometry}
    recipe = Augmentation(geometry=Geometry(**geometry), light=Light(**light))
    return {name: as_operation(op) for name, op in single_operations(recipe, 0).items()}


MIRROR = {"mirror": lambda x: x[:, :, ::-1]}
BREAKING = {**MIRROR, "half turn": lambda x: x[:, ::-1, ::-1]}
KEEPING = alone(rotation=12, shift=0.15, noise=10, exposure=0.5, invert=0.3)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))[:1000]
    tensors = [cv2.resize((found.images[k] * 15.9).astype(np.uint8), (32, 32)) for k in order]
    return np.repeat(np.stack(tensors)[..., None], 3, axis=3), found.target[order]


def shapes(draw, count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of two or three classes, each by `draw(class, picture, x, y)`."""
    rng = np.random.default_rng(0)
    classes = np.arange(count) % 3
    pictures = rng.normal(110, 6, (count, 32, 32, 3))
    for picture, kind in zip(pictures, classes, strict=True):
        draw(int(kind), picture, int(rng.integers(8, 14)), int(rng.integers(8, 14)))
    return np.clip(pictures, 0, 255).astype(np.uint8), classes


def verdicts(images, operations, seed: int = 0) -> dict[str, bool | None]:
    return {check.name: check.keeps for check in check_labels(*images, operations, seed)}


def test_mirrored_and_turned_digits_are_broken(digits):
    assert verdicts(digits, BREAKING) == {"mirror": False, "half turn": False}


def test_what_cameras_do_to_digits_keeps_them(digits):
    assert verdicts(digits, KEEPING) == dict.fromkeys(KEEPING, True)


@pytest.mark.meters
@pytest.mark.skipif(not METERS.exists(), reason="no meters")
def test_digits_of_meters():
    paths = sorted(METERS.glob("*/*"))
    paths = [paths[k] for k in np.random.default_rng(0).permutation(len(paths))[:1000]]
    pictures = [cv2.resize(cv2.imread(str(path)), (32, 48))[..., ::-1] for path in paths]
    images = np.stack(pictures), np.array([int(path.parent.name) for path in paths])
    found = verdicts(images, {**BREAKING, **KEEPING})
    assert found == {**dict.fromkeys(BREAKING, False), **dict.fromkeys(KEEPING, True)}


def blob(kind, picture, x, y):
    picture[y : y + 10, x : x + 10, kind] += 100


def test_classes_of_one_shape_and_three_colours_lose_their_label_with_their_colour():
    operations = {
        **alone(grey=0.2, invert=0.3, noise=10, shift=0.1, balance=0.2),
        **MIRROR,
        "channels": lambda x: x[..., [1, 2, 0]],
    }
    found = verdicts(shapes(blob), operations)
    broken = ("grey", "channels", "invert")  # negated, red is cyan
    kept = ("noise", "shift", "mirror", "balance")
    assert found == {**dict.fromkeys(broken, False), **dict.fromkeys(kept, True)}


def lamp(kind, picture, x, y):
    """Red or green, as bright as each other, or another shape."""
    if kind == 2:
        picture[y + 3 : y + 7, x - 5 : x + 15] += 100
    else:
        picture[y : y + 10, x : x + 10] += ((140, -40, 0), (-60, 73, 0))[kind]


def test_two_classes_of_one_shape_among_others_lose_their_label_with_their_colour():
    (check,) = (c for c in check_labels(*shapes(lamp), alone(grey=0.2), 0) if c.name == "grey")
    assert (check.before.accuracy or 0) > 0.95
    assert 0.6 < (check.changed.accuracy or 0) < 0.8  # the other shape is still read
    assert check.keeps is False


def polarity(kind, picture, x, y):
    picture[y : y + 10, x : x + 10] += (80, -80, 0)[kind]


def test_classes_told_by_polarity_alone_are_broken_by_inversion():
    found = verdicts(shapes(polarity), {**alone(invert=0.3, grey=0.2, rotation=12), **MIRROR})
    assert found == {"invert": False, "grey": True, "rotation": True, "mirror": True}


def arrow(kind, picture, x, y):
    """Right, left, or a bar without a head."""
    cv2.line(picture, (x, y + 4), (x + 10, y + 4), (220, 220, 220), 2)
    if kind < 2:
        tip, back = (x + 10, x + 5) if kind == 0 else (x, x + 5)
        for end in (y, y + 8):
            cv2.line(picture, (tip, y + 4), (back, end), (220, 220, 220), 2)


def symmetric(kind, picture, x, y):
    centre, white = (x + 5, y + 5), (220, 220, 220)
    if kind == 0:
        cv2.circle(picture, centre, 7, white, 2)
    elif kind == 1:
        cv2.rectangle(picture, (x - 1, y - 1), (x + 11, y + 11), white, 2)
    else:
        cv2.line(picture, (x - 2, y + 5), (x + 12, y + 5), white, 2)
        cv2.line(picture, (x + 5, y - 2), (x + 5, y + 12), white, 2)


def test_a_mirror_breaks_arrows_and_keeps_symmetric_shapes():
    assert verdicts(shapes(arrow, 600), MIRROR) == {"mirror": False}
    assert verdicts(shapes(symmetric), MIRROR) == {"mirror": True}


def test_a_shift_that_a_linear_probe_has_no_room_for_is_not_accused(digits):
    (check,) = check_labels(*digits, alone(shift=0.4), 0)
    assert check.p_value < 0.02
    assert check.keeps is True
    assert "learns from changed images alone" in check.reason


def test_neighbours_are_tried_with_what_brings_them_into_view(digits):
    recipe = STRENGTHS["default"].without(set(OPERATIONS) - {"neighbours", "shift", "zoom_out"})
    _, checks = safe_augmentation(*digits, recipe, 0)
    kept = dict.fromkeys(("neighbours", "shift", "zoom_out"), True)
    assert {check.name: check.keeps for check in checks} == kept
    hidden = recipe.without({"shift", "zoom_out"})
    assert safe_augmentation(*digits, hidden, 0)[1][0].reason == "changes nothing by itself"


def test_where_time_is_short_polarity_colour_and_mirroring_come_first(digits):
    recipe, digits = STRENGTHS["light"].mirrored, tuple(part[:400] for part in digits)
    everything = {check.name for check in safe_augmentation(*digits, recipe, 0)[1]}

    def checked(seconds: float) -> set[str]:
        checks = safe_augmentation(*digits, recipe, 0, seconds=seconds)[1]
        assert {check.name for check in checks} == everything
        return {check.name for check in checks if check.before.total}

    assert checked(0.0) == set()
    assert checked(1.0) == {"balance", "flip"}
    assert checked(60.0) == everything


def test_few_images_or_labels_without_sense_give_no_verdict(digits):
    tensors, classes = (part[:400] for part in digits)
    few = check_labels(tensors[:60], classes[:60], MIRROR, 0)[0]
    assert few.keeps is None
    assert "60 images" in few.reason
    shuffled = check_labels(tensors, np.random.default_rng(0).permutation(classes), MIRROR, 0)[0]
    assert shuffled.keeps is None
    assert "guessing" in shuffled.reason


def test_an_operation_that_changes_nothing_is_not_said_to_keep_labels(digits):
    idle = check_labels(*digits, {"nothing": lambda x: x}, 0)[0]
    assert idle.keeps is None
    assert "nothing by itself" in idle.reason


def test_a_class_of_one_image_is_no_trouble(digits):
    tensors, classes = digits
    classes = np.where(np.arange(1000) < 5, 10 + np.arange(1000), classes)
    assert check_labels(tensors, classes, MIRROR, 0)[0].keeps is False


def test_groups_never_lie_on_both_sides(digits):
    """Copies of an image under random labels: only a probe that has met the copy gets it right."""
    tensors = np.repeat(digits[0][:100], 3, axis=0)
    classes = np.repeat(np.random.default_rng(1).integers(0, 2, 100), 3)
    apart = check_labels(tensors, classes, MIRROR, 0)[0].before
    together = check_labels(tensors, classes, MIRROR, 0, groups=np.repeat(np.arange(100), 3))[0]
    assert apart.accuracy > 0.9
    assert together.before.accuracy < 0.7


def test_the_same_seed_gives_the_same_figures(digits):
    digits = tuple(part[:400] for part in digits)
    one, same = (check_labels(*digits, MIRROR, 3)[0].to_json() for _ in range(2))
    assert one == same


def test_the_recipe_goes_without_polarity_where_classes_are_told_by_it():
    recipe = STRENGTHS["default"].without(set(OPERATIONS) - {"invert", "grey", "balance", "shift"})
    dropped, checks = safe_augmentation(*shapes(polarity), recipe, 0)
    assert "invert" in dropped
    assert "grey" not in dropped
    notes = label_notes(checks, dropped)
    assert any("invert: seems to BREAK labels" in note and "left out" in note for note in notes)


def test_polarity_does_not_change_what_the_probe_sees_of_orientation(digits):
    images = digits[0][:20].astype(np.float32)
    orientations = slice(0, 200)
    one, other = (embed(x)[:, orientations] for x in (images, 255 - images))
    assert np.allclose(one, other, atol=1e-3)
    mirrored = embed(images[:, :, ::-1])[:, orientations]
    assert np.abs(one - mirrored).max() > 0.5
