"""Broken and odd files are told apart by kind."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from edgecnn.inspect.headers import broken_kind, read_header
from edgecnn.inspect.inspect import inspect


def encoded(scene, kind: str) -> tuple[str, bytes]:
    """(suffix, bytes) of a picture of a kind."""
    rgb = Image.fromarray(scene(5)[..., ::-1])
    out = io.BytesIO()
    if kind == "16-bit":
        return ".png", cv2.imencode(".png", scene(5).astype(np.uint16) * 257)[1].tobytes()
    if kind == "16-bit tiff":
        return ".tif", cv2.imencode(".tif", scene(5).astype(np.uint16) * 257)[1].tobytes()
    if kind == "grey":
        rgb.convert("L").save(out, "JPEG")
    elif kind == "alpha":
        rgb.convert("RGBA").save(out, "PNG")
        return ".png", out.getvalue()
    elif kind == "cmyk":
        rgb.convert("CMYK").save(out, "JPEG")
    elif kind == "exif-rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        rgb.save(out, "JPEG", exif=exif)
    elif kind == "animated":
        rgb.save(out, "PNG", save_all=True, append_images=[rgb.rotate(90), rgb.rotate(180)])
        return ".png", out.getvalue()
    elif kind == "wrong-suffix":
        rgb.save(out, "PNG")
    else:
        rgb.save(out, "JPEG")
    return ".jpg", out.getvalue()


KINDS = ["16-bit", "16-bit tiff", "grey", "alpha", "cmyk", "exif-rotated", "animated"]


@pytest.mark.parametrize("kind", [*KINDS, "wrong-suffix", "plain"])
def test_a_header_tells_what_programs_disagree_about(scene, kind):
    suffix, data = encoded(scene, kind)
    header = read_header(data, suffix)
    assert header is not None
    assert header.oddities == (() if kind == "plain" else (kind.split()[0],))


def test_an_inspection_counts_odd_files_and_shapes(two_classes, scene, write):
    for k, kind in enumerate([*KINDS, "wrong-suffix"]):
        suffix, data = encoded(scene, kind)
        (two_classes / "a" / f"odd{k}{suffix}").write_bytes(data)
    write(two_classes, "b/wide.png", cv2.resize(scene(900), (160, 40)))
    write(two_classes, "b/tiny.png", cv2.resize(scene(901), (7, 8)))
    (two_classes / "b" / "photo.heic").write_bytes(b"x")
    (two_classes / "Thumbs.db").write_bytes(b"x")
    (two_classes / "notes.xyz").write_bytes(b"x")
    inspection = inspect(two_classes)
    assert inspection.to_text().count("1 .xyz") == 1
    found = inspection.files
    odd = {"16-bit": 2, "grey": 1, "alpha": 1, "cmyk": 1, "exif-rotated": 1, "animated": 1}
    shapes = {"wrong-suffix": 1, "odd-aspect": 1, "very-small": 1}
    # The turned picture is 48 wide and 40 high: no odd shape yet.
    assert found.odd == {**odd, **shapes}
    assert found.broken == {"not-an-image": 1}
    assert found.other == {".xyz": 1}
    assert {f.severity for f in found.findings} == {"problem", "warning", "note"}


def test_what_most_images_are_is_not_odd(tmp_path, scene, write):
    for k in range(60):
        grey = cv2.cvtColor(scene(k), cv2.COLOR_BGR2GRAY)
        write(tmp_path, f"{'ab'[k % 2]}/{k}.png", grey)
    assert inspect(tmp_path).files.findings == ()


def test_pictures_of_12_bits_in_16_bit_files_are_nearly_black_even_where_all_are(tmp_path, scene):
    for k in range(40):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        deep = scene(k).astype(np.uint16) << 4
        cv2.imwrite(str(tmp_path / "ab"[k % 2] / f"{k}.png"), deep)
    found = inspect(tmp_path).files
    assert found.odd == {"nearly-black": 40}
    assert found.findings[0].what == "40 files (100 %) are nearly black"


def test_a_kind_that_sits_in_one_class_is_said_to_give_it_away(two_classes, scene, write):
    for k in range(12):
        grey = cv2.cvtColor(scene(500 + k), cv2.COLOR_BGR2GRAY)
        write(two_classes, f"a/grey{k}.png", grey)
    for k in range(60):
        write(two_classes, f"c/{k}.png", 600 + k)
    finding = inspect(two_classes).files.findings[0]
    assert finding.what.endswith("100 % of them are in class a")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_cut_short_is_truncated(scene, suffix, cut):
    data = cv2.imencode(suffix, scene(1))[1].tobytes()
    assert broken_kind(data[: int(len(data) * cut)]) == "truncated"


def test_other_broken_kinds_have_names():
    assert broken_kind(b"") == "empty"
    assert broken_kind(b"<html>") == "not-an-image"
    assert broken_kind(b"GIF89a....") == "unsupported"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"BM", b"\x89PNG\r\n\x1a\n", b"II*\0\x08"])
def test_a_header_that_lies_is_none(data):
    assert read_header(data, ".jpg") is None
    assert read_header(data + bytes(200), ".jpg") is None
