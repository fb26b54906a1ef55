"""The verdict: training, unseen and simulated field images, with what chance alone would do."""

from __future__ import annotations

from edgecnn.accuracy.tally import Tally
from edgecnn.train.assess import Verdict


def test_a_network_that_knows_its_images_overfits():
    verdict = Verdict(Tally(1000, 1000), Tally(270, 300), Tally(262, 300))
    assert verdict.overfits
    assert not verdict.fragile
    assert "Overfits: training images are read 10.0 points" in verdict.to_text()
    assert "no field image" in verdict.to_text()


def test_a_gap_that_chance_explains_is_no_overfitting():
    verdict = Verdict(Tally(1000, 1000), Tally(19, 20), Tally(18, 20))
    assert not verdict.overfits
    assert "No overfitting found" in verdict.to_text()


def test_a_network_that_a_camera_ruins_is_fragile():
    verdict = Verdict(Tally(990, 1000), Tally(297, 300), Tally(200, 300))
    assert verdict.fragile
    assert not verdict.overfits
    found = verdict.to_json()
    assert found["simulated_field"]["total"] == 300
    gap = found["gaps"]["test_field"]
    assert gap["low"] < gap["points"] < gap["high"]
