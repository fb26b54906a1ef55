"""`adapt --per device`: each device gets what it would get alone, or keeps what it has."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sessions import record_folder

from edgecnn.adapt.adapt import AdaptOptions, adapt, adapt_each
from edgecnn.adapt.go_back import go_back
from edgecnn.bundle.folder import Bundle
from edgecnn.cli.lab import adapt as command
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import DataError, OptionError, OutputError


@pytest.fixture(scope="module")
def devices(halves, tmp_path_factory) -> tuple[Path, Path]:
    """The images of two devices: of the second one there are eight, which are too few."""
    root = tmp_path_factory.mktemp("devices")
    shutil.copytree(halves[0], root / "hall")
    (root / "yard").mkdir()
    for path in sorted(halves[1].rglob("*.png"))[:8]:
        shutil.copy(path, root / "yard")
    return root / "hall", root / "yard"


@pytest.fixture(scope="module")
def each(digits_bundle, devices, tmp_path_factory):
    """What came of both, and the labels of 30 images of the first one that were given."""
    place = tmp_path_factory.mktemp("each")
    picked = place / "picked"
    for path in sorted(devices[0].rglob("*.png"), key=lambda p: p.name)[:30]:
        (picked / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, picked / path.parent.name)
    parent = shutil.copytree(digits_bundle, place / "digits.edgecnn")
    options = AdaptOptions(labels=(picked,))
    return adapt_each(parent, devices, place / "out", options), options


def test_each_device_gets_what_it_would_get_alone(each, devices, tmp_path):
    found, options = each
    alone = adapt(found.parent, devices[0], tmp_path / "alone.edgecnn", options)
    mine = found.devices["hall"]
    assert mine.labelled == 30
    assert mine.steps == alone.steps
    assert mine.model == found.output / "hall.edgecnn"
    assert (
        f"hall: Left out, not to be rewritten here: {', '.join(mine.left_out)}" in found.to_text()
    )
    for name in Bundle.open(alone.model).files:
        if name not in ("card.json", "SHA256SUMS"):
            assert Bundle.open(alone.model).read(name) == Bundle.open(mine.model).read(name)


def test_a_refused_device_gets_no_network_and_the_labels_of_others_are_not_its_own(each):
    found, _ = each
    other = found.devices["yard"]
    assert (other.model, other.images, other.labelled) == (None, 8, 0)
    assert "are too few" in other.refusal
    assert sorted(p.name for p in found.output.iterdir()) == ["hall.edgecnn"]
    assert (found.adapted, found.complete) == (1, False)
    text = found.to_text()
    assert f"yard: refused: {other.refusal}" in text
    assert "hall: batch norm: not tried" in text
    assert "yard: no label is of one of its images" in text
    assert "1 of 2 devices got a network of their own" in text
    assert f"edgecnn doctor {found.output / 'hall.edgecnn'}" in text
    hall = replace(found.devices["hall"], passed_over=("2 images with two labels",))
    both = replace(found, devices={"hall": hall, "loft": hall})
    assert "hall, loft: batch norm: not tried" in both.to_text()
    assert "hall, loft: 2 images with two labels" in both.to_text()
    data = json.loads(json.dumps(found.to_json()))
    assert data["adapted"] == 1
    assert [one["accepted"] for one in data["devices"].values()] == [True, False]


def test_sessions_of_several_devices_that_are_taken_for_one_are_named(
    digits_bundle, devices, tmp_path
):
    sessions = [
        record_folder(tmp_path / name, digits_bundle, devices[1], name=name)
        for name in ("hall", "yard")
    ]
    joined = adapt(digits_bundle, sessions, tmp_path / "out.edgecnn").to_text()
    assert (
        "the sessions are of 2 devices ('hall', 'yard'), and are taken for those of one" in joined
    )
    alone = adapt(digits_bundle, sessions[0], tmp_path / "out.edgecnn").to_text()
    assert "taken for those of one" not in alone


def test_of_a_refused_device_an_older_network_is_not_taken_for_its_own(each, devices, tmp_path):
    found, _ = each
    older = shutil.copytree(found.devices["hall"].model, tmp_path / "yard.edgecnn")
    again = adapt_each(found.parent, [devices[1]], tmp_path)
    assert (again.adapted, again.older) == (0, {"yard": older})
    assert f"yard: {older} is of an earlier run, and stays" in again.to_text()


def test_images_that_can_not_be_read_are_refused_and_the_others_get_theirs(
    digits_bundle, devices, tmp_path
):
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "1.png").write_bytes(b"\x89PNG")
    found = adapt_each(digits_bundle, [tmp_path / "torn", devices[0]], tmp_path / "out")
    assert "none of 1 field files is a usable image" in found.devices["torn"].refusal
    assert found.devices["hall"].accepted


def test_a_place_that_is_taken_is_found_before_the_work_for_any_device(
    digits_bundle, devices, tmp_path
):
    (tmp_path / "yard.edgecnn").mkdir()
    (tmp_path / "yard.edgecnn" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"yard\.edgecnn exists"):
        adapt_each(digits_bundle, devices, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["yard.edgecnn"]


def test_the_way_back_is_found_from_the_folder_of_all_devices(each, tmp_path):
    found, _ = each
    result = go_back(found.devices["hall"].model, tmp_path / "back.edgecnn")
    assert result.parent == found.parent.resolve()


def test_what_can_not_be_told_apart_or_written_is_refused_before_the_work(
    digits_bundle, digits_model, devices, tmp_path
):
    same = tmp_path / "hall"
    shutil.copytree(devices[0], same)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    for fields, options, place, kind, wrong in (
        ([devices[0], same], {}, out, OptionError, "two devices are called 'hall'"),
        (devices, {"live": devices[0]}, out, OptionError, "is of one device"),
        (devices, {}, digits_bundle, OptionError, "is a network itself"),
        (devices, {}, digits_model, OptionError, "is a network itself"),
        ([devices[0], tmp_path / "empty"], {}, out, DataError, "no image file"),
    ):
        with pytest.raises(kind, match=wrong) as error:
            adapt_each(digits_bundle, fields, place, AdaptOptions(**options))
        assert "\n" not in str(error.value)
    assert not out.exists()


def test_the_command_says_by_its_status_that_a_device_was_refused(
    digits_bundle, devices, tmp_path, capsys
):
    given = {"field": [devices[1]], "per": "device"}
    result, status = command(digits_bundle, tmp_path / "out", AdaptOptions(), **given)
    assert (status, result.adapted) == (1, 0)
    assert "next:" not in result.to_text()
    with pytest.raises(OptionError, match="--per and --undo"):
        command(digits_bundle, tmp_path / "out", AdaptOptions(), undo=True, per="device")


def test_the_view_that_sessions_were_recorded_with_is_asked_for_when_the_new_bundle_runs(
    digits_bundle, halves, tmp_path
):
    """Adapted to a cut, turned or mirrored picture, a network reads the whole frame worse."""
    for name, cut in (("hall", {"roi": ("2,2,32,40",)}), ("yard", {"color": "rgb"})):
        run(digits_bundle, str(halves[0]), RunOptions(log=tmp_path / name, **cut))
    run(digits_bundle, str(halves[0]), RunOptions(log=tmp_path / "whole"))
    sessions = [tmp_path / "hall", tmp_path / "yard"]
    options = AdaptOptions(for_this_camera_only=True)
    one = adapt(digits_bundle, sessions[0], tmp_path / "one.edgecnn", options)
    note = "recorded with --roi 2,2,32,40: run the new bundle with the same, else it sees other"
    assert sum(line.startswith(note) for line in one.to_text().splitlines()) == 1
    assert any(line.startswith(note) for line in Bundle.open(one.model).card.adaptation["notes"])
    assert f"run {one.model} --source SOURCE --roi 2,2,32,40" in one.to_text().splitlines()[-1]
    each = adapt_each(digits_bundle, sessions, tmp_path / "each", options)
    text = each.to_text()
    assert "hall: recorded with --roi 2,2,32,40: run" in text
    assert "yard: recorded with --color rgb: run" in text
    both = adapt(digits_bundle, sessions, tmp_path / "both.edgecnn", options).to_text()
    assert "unlike views (--roi 2,2,32,40; --color rgb), and adapted to all" in both
    assert " run " not in both.partition("next:")[2]
    plain = adapt(digits_bundle, tmp_path / "whole", tmp_path / "plain.edgecnn", options)
    assert "recorded with" not in plain.to_text()
