"""The command that is advised makes the change to what the session did, and keeps the rest."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from edgecnn.audit.ledger.change import Change, moved, viewed
from edgecnn.audit.undo.run_again import by_options, changed_views, run_again
from edgecnn.bundle.frame_view import FrameView
from edgecnn.device.options import RunOptions
from edgecnn.session.header import SessionHeader

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
REGIONS = (None, (8, 4, 40, 20))
TURNS = tuple(product((0, 90, 180, 270), (None, "horizontal", "vertical")))


@pytest.fixture
def header(digits_bundle) -> SessionHeader:
    return SessionHeader.of(digits_bundle, source="/frames of a meter", truth=("folder",))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(("rotate", "flip"), TURNS)
def test_a_turn_or_flip_comes_after_those_of_the_session(header, region, rotate, flip):
    view = FrameView(region, rotate, flip)
    seen = view.apply(FRAME)
    for further, mirror in TURNS[1:]:
        change = viewed("another way up", FrameView(rotate=further, flip=mirror))
        recorded = replace(header, regions=(view,))
        (found,) = changed_views(recorded, change, seen.shape, is_one_shape=True)
        assert np.array_equal(found.apply(FRAME), change.apply(seen))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize(("rotate", "flip"), TURNS)
def test_a_region_is_told_in_pixels_of_the_captured_frame(header, region, rotate, flip):
    view = FrameView(region, rotate, flip)
    seen = view.apply(FRAME)
    change = moved("nearer", zoom=2.0, right=-0.25, down=0.25)
    x, y, width, height = change.region(seen.shape)
    recorded = replace(header, regions=(view,))
    (found,) = changed_views(recorded, change, seen.shape, is_one_shape=True)
    assert np.array_equal(found.apply(FRAME), seen[y : y + height, x : x + width])


def test_an_option_that_is_to_be_left_out_is_named(header):
    recorded = replace(header, regions=(FrameView(rotate=90),), source_color="rgb")
    straight, level = FrameView(), replace(header, source_color="bgr")
    assert "with --rotate, and" in by_options(recorded, recorded, (straight,))
    assert "with --color and --rotate, and" in by_options(recorded, level, (straight,))
    assert by_options(header, header, (FrameView(rotate=90),)) == "these options do it"
    assert by_options(recorded, recorded, (FrameView(rotate=180),)) == "these options do it"


def test_what_no_option_does_is_none(header):
    shape, cut = FRAME.shape, moved("nearer", zoom=1.25)
    darker = Change("darker", lambda frame: frame // 2)
    corners = FrameView(corners=(0, 0, 40, 2, 40, 30, 0, 30))
    several = (FrameView((0, 0, 9, 9), name="a"), FrameView((9, 9, 9, 9), name="b"))
    assert changed_views(header, darker, shape, is_one_shape=True) is None
    assert changed_views(header, cut, shape, is_one_shape=False) is None
    for views in ((corners,), several):
        assert changed_views(replace(header, regions=views), cut, shape, is_one_shape=True) is None


def test_the_command_repeats_what_the_session_did(header):
    """Its words, read back as options, are those of the session."""
    views = (
        FrameView((0, 1, 9, 9), 90, "vertical", "hall"),
        FrameView(None, 90, "vertical", "yard", (0, 0, 40, 2, 40, 30, 0, 30)),
    )
    file = header.card.artifacts[-1].file
    recorded = replace(header, regions=views, source_color="rgb", artifact=file, things="2s")
    words = shlex.split(run_again(recorded, "digits.edgecnn", "again"))
    values: dict[str, list[str]] = {}
    for name, value in zip(words[3::2], words[4::2], strict=True):
        values.setdefault(name, []).append(value)
    options = RunOptions(
        roi=tuple(values["--roi"]), rotate=int(values["--rotate"][0]), flip=values["--flip"][0]
    )
    assert options.views == views
    assert values["--color"] == ["rgb"]
    assert values["--artifact"] == [file]
    assert values["--things"] == ["2s"]
    assert values["--source"] == ["/frames of a meter"]
    assert values["--truth"] == ["REGION=folder"]  # several regions: which is not known


def test_a_plain_session_needs_no_options(header):
    assert run_again(replace(header, truth=(), source="0"), "digits.edgecnn", "again") == (
        "edgecnn run digits.edgecnn --source 0 --log again"
    )


@pytest.mark.parametrize(
    ("truth", "advised"),
    [
        (("folder",), "folder"),
        (("csv",), "FILE.csv"),
        (("schedule",), "schedule:FILE"),
        (("sensor", "page"), "sensor:FILE.csv"),
        (("marker",), "marker"),
    ],
)
def test_labels_that_no_person_gave_come_with_the_new_run_too(header, truth, advised):
    """A file has a placeholder: the header says how the labels came, and no path."""
    words = run_again(replace(header, truth=truth, source="0"), "digits.edgecnn", "again")
    assert words == f"edgecnn run digits.edgecnn --source 0 --truth {advised} --log again"


def test_of_several_regions_a_label_source_names_its_own(header):
    views = (FrameView((0, 0, 9, 9), name="hall"), FrameView((9, 9, 9, 9), name="yard"))
    found = run_again(replace(header, truth=("csv",), regions=views), "digits.edgecnn", "again")
    assert "--truth REGION=FILE.csv --log" in found
