"""HEIC and AVIF: named as what they are, whatever the suffix says, and read where it can be."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edgecnn.bundle.heif import heif_kind
from edgecnn.bundle.preprocess import decode
from edgecnn.errors import ImageError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
AVIF = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(40)


@pytest.mark.parametrize(("data", "kind"), [(HEIC, "HEIC"), (AVIF, "AVIF"), (b"\xff\xd8", None)])
def test_they_are_known_by_their_bytes(data, kind):
    assert heif_kind(data) == kind


@pytest.mark.parametrize(("data", "kind"), [(HEIC, "HEIC"), (AVIF, "AVIF")])
def test_one_that_can_not_be_read_is_named_as_what_it_is(data, kind):
    with pytest.raises(ImageError, match=rf"photo\.jpg is a (damaged )?{kind} picture") as caught:
        decode(data, "photo.jpg")
    assert "\n" not in str(caught.value)
    assert ".[heif]" in str(caught.value) or "damaged" in str(caught.value)


def test_an_avif_picture_is_read():
    from PIL import Image, features

    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:, 16:] = (200, 40, 10)  # R, G, B
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "avif", quality=95)
    frame = decode(stream.getvalue(), "x.avif")
    assert frame.shape == (24, 32, 3)
    assert np.abs(frame[12, 26].astype(int) - (10, 40, 200)).max() < 12
