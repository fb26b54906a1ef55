"""`adapt --undo` finds the parent by its card, and takes nothing else for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edgecnn.adapt.adapt import adapt
from edgecnn.adapt.go_back import go_back
from edgecnn.adapt.options import AdaptOptions
from edgecnn.bundle.card import CARD_FILE, Card
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.cli.lab import adapt as command
from edgecnn.device.doctor.doctor import examine
from edgecnn.device.evaluate import evaluate
from edgecnn.errors import BundleError, ModelError, OptionError


@pytest.fixture
def family(digits_bundle, tmp_path) -> tuple[Path, Path]:
    """A bundle and one that says it was adapted from it."""
    old = shutil.copytree(digits_bundle, tmp_path / "old.edgecnn")
    new = shutil.copytree(digits_bundle, tmp_path / "new.edgecnn")
    card = Card.from_json(json.loads((new / CARD_FILE).read_text()))
    digest = hashlib.sha256((old / CARD_FILE).read_bytes()).hexdigest()
    steps = [{"name": "last layer", "accepted": True}, {"name": "batch norm", "accepted": False}]
    told = {"images": 40, "labelled": 0, "steps": steps, "framing": "cut off: 8 % left"}
    card = replace(card, parent=digest, adaptation=told, name="new")
    (new / CARD_FILE).write_text(json.dumps(card.to_json()))
    seal(new)
    return old, new


def test_the_parent_comes_back_whole_even_in_place_of_the_adapted_one(family):
    old, new = family
    digest = Bundle.open(old).sha256
    for one, day in ((old, 2), (new, 28)):
        at = datetime(2026, 5, day, 13, 25, tzinfo=timezone.utc).timestamp()
        os.utime(one / CARD_FILE, (at, at))
    result = go_back(new, new)
    first, second, *then = result.to_text().splitlines()
    assert then == ["next:", f"  edgecnn doctor {new}"]
    assert f"wrote {new}, a copy of {old.resolve()} of 2026-05-02 13:25 UTC: lab " in first
    undone = f"undone: {new} of 2026-05-28 13:25 UTC, which had accepted: last layer: lab "
    assert second.startswith(undone)
    assert Bundle.open(new).sha256 == digest
    assert result.parent == old.resolve()
    assert result.lab == Bundle.open(old).card.lab.tally
    with pytest.raises(ModelError, match="names no parent"):
        go_back(new, new)
    with pytest.raises(ModelError, match="nowhere does not exist, expected a folder that"):
        go_back(new.with_name("nowhere"), new)


def test_a_renamed_parent_is_found_and_a_changed_one_is_not_taken(family):
    old, new = family
    renamed = old.rename(old.with_name("other-name"))
    assert go_back(new, new.with_name("back")).parent == renamed.resolve()
    shutil.rmtree(new.with_name("back"))
    (renamed / "labels.txt").write_text("changed")
    with pytest.raises(BundleError, match="labels"):
        go_back(new, new.with_name("again"))
    with (renamed / CARD_FILE).open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match="put its folder there"):
        go_back(new, new.with_name("again"))
    assert not new.with_name("again").exists()


def test_a_bundle_that_is_adapted_again_still_says_what_its_network_cuts_off(family, halves):
    result = adapt(family[1], halves[1], family[1].with_name("again.edgecnn"))
    assert Bundle.open(result.model).card.framing == "cut off: 8 % left"
    notes = evaluate(result.model, halves[1]).notes
    assert any("cut off: 8 % left of every picture" in note for note in notes)


def test_the_command_wants_field_images_or_undo(family):
    old, new = family
    target = new.with_name("x")
    for given in ({}, {"field": [old], "undo": True}):
        with pytest.raises(OptionError, match="--field and --undo"):
            command(new, target, AdaptOptions(), **given)
    result, status = command(new, target, AdaptOptions(), undo=True)
    assert (result.parent, status) == (old.resolve(), 0)


def test_doctor_says_what_a_bundle_was_adapted_from(family, digits_bundle):
    (line,) = [one for one in examine(family[1]).checks if one.name == "adapted"]
    assert "to 40 field images (0 labelled): last layer; cut off: 8 % left" in line.found
    assert not [one for one in examine(digits_bundle).checks if one.name == "adapted"]
