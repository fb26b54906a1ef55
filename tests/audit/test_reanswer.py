"""The kept frames are answered again: planted faults are named, right paths are not accused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sessions import ARTIFACT, PAST_BUNDLE, frame_event, truth_event, write_session

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.audit.ledger.match import find_match, moved_labels
from edgecnn.audit.ledger.paths import other_paths
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode
from edgecnn.bundle.spec import InputSpec

NUM_FRAMES = 120


@pytest.fixture(scope="module")
def pictures() -> list[tuple[str, bytes]]:
    """Coloured digits as large as a camera's crop, noisy: (class, encoded picture)."""
    from sklearn.datasets import load_digits

    digits, rng = load_digits(n_class=4), np.random.default_rng(5)
    found = []
    for k in range(NUM_FRAMES):
        ink = np.array([255, 70, 40] if k % 2 == 0 else [40, 70, 255])
        large = cv2.resize(digits.images[500 + k] / 16, (40, 40), interpolation=cv2.INTER_CUBIC)
        frame = 90 + np.clip(large, 0, 1)[..., None] * (ink - 90) + rng.normal(0, 25, (40, 40, 3))
        data = cv2.imencode(".png", np.clip(frame, 0, 255).astype(np.uint8))[1].tobytes()
        found.append((f"{'red' if k % 2 else 'blue'} {digits.target[500 + k]}", data))
    return found


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(Bundle.open(PAST_BUNDLE), ARTIFACT)


Device = Callable[[np.ndarray], np.ndarray]


def framed(small: np.ndarray) -> np.ndarray:
    """12x12 on black, as the bundle's letterbox wants a square frame; R, G, B."""
    return np.pad(small, ((2, 2), (0, 0), (0, 0)))[..., ::-1]


def resized(frame: np.ndarray, how: int, size_wh: tuple[int, int] = (12, 12)) -> np.ndarray:
    return cv2.resize(frame, size_wh, interpolation=how)


def halved(frame: np.ndarray, size_wh: tuple[int, int] = (12, 12)) -> np.ndarray:
    """What the bundle asks for, written again by hand: 40x40 is halved once, then linear."""
    mean = (frame.reshape(20, 2, 20, 2, 3).astype(int).sum((1, 3)) + 2) // 4
    return resized(mean.astype(np.uint8), cv2.INTER_LINEAR, size_wh)


DEVICES: dict[str, tuple[Device, str]] = {
    "bgr": (lambda f: framed(halved(f))[..., ::-1], "red and blue swapped"),
    "unit": (lambda f: framed(halved(f)) / 255, "[0, 1]"),
    "signed unit": (lambda f: framed(halved(f)) / 127.5 - 1, "[-1, 1]"),
    "zero point": (lambda f: framed(halved(f)) - 128.0, "128 subtracted"),
    "turn": (lambda f: framed(halved(np.rot90(f, -1))), "turned by 90 degrees clockwise"),
    "mirror": (lambda f: framed(halved(f))[:, ::-1], "mirrored"),
    "stretch": (lambda f: halved(f, (12, 16))[..., ::-1], "'stretch'"),
    "nearest": (lambda f: framed(resized(f, cv2.INTER_NEAREST)), "'nearest'"),
    "area": (lambda f: framed(resized(f, cv2.INTER_AREA)), "'area'"),
    "linear": (lambda f: framed(resized(f, cv2.INTER_LINEAR)), "'linear'"),
    "grey": (lambda f: np.repeat(framed(halved(f)) @ _LUMA, 3, 2), "grey"),
}
_LUMA = np.array([[0.299], [0.587], [0.114]])


def right_path(frame: np.ndarray) -> np.ndarray:
    return framed(halved(frame))


def record(
    path: Path, classifier: Classifier, pictures, device: Device, *, keep_every: int = 1
) -> Path:
    """What a program logs that makes its own tensors and keeps its pictures."""
    session = path
    events, kept = [], {}
    answers = []
    for k, (label, data) in enumerate(pictures):
        values = np.asarray(device(decode(data)))
        scores = classifier.runtime.invoke_real(values.astype(np.float32))
        answers.append((k, label, data, scores))
    for k, label, data, scores in answers:
        sure = float(calibrated_confidence(scores, classifier.card.temperature, 1 / 256))
        more = {}
        if k % keep_every == 0:
            logged = [round(256 * float(score), 1) for score in scores]
            more = {"pool": "uniform", "p": 1.0, "scores": logged}
            kept[f"{k:08d}.png"] = data
        events += [frame_event(k, scores, sure) | more, truth_event(k, label)]
    write_session(session, PAST_BUNDLE, [*events, {"event": "end", "reason": "done"}])
    for name, data in kept.items():
        (session / "frames" / name).write_bytes(data)
    return session


