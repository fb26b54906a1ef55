"""Decoding and resizing: what every stage and every machine must do alike.

tests/test_device_installs.py and tests/test_pi.py compare `tests/determinism.py` between machines.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from determinism import ORIENTATION_EXIF, encoded_images
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.bundle.preprocess import decode, read_image, tensor_sha256, to_bgr, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import BundleError, ImageError

SIDES = st.integers(1, 300)
ENCODED = encoded_images()


def noise(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(h * 1000 + w).integers(0, 256, (h, w, 3), dtype=np.uint8)


def test_tensor_is_rgb_of_the_cards_shape():
    frame = np.zeros((40, 50, 3), np.uint8)
    frame[..., 0] = 200  # blue
    tensor = to_tensor(frame, InputSpec(16, 8))
    assert tensor.shape == (8, 16, 3)
    assert tensor.dtype == np.uint8
    assert tensor.flags.c_contiguous
    assert tensor[0, 0].tolist() == [0, 0, 200]


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(1, 64))
def test_letterbox_keeps_the_aspect_ratio_and_pads_the_rest_evenly(h, w, height, width):
    frame = np.full((h, w, 3), 255, np.uint8)
    tensor = to_tensor(frame, InputSpec(width, height, "letterbox", "nearest", (0, 0, 0)))
    rows, columns = np.nonzero(tensor[..., 0])
    inner_h, inner_w = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert inner_h * inner_w == rows.size, "the picture is one whole rectangle"
    assert inner_h == height or inner_w == width, "it touches both sides one way"
    scale = min(width / w, height / h)
    assert abs(inner_w - max(1, w * scale)) <= 0.5 + 1e-9
    assert abs(inner_h - max(1, h * scale)) <= 0.5 + 1e-9
    assert 0 <= (height - inner_h - rows.min()) - rows.min() <= 1, "the odd pixel goes below"
    assert 0 <= (width - inner_w - columns.min()) - columns.min() <= 1, "and to the right"


def test_letterbox_pads_with_the_cards_colour_in_rgb():
    spec = InputSpec(30, 10, "letterbox", "nearest", (1, 2, 3))
    assert to_tensor(noise(10, 10), spec)[5, 0].tolist() == [1, 2, 3]


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(1, 64), st.integers(1, 64))
def test_centre_crop_is_the_largest_centred_window(h, w, height, width):
    """Every pixel holds its own place, so nearest sampling shows which window was taken."""
    frame = np.zeros((h, w, 3), np.uint8)
    frame[..., 2], frame[..., 1] = np.arange(w) % 256, np.arange(h)[:, None] % 256
    crop_w = min(w, max(1, int(h * width / height + 0.5)))
    crop_h = min(h, max(1, int(w * height / width + 0.5)))
    assert crop_w == w or crop_h == h
    left, top = (w - crop_w) // 2, (h - crop_h) // 2
    window = frame[top : top + crop_h, left : left + crop_w]
    expected = cv2.resize(window, (width, height), interpolation=cv2.INTER_NEAREST)
    tensor = to_tensor(frame, InputSpec(width, height, "center_crop", "nearest"))
    assert np.array_equal(tensor, expected[..., ::-1])


@pytest.mark.parametrize("size", [(2, 2), (48, 64), (49, 65), (97, 131)])
def test_halving_is_the_rounded_mean_of_each_two_by_two(size):
    h, w = size[0] // 2, size[1] // 2
    frame = noise(*size)
    four = frame[: 2 * h, : 2 * w].astype(np.uint16).reshape(h, 2, w, 2, 3).sum((1, 3))
    tensor = to_tensor(frame, InputSpec(w, h))
    assert np.array_equal(tensor, ((four + 2) // 4)[..., ::-1])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_halving_averages_all_that_falls_on_a_pixel(h, w, times):
    """So that sensor noise averages out and fine stripes don't alias, as with plain linear."""
    side = 2**times
    frame = noise(h * side, w * side)
    means = frame.reshape(h, side, w, side, 3).mean((1, 3))[..., ::-1]
    error = np.abs(to_tensor(frame, InputSpec(w, h)) - means)
    assert error.max() <= 0.5 * times, "each halving rounds once"


