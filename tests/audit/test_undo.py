"""What another framing or light returns is measured on objects that did not choose it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
from sessions import PAST_BUNDLE

from edgecnn.accuracy.tally import Tally
from edgecnn.audit.audit import audit
from edgecnn.audit.ledger.other_framing import FRAMING, framing_changes
from edgecnn.audit.ledger.other_light import LIGHT, light_changes
from edgecnn.audit.ledger.step import Step
from edgecnn.audit.ledger.truth_faults import TruthFault
from edgecnn.audit.undo import changed_answers, changed_picture
from edgecnn.audit.undo import undo as undoing
from edgecnn.audit.undo.changed_answers import KeptLabelled, Readers, labelled_frames
from edgecnn.audit.undo.fragile import Fragility
from edgecnn.audit.undo.placebo import placebo_changes
from edgecnn.audit.undo.splits import Return, measure_return
from edgecnn.audit.undo.undo import NOT_IDENTIFIED, _both, _Family, _judge, _Trial
from edgecnn.audit.verdict import _cause
from edgecnn.bundle.classifier import Classifier
from edgecnn.device.options import RunOptions
from edgecnn.device.run.run import run
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import open_session
from edgecnn.session.read import Truth, read_frames, read_truth

EVERY = [*framing_changes(), *light_changes(), *placebo_changes(3)]


# ---- the method, on made answers -------------------------------------------------------------


def answers(rng, groups: int, misread: float, cured: float, settings: int, spoiled: float = 0.02):
    """Groups of 1 to 5 frames; the first setting cures a share of the misread groups, the others
    cure and spoil as chance has it."""
    group = np.repeat(np.arange(groups), rng.integers(1, 6, groups))
    wrong = (rng.random(groups) < misread)[group]
    won = np.zeros((settings, len(group)), int)
    for k in range(settings):
        share = cured if k == 0 else spoiled
        changed = rng.random(groups)[group]
        won[k] = (wrong & (changed < share)) * 1 - (~wrong & (changed < spoiled / 4))
    return won, np.ones(len(group)), group


def test_a_setting_that_cures_most_errors_returns_what_it_cures():
    rng = np.random.default_rng(1)
    found, truth = [], []
    for _ in range(20):
        won, weight, group = answers(rng, 80, 0.3, 0.6, 30)
        result = measure_return(won, weight, group)
        assert result.chosen == 0
        assert result.low <= result.points <= result.high
        found.append(result.points)
        truth.append(100 * won[0].mean())
    assert np.mean(found) == pytest.approx(np.mean(truth), abs=1.5)


def test_the_interval_holds_the_points_though_a_few_splits_lose_much():
    found = Return(0, np.repeat([5.0, -60.0], [185, 15]), 1.0, 0.01)
    assert found.low <= found.points <= found.high


def test_settings_that_do_nothing_return_nothing_though_the_best_of_many_is_taken():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(100):
        group = np.repeat(np.arange(60), 3)
        won = rng.choice([-1, 0, 1], (60, 40), p=[0.04, 0.92, 0.04])[group].T
        found.append(measure_return(won, np.ones(180), group))
    assert np.mean([one.points for one in found]) < 0.5
    assert np.mean([one.points > 2 and one.chance <= 0.05 for one in found]) <= 0.05


def returns(rng, share: float, wrong: np.ndarray):
    """What settings return that cure up to a share of the errors each and spoil 2 % of the rest."""
    cures = rng.random((26, len(wrong))) < share * rng.random((26, 1))
    spoils = rng.random((26, len(wrong))) < 0.02
    won = np.where(wrong, cures * 1, spoils * -1)
    return measure_return(won, np.ones(len(wrong)), np.arange(len(wrong)))


def test_settings_that_return_as_much_as_patterns_do_not_beat_them():
    """On a dark display any pattern may help: then light that helps as much is no cause."""
    rng = np.random.default_rng(7)
    wrongs = [rng.random(90) < 0.5 for _ in range(40)]
    pairs = [[returns(rng, 0.3, wrong) for _ in range(2)] for wrong in wrongs]
    seem = [one for pair in pairs for one in pair if one.points > 2 and one.chance <= 0.05]
    assert len(seem) > 60
    won = sum(a.beats(b, points=1.0, often=0.5) for pair in pairs for a, b in (pair, pair[::-1]))
    assert won <= len(seem) / 10
    assert all(
        returns(rng, 0.9, wrong).beats(b, points=1.0, often=0.5)
        for wrong, (b, _) in zip(wrongs[:10], pairs[:10], strict=True)
    )


def test_one_object_that_returns_often_chooses_nothing():
    group = np.r_[np.zeros(60, int), np.arange(1, 61)]
    won = np.zeros((2, 120), int)
    won[0, :60] = 1
    assert measure_return(won, np.ones(120), group).chosen is None


def test_frames_count_by_their_weight():
    rng = np.random.default_rng(3)
    won, weight, group = answers(rng, 100, 0.3, 0.8, 1)
    alike = measure_return(won, weight, group)
    thinned = measure_return(won, np.where(won[0] > 0, 1.0, 3.0), group)
    assert thinned.points < 0.6 * alike.points


def test_errors_are_fragile_if_three_nudges_cure_them_and_solid_if_none_does():
    cured = np.zeros((7, 4), bool)
    cured[:3, 0] = cured[:2, 1] = cured[:, 2] = True
    assert Fragility.of(cured) == Fragility(misread=4, fragile=2, solid=1)


# ---- the changes -----------------------------------------------------------------------------


@pytest.mark.parametrize("change", EVERY, ids=lambda change: change.name)
def test_a_change_gives_another_picture_of_the_same_kind(change):
    rng = np.random.default_rng(4)
    frame = cv2.resize(rng.integers(0, 255, (6, 5, 3)).astype(np.uint8), (40, 60))
    seen = change.apply(frame)
    assert seen.dtype == np.uint8
    assert sorted(seen.shape) == sorted(frame.shape)
    assert seen.shape != frame.shape or not np.array_equal(seen, frame)


def test_names_are_told_apart():
    names = [change.name for change in EVERY]
    assert len(set(names)) == len(names)


def test_the_region_of_a_change_shows_what_the_change_shows():
    rng = np.random.default_rng(5)
    frame = cv2.resize(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), (200, 200))
    cuts = [change for change in framing_changes() if change.cut]
    assert len(cuts) >= 5
    for change in cuts:
        x, y, width, height = change.region(frame.shape)
        cut = cv2.resize(frame[y : y + height, x : x + width], (200, 200))
        difference = np.abs(cut.astype(int) - change.apply(frame)).mean()
        assert difference < 6, change.name


def test_a_setting_of_the_framing_does_what_its_name_says():
    frame = np.zeros((200, 200, 3), np.uint8)
    cv2.circle(frame, (100, 40), 6, (255, 255, 255), -1)  # above the middle

    def bright(name: str) -> tuple[int, int]:
        change = next(one for one in framing_changes() if one.name == name)
        rows, columns = np.nonzero(change.apply(frame)[..., 0] > 128)
        return round(float(columns.mean())), round(float(rows.mean()))

    x, y = bright("turned by 14 degrees clockwise")
    assert (x, y) == pytest.approx((100 + 60 * np.sin(np.radians(14)), 42), abs=1)
    assert bright("turned by 14 degrees counterclockwise")[0] == pytest.approx(200 - x, abs=1)
    assert bright("16 % towards the top") == pytest.approx((100, 72), abs=1)
    # The upper 80 %, without a tenth on each side, fill the frame.
    assert bright("80 % of the frame, from the top") == pytest.approx((100, 50), abs=1)
    assert bright("turned by 90 degrees clockwise") == pytest.approx((159, 100), abs=1)


# ---- audits of planted sessions --------------------------------------------------------------


def planted(source: Path, target: Path, noise: float, change) -> Path:
    """A folder of the same images under uneven light, each by its own, and changed."""
    rng = np.random.default_rng(6)
    for file in sorted(source.rglob("*.png")):
        frame = cv2.imread(str(file))
        uneven = cv2.resize(rng.normal(0, noise, (5, 5)), frame.shape[1::-1])[..., None]
        out = target / file.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        seen = np.clip(frame + uneven, 0, 255).astype(np.uint8)
        cv2.imwrite(str(out), change(seen))
    return target


def shifted(frame: np.ndarray) -> np.ndarray:
    """The scene 3 of 20 pixels further left."""
    return cv2.copyMakeBorder(frame[:, 3:], 0, 0, 0, 3, cv2.BORDER_REPLICATE)


def too_bright(frame: np.ndarray) -> np.ndarray:
    return np.rint(255 * (frame / 255.0) ** 0.25).astype(np.uint8)


def report_of(folder: Path, log: Path):
    run(PAST_BUNDLE, str(folder), RunOptions(truth=("folder",), log=log))
    return audit([log])


@pytest.mark.parametrize(
    ("noise", "plant", "cause", "word"),
    [(25, shifted, FRAMING, "towards the left"), (40, too_bright, LIGHT, "darker")],
)
def test_a_planted_cause_is_priced_and_prescribed(
    noise, plant, cause, word, color_folders, tmp_path
):
    images = color_folders.field
    alone = planted(images, tmp_path / "alone", noise, lambda frame: frame)
    healthy = report_of(alone, tmp_path / "healthy")
    report = report_of(planted(images, tmp_path / "planted", noise, plant), tmp_path / "session")
    cost = 100 * (healthy.live.tally.accuracy - report.live.tally.accuracy)
    assert cost > 8
    found = next(one for one in report.steps if one.cause == cause)
    assert 0.5 * cost <= found.points <= 1.3 * cost
    assert found.low <= found.points <= found.high
    assert all(one.points < 2 for one in report.steps if one is not found)
    assert sum(one.points for one in report.steps) + report.residual.points == pytest.approx(
        report.gap_points, abs=0.1
    )
    assert word in report.next[0].why
    assert word in report.verdict
    (line,) = (line for line in report.to_text().splitlines() if line.startswith(f"{cause} "))
    assert line.endswith("(80 %)")  # the column is of 95 % else
    assert report.next[0].points_high >= found.points
    assert all(one.points < 2 for one in healthy.steps)


def test_what_a_person_can_set_is_an_option_of_run(color_folders, tmp_path):
    """A camera that is too far away: the region to cut out is told in pixels of the frame."""

    def far(frame: np.ndarray) -> np.ndarray:
        canvas = np.full((40, 40, 3), 90, np.uint8)
        canvas[4:36, :32] = cv2.resize(frame, (32, 32))
        return canvas

    folder = planted(color_folders.field, tmp_path / "far", 25, far)
    report = report_of(folder, tmp_path / "session")
    assert "80 % of the frame, from the left" in report.next[0].why
    assert " --roi 0,4,32,32 " in report.next[0].command
    other = planted(color_folders.field, tmp_path / "other", 26, far)
    options = RunOptions(truth=("folder",), log=tmp_path / "cut", roi=("0,0,40,40",))
    run(PAST_BUNDLE, str(other), options)
    both = audit([tmp_path / "session", tmp_path / "cut"]).next[0]
    assert both.command.startswith(f"edgecnn audit {tmp_path / 'session'} --bundle ")
    assert "recorded with unlike --roi, so that no one setting is right for all" in both.why


def test_one_region_that_is_turned_is_recorded_alone_and_its_audit_finds_the_turn(
    color_folders, tmp_path
):
    """Of both regions together no one setting helps: the audit says so and how to go on."""

    def two(frame: np.ndarray) -> np.ndarray:
        upright = cv2.resize(frame, (40, 40))
        return np.hstack([upright, cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE)])

    folder = planted(color_folders.field, tmp_path / "two", 25, two)
    rois, names = ("hall=0,0,40,40", "yard=40,0,40,40"), ("hall=folder", "yard=folder")
    run(PAST_BUNDLE, str(folder), RunOptions(truth=names, log=tmp_path / "s", roi=rois))
    report = audit([tmp_path / "s"])
    assert report.checks.undone.prescription is None
    assert "region yard is" in report.verdict
    assert "no one setting of framing or light" in report.to_text()
    words = shlex.split(report.next[0].command)
    assert words[words.index("--roi") :] == (
        ["--roi", "yard=40,0,40,40", "--truth", "folder", "--log", "alone"]
    )
    run(PAST_BUNDLE, str(folder), RunOptions(truth=("folder",), log=tmp_path / "a", roi=rois[1:]))
    alone = audit([tmp_path / "a"])
    assert " --rotate 270 " in alone.next[0].command


@pytest.mark.parametrize(("color", "advised"), [("bgr", True), ("rgb", False)])
def test_a_source_that_delivers_red_for_blue_is_told_apart_from_other_light(
    color, advised, color_folders, tmp_path
):
    """Of blue digits: where both colours come, it might as well be labels that changed places."""
    blue = tmp_path / "blue"
    for file in color_folders.field.glob("blue*/*"):
        (blue / file.parent.name).mkdir(parents=True, exist_ok=True)
        (blue / file.parent.name / file.name).write_bytes(file.read_bytes())
    exchange = slice(None, None, -1 if color == "bgr" else 1)
    source = planted(blue, tmp_path / "source", 40, lambda frame: frame[..., exchange])
    height, width = cv2.imread(str(next(source.rglob("*.png")))).shape[:2]
    # With a region the session keeps what was classified, and not the file.
    whole = (f"0,0,{width},{height}",)
    options = RunOptions(truth=("folder",), log=tmp_path / "s", color=color, roi=whole)
    run(PAST_BUNDLE, str(source), options)
    report = audit([tmp_path / "s"])
    assert report.checks.faults == ()
    assert "red and blue exchanged" in report.verdict
    how = "these options do it" if advised else "was recorded with --color, and this command is "
    assert how in report.next[0].why
    assert (" --color rgb " in report.next[0].command) == advised


def test_two_causes_at_once_are_both_priced(color_folders, tmp_path):
    """No one setting undoes both; the second is tried where the first is set."""

    def both(frame: np.ndarray) -> np.ndarray:
        return np.bitwise_not(shifted(frame))

    report = report_of(
        planted(color_folders.field, tmp_path / "both", 25, both), tmp_path / "session"
    )
    found = {one.cause: one for one in report.steps}
    assert found[FRAMING].points > 5
    assert found[LIGHT].points > 5
    assert sum(one.points for one in report.steps) + report.residual.points == pytest.approx(
        report.gap_points, abs=0.1
    )
    said = " ".join(found[cause].evidence for cause in (FRAMING, LIGHT))
    # Of each setting its own points: the ledger's are their sum.
    own = [float(n) for n in re.findall(r"is best and returns ([+-][0-9.]+) points", said)]
    assert sum(own) == pytest.approx(found[FRAMING].points + found[LIGHT].points, abs=0.2)
    first = report.checks.undone.prescription
    assert f"with {first.change.name!r} already set: " in said
    points = first.returned.points
    assert f"; only {points:.1f} points come back if each frame" in report.verdict
    large = _cause(report.live, report.checks, 4 * points, None)
    assert f"; {points:.1f} points come back if each frame" in large
    assert any(abs(first.returned.points - one) <= 0.06 for one in own)
    assert not any("more than the whole gap" in line for line in report.apart_from_the_steps)
    rest = replace(report.residual, points=-5.0, low=-8.0, high=-2.0)
    more = replace(report, residual=rest).apart_from_the_steps
    assert any("explain 5.0 points more than the whole gap" in line for line in more)


@pytest.mark.parametrize("known_on_site", [True, False])
def test_hard_pictures_stand_for_the_hard_frames_alone(known_on_site, color_folders, tmp_path):
    """Whether mistakes were known when pictures were kept or not: half of them are hard ones."""
    folder = planted(color_folders.field, tmp_path / "images", 60, lambda frame: frame)
    options = RunOptions(log=tmp_path / "session", keep_frames=60)
    if known_on_site:
        options = replace(options, truth=("folder",))
    run(PAST_BUNDLE, str(folder), options)
    session = open_session(options.log)
    frames = read_frames(session, keep_names=True)
    later = [TruthEvent(k, Path(name).parent.name, "csv") for k, name in frames.names.items()]
    truth = read_truth(session, frames, () if known_on_site else later)
    live = Tally.of(frames.index == truth.label)
    kept = labelled_frames([(session, frames, truth)], Classifier(PAST_BUNDLE))
    assert not kept.sampled.all()
    assert kept.weight.sum() == pytest.approx(live.total)
    assert kept.accuracy == pytest.approx(live.accuracy)
    # As many pictures of chance alone would show fewer errors.
    shown = (~kept.right).sum() / len(kept.right)
    assert shown > 1.3 * (1 - live.accuracy)


def recorded(source: Path, log: Path, keep: int):
    run(PAST_BUNDLE, str(source), RunOptions(truth=("folder",), log=log, keep_frames=keep))
    session = open_session(log)
    frames = read_frames(session)
    return session, frames, read_truth(session, frames)


def test_of_several_sessions_each_stands_for_its_own_frames(color_folders, tmp_path):
    """Of many pictures some are read; these stand for all of their session, as those of others."""
    much = planted(color_folders.field, tmp_path / "much", 60, lambda frame: frame)
    few = tmp_path / "few"
    for file in list(much.rglob("*.png"))[::8]:
        target = few / file.relative_to(much)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), np.bitwise_not(cv2.imread(str(file))))
    parts = [
        recorded(much, tmp_path / "one", 500),
        *(recorded(few, tmp_path / f"few{k}", 500) for k in range(5)),
    ]
    right = np.concatenate([f.index == t.label for _, f, t in parts])
    kept = labelled_frames(parts, Classifier(PAST_BUNDLE))
    assert len(kept.label) < len(right)
    assert kept.weight.sum() == pytest.approx(len(right))
    assert kept.accuracy == pytest.approx(right.mean(), abs=0.005)


def test_a_setting_that_spoils_too_much_is_read_in_part_and_not_chosen(
    color_folders, tmp_path, monkeypatch
):
    folder = planted(color_folders.field, tmp_path / "images", 60, lambda frame: frame)
    parts = [recorded(folder, tmp_path / "session", 500)]
    readers = Readers(classifier := Classifier(PAST_BUNDLE))
    kept = labelled_frames(parts, classifier)
    count = mock.Mock(wraps=readers.answers)
    monkeypatch.setattr(readers, "answers", count)

    def tried(block: int) -> tuple[np.ndarray, int]:
        monkeypatch.setattr(undoing, "_BLOCK", block)
        count.reset_mock()
        won = _Trial(kept, readers, None)._won(LIGHT, light_changes())
        return won, sum(len(call.args[0]) for call in count.call_args_list)

    (some, fewer), (every, all_of_them) = tried(16), tried(10_000)
    returns = every @ kept.weight > 0
    assert returns.any()
    assert not returns.all()
    assert (some[returns] == every[returns]).all()
    assert (some[~returns] @ kept.weight <= 0).all()
    assert fewer < 0.8 * all_of_them
    # What was not read counts as what was: about as much is spoiled as if all had been read.
    near = 0.15 * kept.weight.sum()
    assert some[~returns] @ kept.weight == pytest.approx(every[~returns] @ kept.weight, abs=near)


class SmearReader:
    """Answers 1 to a picture whose lowest rows are all alike, as an edge that is drawn out is."""

    def answers(self, frames, change):
        changed = [frame if change is None else change.apply(frame) for frame in frames]
        return np.array([int(np.ptp(one[-4:], axis=0).max() < 8) for one in changed], np.int64)


def test_what_only_a_drawn_out_edge_mends_is_not_mended():
    """Pictures of one class that is read as another, without what the lab showed below it."""
    rng = np.random.default_rng(8)
    frames = [rng.integers(0, 255, (64, 48, 3)).astype(np.uint8) for _ in range(30)]
    wrong = np.zeros(30, np.int64)
    kept = KeptLabelled(frames, wrong + 1, wrong, np.ones(30), np.arange(30), np.ones(30, bool))
    changes = [one for one in framing_changes() if "bottom" in one.name and one.refilled]
    smeared = SmearReader().answers(frames, changes[0])
    assert smeared.all(), "the edge alone would mend them all"
    assert not _Trial(kept, SmearReader(), None)._won(FRAMING, changes).any()
    # Nor does it save labels from being accused.
    frames = SimpleNamespace(index=wrong, regions={None: 0}, key=wrong)
    part = (mock.Mock(), frames, Truth(wrong + 1, wrong, wrong, 0, {}, 0))
    fault = TruthFault("labels run backwards", Tally(0, 30), None, None)
    with mock.patch.multiple(
        changed_picture,
        framing_changes=lambda: changes,
        labelled_frames=lambda *_: kept,
        open_classifier=mock.Mock(),
        Readers=lambda _: SmearReader(),
    ):
        assert changed_picture.picture_at_fault(part, fault, mock.Mock(), 0.9) is None


def test_frames_surer_than_every_picture_are_stood_for():
    """Scores of integer files are often equal: no part may be left without a picture."""
    sure = np.repeat([0.9, 0.99, 1.0], [400, 500, 100])
    label, images = np.zeros(len(sure), int), dict.fromkeys(range(400, 900, 20), "picture")
    frames = SimpleNamespace(index=label, calibrated=sure, images=images)
    with mock.patch.object(
        changed_answers, "label_weights", lambda frames, truth, rows: np.ones(len(rows))
    ):
        found = changed_answers._stands_for(frames, SimpleNamespace(label=label), 400)
    assert sum(found.values()) == pytest.approx(len(sure))
    assert found.keys() == images.keys()


def test_a_cause_that_only_a_further_setting_shows_is_no_part_of_the_rest():
    first = (Step(NOT_IDENTIFIED, 9.0, 6.0, 12.0, "rivals"),)
    more = (Step(FRAMING, 0.0, -1.0, 1.0, "none"), Step(LIGHT, 3.0, 1.0, 5.0, "darker"))
    found = _both(first, more, "with 'nearer' already set: ")
    assert [(one.cause, one.points) for one in found] == [(NOT_IDENTIFIED, 9.0), (LIGHT, 3.0)]
    assert found[1].evidence == "with 'nearer' already set: darker"


def test_what_is_advised_of_two_rivals_returns_what_the_ledger_says():
    """Each mends mostly the same things; choosing between them costs points as well."""
    count = 60
    zeros, ones = np.zeros(count, int), np.ones(count)
    frames = [np.zeros((4, 4, 3), np.uint8)] * count
    kept = KeptLabelled(frames, zeros, zeros + 1, ones, np.arange(count), np.ones(count, bool))
    families = []
    for cause, changes, mended in (
        (FRAMING, framing_changes()[:1], range(30)),
        (LIGHT, light_changes()[:1], range(3, 32)),
    ):
        won = np.zeros((1, count))
        won[0, list(mended)] = 1.0
        nothing = measure_return(np.zeros((1, count)), ones, kept.group)
        returned = measure_return(won, ones, kept.group)
        families.append(_Family(cause, changes, won, returned, nothing))
    found = _judge(families, kept, None)
    (step,) = found.steps
    assert step.cause == NOT_IDENTIFIED
    assert step.points != families[0].returned.points
    assert found.prescription.change == families[0].best
    assert found.prescription.returned.points == step.points


def test_without_a_misread_frame_of_chance_nothing_is_said_of_nudges():
    frames = [np.zeros((4, 4, 3), np.uint8)] * 2
    zeros, ones = np.zeros(2, int), np.ones(2)
    kept = KeptLabelled(frames, zeros, zeros + 1, ones, zeros, np.zeros(2, bool))
    readers = Readers(Classifier(PAST_BUNDLE))
    assert _Trial(kept, readers, None).fragility() is None