@pytest.mark.parametrize("name", DEVICES)
def test_a_planted_fault_is_named_and_priced(name, tmp_path, classifier, pictures):
    device, expected = DEVICES[name]
    report = audit([record(tmp_path / "s", classifier, pictures, device)])
    (fault,) = report.checks.faults
    assert fault.kind == "path"
    assert expected in fault.name
    right = record(tmp_path / "right", classifier, pictures, right_path)
    lost = audit([right]).live.tally.correct - report.live.tally.correct
    assert fault.points == pytest.approx(100 * lost / NUM_FRAMES)
    total = sum(s.points for s in report.steps) + report.residual.points
    assert total == pytest.approx(report.gap_points)


def test_pictures_of_other_frames_are_named(tmp_path, classifier, pictures):
    session = record(tmp_path / "s", classifier, pictures, right_path)
    files = sorted((session / "frames").glob("*.png"))
    contents = [file.read_bytes() for file in files]
    order = np.random.default_rng(0).permutation(len(files))
    for file, k in zip(files, order, strict=True):
        file.write_bytes(contents[k])
    (fault,) = audit([session]).checks.faults
    assert "don't belong to their answers" in fault.name


@pytest.mark.parametrize("lag", [3, -2])
def test_answers_that_come_late_are_named_with_the_number_of_frames(
    lag, tmp_path, classifier, pictures
):
    late = [(label, pictures[(k - lag) % NUM_FRAMES][1]) for k, (label, _) in enumerate(pictures)]
    session = record(tmp_path / "s", classifier, late, right_path)
    for k, (_, data) in enumerate(pictures):
        (session / "frames" / f"{k:08d}.png").write_bytes(data)
    (fault,) = audit([session]).checks.faults
    assert f"{abs(lag)} frames {'late' if lag > 0 else 'early'}" in fault.name


