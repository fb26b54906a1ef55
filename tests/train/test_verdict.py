"""The verdict: training, unseen and simulated field images, with what chance alone would do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from samples import sample

from edgecnn.accuracy.tally import Tally
from edgecnn.device.outputs.output_options import OutputOptions
from edgecnn.errors import OptionError
from edgecnn.train.assess import Breakdown, Verdict
from edgecnn.train.backbone.result import LargerInput, SideTrial
from edgecnn.train.field_images import FieldSign
from edgecnn.train.result import TrainResult

TRIED = ((96, 160, 2.0), (224, 188, 11.0))


def test_a_network_that_knows_its_images_overfits():
    verdict = Verdict(Tally(1000, 1000), Tally(270, 300), Tally(262, 300))
    assert verdict.overfits
    assert not verdict.fragile
    assert "Overfits: training images are read 10.0 points" in verdict.to_text()
    assert "no field image" in verdict.to_text()


def test_a_gap_that_chance_explains_is_no_overfitting():
    verdict = Verdict(Tally(1000, 1000), Tally(19, 20), Tally(18, 20))
    assert not verdict.overfits
    assert verdict.gaps["train_test"]["low"] > 0
    assert "No strong overfitting found" in verdict.to_text()
    alike = Verdict(Tally(990, 1000), Tally(297, 300), Tally(295, 300))
    assert "No overfitting found" in alike.to_text()


def test_a_network_that_a_camera_ruins_is_fragile():
    verdict = Verdict(Tally(990, 1000), Tally(297, 300), Tally(200, 300))
    assert verdict.fragile
    assert not verdict.overfits
    found = verdict.to_json()
    assert found["simulated_field"]["total"] == 300
    gap = found["gaps"]["test_field"]
    assert gap["low"] < gap["points"] < gap["high"]


def test_a_network_that_never_learned_its_images_underfits():
    verdict = Verdict(Tally(700, 1000), Tally(205, 300), Tally(150, 300), pretrained=True)
    assert verdict.underfits
    assert not verdict.overfits
    assert "Underfits: even training images are read at 70.0 %" in verdict.to_text()
    assert "--augment light" in verdict.to_text()
    alike = Tally(213, 280, 12.0)
    assert alike.interval[1] > 0.9  # of other images: too few things to tell
    assert Verdict(alike, Tally(60, 80, 9.0), Tally(60, 80, 9.0)).underfits


def test_overfitting_is_answered_with_what_the_network_has():
    small, large = (Verdict(Tally(1000, 1000), *[Tally(270, 300)] * 2, p) for p in (False, True))
    assert "--network-width" in small.to_text()
    assert "--network-width" not in large.to_text()
    assert "--no-fine-tune" in large.to_text()


def test_a_simulated_field_alone_asks_for_no_stronger_augmentation():
    """It knows no other scenes: on photographs the stronger augmentation was the worse one."""
    for pretrained in (False, True):
        for strength in ("none", "light", "default"):
            verdict = Verdict(*[Tally(990, 1000)] * 2, Tally(600, 1000), pretrained, strength)
            assert verdict.fragile
            advised = "--augment" in verdict.to_text()
            assert advised == (not pretrained and strength != "default")


def test_the_change_is_named_or_there_is_none():
    good = (Tally(990, 1000), Tally(297, 300), Tally(290, 300))
    text = Verdict(*good, pretrained=True).to_text()
    assert "Nothing to change" in text
    assert "can't show much" not in text
    few = replace(Verdict(*good, pretrained=True), test=Tally(4, 4), field=Tally(4, 4))
    assert "would say more. 4 test images can't show much: add images." in few.to_text()
    trials = [SideTrial(side, Tally(right, 200), 1.0, ms) for side, right, ms in TRIED]
    text = Verdict(*good, pretrained=True, larger=LargerInput(*trials)).to_text()
    assert "200 of the training images alone reads 94.0 % of them at 224 px and 80.0 %" in text
    assert "5.5 times the time an image" in text
    assert "Nothing to change" not in text


def test_field_images_without_labels_show_a_loss_or_none():
    good = (Tally(990, 1000), Tally(297, 300), Tally(290, 300))
    assert "--field" in Verdict(*good).to_text()
    lower = Verdict(*good, sign=FieldSign(166, 84.0, 97.0))
    assert lower.sign.points == 13.0
    assert "about 13 points, or up to 26" in lower.to_text()
    assert "edgecnn adapt" in lower.to_text()
    assert "Nothing to change" not in lower.to_text()
    some = replace(lower, sign=FieldSign(166, 84.0, 97.0, left_out=12)).to_text()
    assert "(12 others left out: images of the training)" in some
    equal = Verdict(*good, sign=FieldSign(166, 96.5, 97.0)).to_text()
    assert "no sign of a loss, and no proof" in equal
    assert "Nothing to change was found." in equal


def test_a_network_that_is_its_probe_is_not_told_to_keep_it():
    counts = Tally(1000, 1000), Tally(200, 300), Tally(190, 300)
    assert "--no-fine-tune" in Verdict(*counts, pretrained=True).to_text()
    found = Verdict(*counts, pretrained=True, tuned=False).to_text()
    assert "Add images of other places." in found
    assert "--no-fine-tune" not in found


def test_a_short_run_is_told_how_long_the_stronger_augmentation_takes():
    """80 digits a class: 63 % in the field without augmentation, 14 in as few epochs with it."""
    counts = Tally(1000, 1000), Tally(200, 300), Tally(150, 300)
    found = Verdict(*counts, strength="none", epochs=70).to_text()
    assert found.count("--augment default --epochs 70") == 2
    assert "--epochs" not in Verdict(*counts, strength="none").to_text()


def test_weak_augmentation_on_crops_is_named_though_the_simulated_field_costs_nothing():
    """80 digits a class, light, 16 epochs: no point lost there, and 68 % in the field for 93."""
    text = Verdict(*[Tally(158, 160)] * 3, strength="light", epochs=70).to_text()
    assert "--augment default --epochs 70" in text
    assert "Nothing to change" not in text
    assert "--augment" not in Verdict(*[Tally(158, 160)] * 3, strength="default").to_text()


def test_a_network_at_chance_is_not_sent_on_without_a_word():
    counts = {str(k): 40 for k in range(10)}
    usual = {"worker": "", "splits": {}, "confidence_error": {}, "class_counts": counts}
    unlearned = sample(TrainResult).not_learned
    result = replace(sample(TrainResult), **usual, not_learned=())
    assert "no better than naming the commonest class (10 % of" in (
        replace(result, lab=Tally(11, 120)).to_text()
    )
    assert "better than naming" not in replace(result, lab=Tally(40, 120)).to_text()
    # Four right answers of four are better; that four are few is another matter.
    few = replace(result, lab=Tally(4, 4), class_counts={"a": 11, "b": 10}).to_text()
    assert "not surely better than naming the commonest class (52 %" in few
    assert "add images" in few
    # 19 good parts for each bad one, and no bad one is found.
    rare = replace(result, class_counts={"bad": 50, "good": 950})
    missed = replace(rare, lab=Tally(225, 235), verdict=Verdict(*[Tally(225, 235)] * 3)).to_text()
    assert "not surely better than naming" in missed
    assert "Nothing to change was found" not in missed
    found = replace(rare, lab=Tally(234, 235), verdict=Verdict(*[Tally(234, 235)] * 3))
    assert "Nothing to change was found" in found.to_text()
    assert "Nothing to change was found" not in replace(found, not_learned=unlearned).to_text()


def test_a_class_that_no_test_image_is_of_is_named_beside_lab_accuracy():
    by_class = Breakdown("class", {"a": Tally(9, 10)}, None)
    usual = {"worker": "", "splits": {}, "confidence_error": {}, "class_counts": {"a": 9, "b": 9}}
    result = replace(sample(TrainResult), **usual, breakdowns=(by_class,))
    assert "No test image is of class b: lab accuracy does not say" in result.to_text()
    both = replace(by_class, tallies={"a": Tally(9, 10), "b": Tally(0, 10)})
    assert "No test image" not in replace(result, breakdowns=(both,)).to_text()


def test_a_network_without_a_threshold_is_not_said_to_reject_nothing():
    """`run --reject card` refuses it; the number that is named works."""
    usual = {"worker": "", "splits": {}, "confidence_error": {"raw": 0.1, "calibrated": 0.1}}
    text = replace(sample(TrainResult), **usual, reject=None).to_text()
    assert "`run --reject card` is refused" in text
    advised = re.findall(r"such as --reject (0\.\d)", text)
    assert OutputOptions(reject=tuple(advised)).rule(("a", "b"), None).least == 0.6
    with pytest.raises(OptionError, match="no threshold"):
        OutputOptions(reject=("card",)).rule(("a", "b"), None)


def test_field_images_are_picked_by_calibrate_before_the_export():
    """The whole folder may hold the lab's own images: `calibrate` leaves them out."""
    places = {"model": Path("m"), "read": Path("lab"), "worker": "", "confidence_error": {}}
    result = replace(sample(TrainResult), **places, splits={})
    without = replace(result, unlabelled=None).to_text()
    assert without.endswith("\n  edgecnn export m --calibration FIELD -o m.edgecnn")
    text = replace(result, unlabelled=Path("f")).to_text()
    assert text.endswith(
        "\n  edgecnn calibrate f --lab lab -o calibration"
        "\n  edgecnn export m --calibration calibration -o m.edgecnn"
    )