def test_a_side_that_is_halved_once_ends_the_halving_of_the_other():
    frame = noise(48, 16)
    half = to_tensor(frame, InputSpec(8, 24))
    expected = cv2.resize(half, (8, 6), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(to_tensor(frame, InputSpec(8, 6)), expected)


def test_a_frame_of_the_right_size_is_not_resampled():
    frame = noise(32, 24)
    for interpolation in ("halving", "linear", "area", "cubic", "nearest"):
        tensor = to_tensor(frame, InputSpec(24, 32, "stretch", interpolation))
        assert np.array_equal(tensor, frame[..., ::-1])


@pytest.mark.parametrize("channels", [None, 1, 4])
def test_captured_grey_and_bgra_frames_become_bgr(channels):
    frame = noise(5, 7)
    shaped = {None: frame[..., 0], 1: frame[..., :1], 4: np.dstack([frame, frame[..., 0]])}
    result = to_bgr(shaped[channels])
    assert np.array_equal(result, frame if channels == 4 else np.repeat(frame[..., :1], 3, 2))


def test_sixteen_bit_frames_keep_their_high_byte():
    frame = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    assert np.array_equal(to_bgr(frame)[..., 0], (frame // 256).astype(np.uint8))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_frames_of_another_kind_are_refused(frame):
    with pytest.raises(ImageError, match="expected"):
        to_bgr(frame)


@pytest.mark.parametrize("name", [n for n in ENCODED if n.startswith("exif")])
def test_every_format_is_turned_upright_by_its_exif_orientation(name):
    """JPEG is compared loosely (it is lossy), PNG and WebP to the last bit."""
    stored, _, orientation = name.removeprefix("exif_").partition(".")[0].partition("_")
    undo = {
        "1": lambda a: a,
        "2": np.fliplr,
        "3": lambda a: np.rot90(a, 2),
        "4": np.flipud,
        "5": lambda a: a.transpose(1, 0, 2),
        "6": lambda a: np.rot90(a, -1),
        "7": lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        "8": np.rot90,
    }[orientation]
    plain = cv2.imdecode(
        np.frombuffer(ENCODED[name], np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    assert np.array_equal(decode(ENCODED[name]), undo(plain)), stored


def test_orientation_blocks_of_both_byte_orders_were_tried():
    assert {block[:2] for block in ORIENTATION_EXIF.values()} == {b"II", b"MM"}


def test_of_an_animated_png_its_still_picture_counts():
    assert np.array_equal(decode(ENCODED["animated.png"]), decode(ENCODED["rgb.png"]))


def test_kinds_of_pixels_become_eight_bit_bgr():
    colour = decode(ENCODED["rgb.png"])
    assert np.array_equal(decode(ENCODED["rgba.png"]), colour), "alpha is dropped"
    assert np.array_equal(decode(ENCODED["rgb16.png"]), colour), "the high byte is kept"
    grey = decode(ENCODED["grey.png"])
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.unique(decode(ENCODED["bit.png"])).tolist() == [0, 255]


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "rgb.png", "animated.png"])
def test_a_file_cut_short_anywhere_is_never_taken_for_whole(name):
    data = ENCODED[name]
    whole = decode(data)
    for end in range(len(data)):
        try:
            frame = decode(data[:end], name)
        except ImageError:
            continue
        assert np.array_equal(frame, whole), f"{end} of {len(data)} bytes"


@pytest.mark.parametrize("count", [1, 2])
def test_bytes_that_fill_the_place_before_a_marker_are_passed_over(count):
    """ITU T.81, B.1.1.2: any marker may be preceded by any number of bytes 0xFF."""
    data = ENCODED["rgb.jpg"]
    filled = data[:2] + b"\xff" * count + data[2:]
    assert np.array_equal(decode(filled), decode(data))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "not an image"),
        (b"GIF89a" + bytes(40), "GIF"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "truncated"),
        (b"BM" + bytes(60), "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "damaged"),
    ],
)
def test_what_is_no_image_is_named_and_refused(data, found):
    with pytest.raises(ImageError, match=rf"photo\.jpg.*{found}"):
        decode(data, "photo.jpg")


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    side = 40_000
    header = f"P4 {side} {side}\n".encode()
    with pytest.raises(ImageError, match="too many pixels"):
        decode(header + bytes(64), "huge.pbm")


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png"):
        read_image(tmp_path / "none.png")


def test_digest_follows_the_values_not_the_memory_layout():
    tensor = noise(6, 5)
    assert tensor_sha256(tensor) == tensor_sha256(np.asfortranarray(tensor))
    changed = tensor.copy()
    changed[0, 0, 0] ^= 1
    assert tensor_sha256(tensor) != tensor_sha256(changed)


@pytest.mark.parametrize(
    "wrong",
    [{"width": 0}, {"resize": "crop"}, {"interpolation": "lanczos"}, {"color": "BGR"}],
)
def test_a_spec_that_preprocessing_does_not_know_is_refused(wrong):
    with pytest.raises(BundleError, match="expected"):
        InputSpec(**{"width": 8, "height": 8, **wrong})