def test_labels_in_another_order_on_the_device_are_named(tmp_path, classifier, pictures):
    session = record(tmp_path / "s", classifier, pictures, right_path)
    lines = []
    for line in (session / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "frame":
            event["k"] = [[7 - k, score] for k, score in event["k"]]
            event["scores"] = event["scores"][::-1]
        lines.append(json.dumps(event) + "\n")
    (session / "events.jsonl").write_text("".join(lines))
    (fault,) = audit([session]).checks.faults
    assert fault.kind == "path"
    assert "labels in another order" in fault.name


def test_the_right_path_is_proved_and_costs_nothing(tmp_path, classifier, pictures):
    report = audit([record(tmp_path / "s", classifier, pictures, right_path)])
    assert report.checks.faults == ()
    assert (report.checks.kept.frames, report.checks.kept.agreed) == (NUM_FRAMES, NUM_FRAMES)
    step = report.checks.steps[0]
    assert step.points == 0
    assert 0 < step.high < 4
    assert "120 of 120 kept frames, answered again, agree" in report.to_text()


@pytest.mark.parametrize("quality", [95, 60])
def test_pictures_that_were_compressed_again_accuse_nobody(quality, tmp_path, classifier, pictures):
    session = record(tmp_path / "s", classifier, pictures, right_path)
    for file in (session / "frames").glob("*.png"):
        jpeg = cv2.imencode(".jpg", cv2.imread(str(file)), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        file.with_suffix(".jpg").write_bytes(jpeg.tobytes())
        file.unlink()
    report = audit([session])
    assert report.checks.faults == ()
    assert report.checks.kept.is_same
    assert report.checks.kept.agreed < NUM_FRAMES  # and yet the device did nothing wrong
    step = report.checks.steps[0]
    assert step.points == 0
    assert 100 * (NUM_FRAMES - report.checks.kept.agreed) / NUM_FRAMES < step.high < 15
    assert "once more moves their scores as far" in step.evidence


def test_a_path_that_none_of_those_tried_is_does_not_work_as_the_lab_did(
    tmp_path, classifier, pictures
):
    rng = np.random.default_rng(0)

    def noisy(frame: np.ndarray) -> np.ndarray:
        return right_path(np.clip(frame + rng.normal(0, 40, frame.shape), 0, 255).astype(np.uint8))

    report = audit([record(tmp_path / "s", classifier, pictures, noisy)])
    assert report.checks.faults == ()
    assert "works as the lab did" not in report.verdict
    assert "the device's scores are not the lab's" in report.verdict
    assert any("none of the paths that were tried gives them" in note for note in report.notes)


def test_a_path_that_is_not_known_but_surely_costs_points_is_a_fault(
    tmp_path, classifier, pictures, monkeypatch
):
    """The answers are mostly the lab's, so that the scores alone accuse nobody; nor do labels."""
    monkeypatch.setattr("edgecnn.audit.faults.check_truth", lambda *_: pytest.fail("accused"))

    def cut(frame: np.ndarray) -> np.ndarray:
        return right_path(cv2.resize(frame[5:-5, 5:-5], (40, 40)))

    session = record(tmp_path / "s", classifier, pictures, cut)
    report = audit([session], AuditOptions(fail_on=("path",)))
    kept = report.checks.kept
    assert kept.agreed >= 0.8 * kept.frames
    (fault,) = report.checks.faults
    assert (fault.kind, report.ok) == ("path", False)
    assert f"a path that is not known here, which costs {fault.points:.1f} points" in report.verdict
    assert report.next[0].why.startswith("repair the device's program")
    assert 0 < report.next[0].points_low < fault.points


def test_a_fault_of_one_session_is_named_with_it_and_priced_over_all(
    tmp_path, classifier, pictures
):
    half = NUM_FRAMES // 2
    sound = record(tmp_path / "sound", classifier, pictures[:half], right_path)
    turned = record(tmp_path / "turned", classifier, pictures[half:], DEVICES["turn"][0])
    head = json.loads((turned / "session.json").read_text()) | {"source": "/dev/video7"}
    (turned / "session.json").write_text(json.dumps(head))
    report = audit([sound, turned])
    (fault,) = report.checks.faults
    assert fault.session == str(turned)
    (step,) = (step for step in report.steps if step.cause.startswith("device path"))
    assert step.points < fault.points
    assert "(1 of 2 sessions: turned): the picture turned by 90" in report.verdict
    assert f"costs {step.points:.1f} points" in report.verdict
    assert "--source /dev/video7" in report.next[0].command


def test_a_short_session_costs_by_its_part_of_all_labelled_frames(tmp_path, classifier, pictures):
    """It keeps more of its frames than a long one: twice as many pictures of a third of all."""
    sound = record(tmp_path / "sound", classifier, pictures[40:], right_path, keep_every=4)
    turned = record(tmp_path / "turned", classifier, pictures[:40], DEVICES["turn"][0])
    right = record(tmp_path / "right", classifier, pictures[:40], right_path)
    lost = audit([right]).live.tally.correct - audit([turned]).live.tally.correct
    report = audit([sound, turned])
    (step,) = (step for step in report.steps if step.cause.startswith("device path"))
    assert step.points == pytest.approx(100 * lost / NUM_FRAMES)
    assert step.low < step.points < step.high


def test_a_fault_is_priced_on_frames_that_chance_kept_and_nobody_picked(
    tmp_path, classifier, pictures
):
    session = record(tmp_path / "s", classifier, pictures, DEVICES["turn"][0])
    events = [json.loads(e) for e in (session / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event["event"] == "frame" and event["frame"] < 10:
            event["pool"] = "hard"
            del event["p"]
        if event["event"] == "truth" and 10 <= event["frame"] < 30:
            event["why"] = "chosen"
    (session / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    (step,) = (s for s in audit([session]).steps if s.cause.startswith("device path"))
    assert f" {NUM_FRAMES - 30} labelled frames kept by chance" in step.evidence


def test_without_labels_a_fault_is_named_and_not_priced(tmp_path, classifier, pictures):
    session = record(tmp_path / "s", classifier, pictures, DEVICES["mirror"][0])
    events = (session / "events.jsonl").read_text().splitlines(keepends=True)
    (session / "events.jsonl").write_text("".join(e for e in events if '"truth"' not in e))
    report = audit([session], AuditOptions(fail_on=("path",)))
    (fault,) = report.checks.faults
    assert fault.points is None
    assert not report.ok
    assert audit([session], AuditOptions(fail_on=("truth",))).ok


def test_the_program_shown_first_is_the_repair_with_its_price(tmp_path, classifier, pictures):
    report = audit([record(tmp_path / "s", classifier, pictures, DEVICES["turn"][0])])
    first = report.next[0]
    assert first.command.startswith("edgecnn run ")
    low, high = first.points_low, first.points_high
    assert low <= report.checks.faults[0].points <= high
    assert "turned by 90 degrees" in report.verdict
    assert report.to_text().startswith(report.verdict)


def test_too_few_pictures_say_so_and_accuse_nobody(tmp_path, classifier, pictures):
    session = record(tmp_path / "s", classifier, pictures, DEVICES["bgr"][0], keep_every=40)
    report = audit([session])
    assert report.checks.kept.frames == 0
    assert any("path is not checked" in note for note in report.notes)
    assert not [fault for fault in report.checks.faults if fault.kind == "path"]


def test_a_way_that_fits_only_a_little_better_is_not_named():
    rng = np.random.default_rng(1)
    logged = rng.dirichlet(np.full(5, 0.3), 150)
    near = 0.9 * logged + 0.1 * rng.dirichlet(np.ones(5), 150)
    nearer = 0.92 * logged + 0.08 * rng.dirichlet(np.ones(5), 150)
    assert find_match(logged, near, {"grey": nearer}).names == ()
    assert find_match(logged, near, {"grey": logged}).names == ("grey",)


def test_a_way_that_fits_as_well_is_named_too():
    rng = np.random.default_rng(2)
    logged, own = rng.dirichlet(np.full(5, 0.2), 100), rng.dirichlet(np.full(5, 0.2), 100)
    nearly = 0.99 * logged + 0.01 * own
    ways = {"c": own, "b": nearly, "a": logged, "d": 0.9 * logged + 0.1 * own}
    assert find_match(logged, own, ways).names == ("a", "b")


def test_a_device_that_answers_anything_is_said_to_be_unknown():
    rng = np.random.default_rng(3)
    own = rng.dirichlet(np.full(5, 0.05), 100)
    match = find_match(np.tile([0.6, 0.1, 0.1, 0.1, 0.1], (100, 1)), own, {"grey": own[::-1]})
    assert match.unknown
    assert not match.unrelated


def test_labels_move_only_where_each_class_has_one_place():
    own = np.eye(4)[np.repeat(np.arange(4), 5)]
    assert moved_labels(own, own) is None
    assert (moved_labels(own[:, [1, 0, 2, 3]], own) == own[:, [1, 0, 2, 3]]).all()
    turned = own[:, [1, 2, 0, 3]]
    assert (moved_labels(turned, own) == turned).all()
    both = own.copy()
    both[:5] = own[5]  # two classes are answered alike: a confusion, no order
    assert moved_labels(both, own) is None


def test_the_paths_that_are_tried_have_names_of_their_own():
    letterbox = InputSpec(width=24, height=32, resize="letterbox")
    for spec in (letterbox, replace(letterbox, resize="center_crop", pad=None)):
        names = [path.name for path in other_paths(spec)]
        assert len(names) == len(set(names)) >= 20
        frame = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
        assert {path.values(frame).shape for path in other_paths(spec)} == {spec.shape}


@pytest.mark.parametrize("faulty", [1, 2])
def test_a_fault_of_one_region_is_named_with_the_region(faulty, classifier, pictures, tmp_path):
    """The first regions are turned; where all of three were, no region would have to be named."""
    events, kept = [], {}
    names = ("hall", "yard", "roof")
    for k, (label, data) in enumerate(pictures):
        region = k % len(names)
        device = DEVICES["turn"][0] if region < faulty else right_path
        values = np.asarray(device(decode(data))).astype(np.float32)
        scores = classifier.runtime.invoke_real(values)
        sure = float(calibrated_confidence(scores, classifier.card.temperature, 1 / 256))
        logged = [round(256 * float(score), 1) for score in scores]
        more = {"pool": "uniform", "p": 1.0, "scores": logged, "roi": names[region]}
        kept[f"{k:08d}_{names[region]}.png"] = data
        events += [frame_event(k, scores, sure) | more, truth_event(k, label, roi=names[region])]
    regions = [
        {"region": [x, 0, 40, 40], "rotate": 0, "flip": None, "name": name}
        for x, name in enumerate(names)
    ]
    session = write_session(tmp_path / "s", PAST_BUNDLE, events, regions=regions)
    for name, data in kept.items():
        (session / "frames" / name).write_bytes(data)
    report = audit([session])
    (fault,) = report.checks.faults
    turned = "the picture turned by 90 degrees clockwise"
    assert fault.name == "; ".join(f"{turned} (region {name})" for name in names[:faulty])
    assert fault.points > 10
