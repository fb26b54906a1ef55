"""What adapting was expected to return stands beside what it returned, on frames it did not use."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from samples import sample
from sessions import record_folder

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.adapt.adapt import adapt
from edgecnn.adapt.data import live_before, sessions_of
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.audit.beside import adapted_gain
from edgecnn.audit.notes import network_notes
from edgecnn.bundle.card import Card, LiveBefore, picture_key
from edgecnn.bundle.folder import Bundle
from edgecnn.device.evaluate import evaluate
from edgecnn.device.run.run import RunOptions, run
from edgecnn.files.folders import file_sha256

BEFORE = LiveBefore(Tally(80, 100), Tally(95, 100))


@pytest.fixture(scope="module")
def story(digits_bundle, halves, tmp_path_factory):
    """A session with labels, the bundle that was adapted to it, and a later session of that."""
    root = tmp_path_factory.mktemp("story")
    first = record_folder(root / "first", digits_bundle, halves[0])
    result = adapt(digits_bundle, first, root / "new.edgecnn")
    some = root / "some"
    for path in sorted(halves[1].rglob("*.png"))[::3]:
        (some / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, some / path.parent.name)
    return first, result, record_folder(root / "second", result.model, some)


def test_an_audit_after_adapting_sets_expected_beside_obtained(story, digits_bundle):
    first, result, second = story
    was = audit(first, AuditOptions(bundle=digits_bundle))
    assert [step.command.split()[:2] for step in was.next].count(["edgecnn", "adapt"]) == 1
    before = result.live_before
    assert (before.live, before.lab) == (was.live.tally, was.lab.quantized)
    assert (
        f"at most {before.most_points:.1f} points (the upper end of the gap's" in result.to_text()
    )
    assert Bundle.open(result.model).card.live_before == before
    now = audit(second)
    gain = now.adapted
    assert (gain.points, gain.low, gain.high) == difference(now.live.tally, was.live.tally)
    assert (gain.before, gain.fixed, gain.why) == (before, None, "")
    text = now.to_text()
    assert f"adapted  expected 0 to {before.most_points:.1f} points (live before" in text
    assert f"obtained {gain.points:+.1f} points, 95 % interval" in text
    assert json.loads(json.dumps(now.to_json()))["adapted"]["before"]["live"]["total"] == 166
    assert was.adapted is None
    assert was.overfitting is not None
    assert now.overfitting is None  # its training images were read by another network
    assert not [note for note in now.notes if "adapted to" in note]


def test_frames_that_it_was_adapted_to_say_nothing_of_what_it_returned(
    story, digits_bundle, halves, tmp_path
):
    first, result, _ = story
    again = record_folder(tmp_path / "again", result.model, halves[0])
    report = audit(again)
    used = len(list((first / "frames").iterdir()))
    assert report.adapted.points is None
    assert report.adapted.before == result.live_before
    assert f"obtained not identified: {used} of these pictures" in report.to_text()
    assert f"has learned from {used} of the kept pictures, so live" in report.verdict
    assert any(f"adapted to {used} of the kept pictures" in note for note in report.notes)
    (note,) = evaluate(result.model, halves[0]).notes
    assert f"adapted to {used} of these images" in note
    assert not evaluate(result.model, halves[1]).notes
    for bundle, shadow, who in (
        (result.model, None, "the network"),
        (digits_bundle, result.model, "the shadow"),
    ):
        ran = run(bundle, str(halves[0]), RunOptions(shadow=shadow))
        assert (
            f"{who} was trained on or adapted to {used} of these images, or more" in ran.to_text()
        )


def test_the_card_knows_its_pictures_and_those_of_its_parents(story, digits_bundle):
    first, result, _ = story
    card = Bundle.open(result.model).card
    mine = {picture_key(file_sha256(p.read_bytes())) for p in (first / "frames").iterdir()}
    assert card.learned_pictures == mine | Bundle.open(digits_bundle).card.learned_pictures
    trained = replace(sample(Card), training={"also": {"pictures": ["a"]}}, adaptation=None)
    assert trained.learned_pictures == {"a"}
    assert replace(sample(Card), training={}, adaptation=None).learned_pictures == frozenset()


def test_live_before_is_of_this_network_and_of_labels_that_are_a_sample(
    story, digits_bundle, halves, tmp_path
):
    first, result, second = story
    card = Bundle.open(digits_bundle).card
    assert live_before(sessions_of([halves[0]]), card) is None
    assert live_before(sessions_of([second]), card) is None  # another network ran there
    assert live_before(sessions_of([first, second]), card) is None
    none = record_folder(tmp_path / "none", digits_bundle, halves[0], truth=False)
    assert live_before(sessions_of([none]), card) is None
    assert live_before(sessions_of([first]), card) == result.live_before
    # An older edgecnn counted the same answers of the lab as independent.
    older = replace(card.lab, tally=replace(card.lab.tally, effective=None))
    assert live_before(sessions_of([first]), replace(card, lab=older)) == result.live_before


@pytest.mark.parametrize(
    ("told", "live", "learned", "why"),
    [
        ({}, Tally(9, 10), 0, "live accuracy before is unknown"),
        ({"live_before": BEFORE.to_json()}, Tally(0, 0), 0, "no labels of a sample"),
        ({"live_before": BEFORE.to_json()}, Tally(9, 10), 3, "3 of these pictures"),
    ],
)
def test_what_was_not_measured_is_not_identified(told, live, learned, why):
    card = replace(sample(Card), adaptation=told)
    gain = adapted_gain(card, live, learned)
    assert gain.points is None
    assert why in gain.to_text()
    assert ("expected not identified" in gain.to_text()) == (not told)


def test_labels_that_were_held_out_at_adapting_are_named():
    step = {"name": "last layer", "accepted": True, "fixed": 7, "broken": 2}
    told = {"live_before": BEFORE.to_json(), "labelled": 40, "steps": [step]}
    gain = adapted_gain(replace(sample(Card), adaptation=told), Tally(90, 100), 0)
    assert gain.points == pytest.approx(10)
    assert gain.low < 10 < gain.high
    assert "held-out labelled images 7 fixed, 2 broken" in gain.to_text()
    unlabelled = replace(sample(Card), adaptation={**told, "labelled": 0})
    assert "held-out" not in adapted_gain(unlabelled, Tally(90, 100), 0).to_text()


def test_a_network_that_was_not_adapted_has_no_such_line():
    assert adapted_gain(replace(sample(Card), adaptation=None), Tally(9, 10), 0) is None


def test_a_network_that_cuts_margins_off_is_named_beside_its_whole_pictures():
    card = replace(sample(Card), adaptation={"framing": "cut off: 8 % left"})
    assert "(cut off: 8 % left)" in " ".join(network_notes(card, 0))
    assert not network_notes(replace(card, adaptation=None), 0)
