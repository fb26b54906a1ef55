"""session.json: what is written is read again, and format 1 still is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sessions import PAST, PAST_BUNDLE, write_session

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.frame_view import FrameView
from edgecnn.errors import SessionError
from edgecnn.session.header import RunPart, SessionHeader, read_header, write_header
from edgecnn.session.layout import HEADER_NAME

HEADER = SessionHeader(
    bundle_path="/x/color.edgecnn",
    bundle_sha256="ab" * 32,
    card=Bundle.open(PAST_BUNDLE).card,
    artifact="model_float32.tflite",
    artifact_sha256="cd" * 32,
    device="edgetpu",
    fallback="no Edge TPU",
    runtime="tflite_runtime",
    source="rtsp://cam/1",
    source_color="rgb",
    truth=("csv", "keys"),
    regions=(FrameView((1, 2, 30, 40), 90, "vertical", "left"), FrameView(name="right")),
    host={"name": "pi", "cpus": 4},
    boot_id="b",
    name="door 3",
    site="Köln",
    started_at="2024-05-01T10:00:00.000+00:00",
    run=RunPart("2024-05-01T09:00:00.000+00:00", -3_600_000),
)


def test_a_header_comes_back_as_it_was_written(tmp_path):
    write_header(tmp_path, HEADER)
    assert read_header(tmp_path) == HEADER
    bare = SessionHeader("b", "0", HEADER.card, HEADER.artifact)
    write_header(tmp_path, bare)
    assert read_header(tmp_path) == bare


def test_format_2_has_the_keys_that_docs_name(tmp_path):
    write_header(tmp_path, HEADER)
    data = json.loads((tmp_path / HEADER_NAME).read_text())
    assert list(data) == [
        *("format", "edgecnn", "bundle", "card", "artifact", "artifact_sha256", "device"),
        *("fallback", "runtime", "source", "source_color", "truth", "regions", "host"),
        *("boot_id", "name", "site", "things", "started_at", "shadow", "run"),
    ]
    assert data["format"] == 2
    assert data["regions"][1] == {"region": None, "rotate": 0, "flip": None, "name": "right"}


def test_format_1_names_one_label_source_and_knows_no_boot():
    header = read_header(PAST / "field")
    assert (header.format, header.truth, header.regions) == (1, ("csv",), ())
    assert header.boot_id is None
    assert header.artifact_sha256 is not None
    assert read_header(PAST / "lab").truth == ()
    assert read_header(PAST / "lab").summary()["truth"] == "none"


def test_a_later_field_is_passed_over(tmp_path):
    path = write_session(tmp_path / "s", PAST_BUNDLE, [], brand_new={"deep": 1})
    assert read_header(path).host == {"name": "pi"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 3}, "format 3, this edgecnn reads formats 1 and 2"),
        ({"card": {"format": 1}}, "no 'lab'"),
        ({"card": "x"}, "card is 'x', expected an object"),
        ({"artifact": None}, "no 'artifact'"),
        ({"started_at": "yesterday"}, "started_at is 'yesterday', expected a time"),
        ({"run": {"started_at": "x", "first_frame_ms": 0}}, "started_at is 'x', expected a time"),
        ({"device": 5}, "device is 5, expected a text"),
        ({"host": "pi"}, "host is 'pi', expected an object"),
        ({"truth": 5}, "truth is 5, expected a list"),
        ({"regions": ["hall"]}, "a value of regions is 'hall', expected an object"),
        ({"regions": [{"region": [0, 0, 9]}]}, r"region is \[0, 0, 9\], expected a list of 4"),
        ({"regions": [{"rotate": 45}]}, "rotate is 45"),
        ({"regions": [{"region": [0, 0, 0, 9]}]}, "region is"),
        ({"regions": [{"name": "../x"}]}, "the region's name"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_in_one_line(tmp_path, change, said):
    path = write_session(tmp_path / "s", PAST_BUNDLE, [], **change)
    with pytest.raises(SessionError, match=said) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("bundle", "x", "bundle is 'x', expected an object"),
        ("bundle", {"path": "x"}, "no 'sha256'"),
        ("labels", "abc", "labels is 'abc', expected a list"),
        ("prior", [1.0], "prior can't be those of its 8 labels"),
        ("things", "often", "things can't be those of its 8 labels"),
        ("lab", None, "lab is null, expected an object"),
        ("lab", {"correct": 9, "total": 3, "confusion": []}, "correct is 9 of a total of 3"),
        ("adaptation", {"live_before": "x"}, "no 'live'"),
    ],
)
def test_a_bundle_or_card_in_it_that_cannot_be_used_is_refused(tmp_path, part, value, said):
    path = write_session(tmp_path / "s", PAST_BUNDLE, [])
    data = json.loads((path / HEADER_NAME).read_text())
    (data if part in data else data["card"])[part] = value
    (path / HEADER_NAME).write_text(json.dumps(data))
    with pytest.raises(SessionError, match=said) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert "export again" not in str(caught.value)


def test_differences_name_what_the_device_path_is_made_of():
    other = replace(HEADER, device="cpu", source_color="bgr", host={})
    assert HEADER.differences(HEADER) == []
    assert HEADER.differences(other) == [
        "device 'edgetpu' against 'cpu'",
        "source_color 'rgb' against 'bgr'",
    ]
