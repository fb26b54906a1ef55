"""The capture loop on real bundles, folders and video files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from helpers_run import events, one_line, video_frames, write_video

from edgecnn.audit.audit import audit
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.bundle.frame_view import FrameView
from edgecnn.device.machine import signals
from edgecnn.device.machine.signals import stop_on_signals
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import (
    BundleError,
    EdgecnnError,
    OptionError,
    OutputError,
    SourceError,
    TruthError,
)
from edgecnn.session.read import open_session, read_frames

NUM_VIDEO = 300
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def film(tmp_path_factory, digits_field) -> tuple[Path, Path, list[str]]:
    """A video of 300 field images in mixed order, its truth CSV, and the labels."""
    folder = tmp_path_factory.mktemp("film")
    images = sorted(digits_field.rglob("*.png"), key=lambda p: p.name)[:NUM_VIDEO]
    video = write_video(folder / "field.avi", images)
    labels = [image.parent.name for image in images]
    rows = "".join(f"{k},{label}\n" for k, label in enumerate(labels))
    (folder / "truth.csv").write_text("frame,label\n" + rows)
    return video, folder / "truth.csv", labels


@pytest.fixture
def slow_classifier(monkeypatch):
    """Every answer takes at least so many seconds."""

    def slow(seconds: float, seen=lambda frame: None) -> None:
        timed = Classifier.invoke

        def slowed(self, frame_bgr, *more):
            time.sleep(seconds)
            answer = timed(self, frame_bgr, *more)
            seen(frame_bgr)
            return answer

        monkeypatch.setattr(Classifier, "invoke", slowed)

    return slow


def test_live_accuracy_of_a_video_is_exactly_what_counting_by_hand_gives(
    digits_bundle, film, tmp_path
):
    video, truth, labels = film
    classifier = Classifier(digits_bundle)
    by_hand = [classifier(frame).label for frame in video_frames(video)]
    correct = sum(a == b for a, b in zip(by_hand, labels, strict=True))
    result = run(digits_bundle, str(video), RunOptions(truth=truth, log=tmp_path / "session"))
    assert (result.live.correct, result.live.total) == (correct, NUM_VIDEO)
    assert (result.frames, result.dropped, result.unlabelled) == (NUM_VIDEO, 0, 0)
    assert result.ended == "source ended"
    card = Bundle.open(digits_bundle).card
    assert result.lab == card.lab.tally
    gap = 100 * (card.lab.tally.accuracy - correct / NUM_VIDEO)
    assert result.to_json()["gap_points"] == pytest.approx(gap)
    logged = events(tmp_path / "session", "frame")
    assert [card.labels[e["k"][0][0]] for e in logged] == by_hand
    assert [e["label"] for e in events(tmp_path / "session", "truth")] == labels
    assert audit([tmp_path / "session"]).live.tally == result.live


def test_json_has_the_names_that_others_rely_on(digits_bundle, film):
    video, truth, _ = film
    found = run(digits_bundle, str(video), RunOptions(truth=truth, max_frames=5)).to_json()
    json.dumps(found, allow_nan=False)
    for name in ("age_ms", "invoke_ms"):
        assert 0 < found[name]["p50"] <= found[name]["p95"]
    for name in ("lab", "live"):
        assert set(found[name]) - {"effective"} == {"correct", "total", "accuracy", "low", "high"}
    assert found["frames"] == 5
    assert found["ended"] == "max frames"
    assert found["fps"] > 0
    assert found["live"]["total"] == 5


def test_a_folder_counts_only_frames_with_truth(digits_bundle, digits_field, tmp_path):
    names = sorted(p.relative_to(digits_field).as_posix() for p in digits_field.rglob("*.png"))
    rows = "".join(f"{n},{n.split('/')[0]}\n" for n in names[::2])
    (tmp_path / "truth.csv").write_text("name,label\n" + rows)
    half = run(digits_bundle, str(digits_field), RunOptions(truth=tmp_path / "truth.csv"))
    whole = run(digits_bundle, str(digits_field), RunOptions(truth="folder"))
    assert half.live.total == len(names[::2])
    assert half.unlabelled == len(names) - half.live.total
    assert whole.live.total == whole.frames == len(names)


def test_without_truth_there_is_no_gap_and_no_label_in_the_session(
    digits_bundle, digits_field, tmp_path
):
    options = RunOptions(log=tmp_path / "s", max_frames=10)
    result = run(digits_bundle, str(digits_field), options)
    assert result.gap_points is None
    assert result.live.total == 0
    assert "unknown" not in result.to_text()
    assert events(tmp_path / "s", "truth") == []


def test_a_file_name_that_is_no_unicode_can_be_logged(digits_bundle, digits_field, tmp_path):
    image = next(digits_field.rglob("*.png"))
    folder = tmp_path / "images"
    folder.mkdir()
    name = os.fsdecode(b"k\xff.png")
    (folder / name).write_bytes(image.read_bytes())
    run(digits_bundle, str(folder), RunOptions(log=tmp_path / "s"))
    assert events(tmp_path / "s", "frame")[0]["name"] == name


def test_broken_images_are_skipped_and_told(digits_bundle, digits_field, tmp_path):
    folder = tmp_path / "images" / "3"
    folder.mkdir(parents=True)
    good = sorted((digits_field / "3").iterdir())[:3]
    for image in good:
        (folder / image.name).write_bytes(image.read_bytes())
    (folder / "0000.png").write_bytes(b"")
    log = tmp_path / "s"
    result = run(digits_bundle, str(tmp_path / "images"), RunOptions(truth="folder", log=log))
    assert result.frames == 3
    assert len(result.warnings) == 1
    assert "0000.png" in result.warnings[0]
    assert "0000.png" in result.to_text()
    assert [e["frame"] for e in events(log, "frame")] == [1, 2, 3]
    assert [e["message"] for e in events(log, "health") if "message" in e] == list(result.warnings)


def test_the_session_says_what_was_measured(digits_bundle, film, tmp_path):
    video, truth, _ = film
    log = tmp_path / "ein ordner" / "s"
    result = run(digits_bundle, str(video), RunOptions(truth=truth, log=log, max_frames=3))
    head = json.loads((log / "session.json").read_text())
    bundle = Bundle.open(digits_bundle)
    assert head["format"] == 2
    assert head["bundle"] == {"path": str(digits_bundle), "sha256": bundle.sha256}
    assert head["card"] == bundle.card.to_json()
    assert head["artifact"] == result.artifact
    assert (head["truth"], head["source"], head["source_color"]) == (["csv"], str(video), "bgr")
    assert (head["regions"], head["name"], head["site"]) == ([], None, None)
    assert head["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert events(log, "end")[0]["reason"] == "max frames"
    assert result.session == log


def test_a_region_that_is_turned_is_classified_as_if_it_were_the_frame(
    digits_bundle, digits_field, tmp_path
):
    whole = sorted(digits_field.rglob("*.png"))[:40]
    for k, path in enumerate(whole):
        wide = cv2.copyMakeBorder(cv2.imread(str(path)), 5, 7, 11, 3, cv2.BORDER_REFLECT)
        turned = cv2.rotate(cv2.flip(wide, 1), cv2.ROTATE_90_CLOCKWISE)
        target = tmp_path / "wide" / path.parent.name / f"{k:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), turned)
        copied = tmp_path / "plain" / path.parent.name / f"{k:04d}.png"
        copied.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(copied), cv2.imread(str(path)))
    height, width = cv2.imread(str(whole[0])).shape[:2]
    # After the turn the picture lies 5 pixels from the right and 3 from the top.
    view = FrameView((7, 3, height, width), rotate=270, flip="horizontal", name="digit")
    log = tmp_path / "s"
    turned = {"roi": f"digit=7,3,{height},{width}", "rotate": 270, "flip": "horizontal"}
    seen = run(digits_bundle, str(tmp_path / "wide"), RunOptions(truth="folder", log=log, **turned))
    plain = run(
        digits_bundle, str(tmp_path / "plain"), RunOptions(truth="folder", log=tmp_path / "p")
    )
    assert seen.live == plain.live
    for key in ("k", "c", "frame"):
        found = [[e[key] for e in events(folder, "frame")] for folder in (log, tmp_path / "p")]
        assert found[0] == found[1]
    region = {"region": [7, 3, height, width], "rotate": 270, "flip": "horizontal", "name": "digit"}
    assert json.loads((log / "session.json").read_text())["regions"] == [region]
    assert open_session(log).header.regions == (view,)
    kept = cv2.imread(str(next((log / "frames").iterdir())))
    assert kept.shape[:2] == (height, width)


def test_a_wrong_channel_order_costs_accuracy_and_naming_it_mends_it(
    digits_bundle, digits_field, tmp_path
):
    for path in sorted(digits_field.rglob("*.png"))[:100]:
        swapped = tmp_path / "images" / path.relative_to(digits_field)
        swapped.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(swapped), cv2.imread(str(path))[..., ::-1])
    options = RunOptions(truth="folder", color="rgb", log=tmp_path / "s")
    right = run(digits_bundle, str(tmp_path / "images"), options)
    by_hand = Classifier(digits_bundle)
    expected = sum(
        by_hand(cv2.imread(str(p))).label == p.parent.name
        for p in sorted(digits_field.rglob("*.png"))[:100]
    )
    assert right.live.correct == expected
    # The session has what was classified: nobody would say that the device swaps colours.
    frames = read_frames(open_session(tmp_path / "s"), keep_names=True)
    for row, kept in list(frames.images.items())[:5]:
        shown = cv2.imread(str(tmp_path / "s" / "frames" / kept)).astype(int)
        was = cv2.imread(str(digits_field / frames.names[row])).astype(int)
        assert abs(shown - was).mean() < 6


@pytest.mark.clock
def test_status_comes_while_it_runs_and_at_the_end(digits_bundle, film, slow_classifier):
    slow_classifier(0.05)
    video, truth, labels = film
    seen = []
    options = RunOptions(truth=truth, max_frames=20)
    result = run(digits_bundle, str(video), options, on_status=seen.append)
    frames = [status.frames for status in seen]
    assert frames[0] == 1
    assert frames[-1] == 20
    # Five frames take longer than the pause between two statuses, on however slow a clock.
    assert all(0 <= b - a <= 5 for a, b in pairwise(frames))
    pauses = [b.elapsed_s - a.elapsed_s for a, b in pairwise(seen[:-1])]
    assert min(pauses) >= 0.2
    assert seen[-1].live == result.live
    assert seen[-1].truth == labels[19]


def spoil_golden(bundle: Path, target: Path, change) -> Path:
    """A sealed copy of a bundle with an edited golden.json."""
    for path in bundle.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(bundle)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    golden = json.loads((target / "golden" / "golden.json").read_text())
    change(golden)
    (target / "golden" / "golden.json").write_text(json.dumps(golden))
    seal(target)
    return target


def test_a_bundle_that_answers_differently_here_does_not_run(digits_bundle, film, tmp_path):
    def other_tensor(golden):
        golden[-1]["tensor_sha256"] = "0" * 64

    def other_scores(golden):
        for scores in [*golden[-1]["scores"].values(), *golden[-1]["builtin"].values()]:
            scores[0] += 0.5

    log = tmp_path / "s"
    for k, (change, expected) in enumerate(
        [(other_tensor, "another input tensor"), (other_scores, "steps off the lab's scores")]
    ):
        spoilt = spoil_golden(digits_bundle, tmp_path / f"{k}.edgecnn", change)
        with pytest.raises(BundleError) as error:
            run(spoilt, str(film[0]), RunOptions(log=log))
        assert expected in one_line(error.value)
    assert not log.exists()


def test_a_place_that_is_taken_is_left_as_it_was(digits_bundle, film, tmp_path):
    session, other = tmp_path / "s", tmp_path / "other"
    run(digits_bundle, str(film[0]), RunOptions(log=session, max_frames=2))
    before = (session / "events.jsonl").read_bytes()
    with pytest.raises(OutputError, match="holds a session already"):
        run(digits_bundle, str(film[0]), RunOptions(log=session))
    assert (session / "events.jsonl").read_bytes() == before
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    for place in (other, session / ".." / other.name):  # beside the session
        with pytest.raises(OutputError, match="not empty and not a session"):
            run(digits_bundle, str(film[0]), RunOptions(log=place))
    with pytest.raises(OutputError, match="is a file"):
        run(digits_bundle, str(film[0]), RunOptions(log=other / "letter.txt"))
    with pytest.raises(OutputError, match="is a file, expected a folder for sessions"):
        run(digits_bundle, str(film[0]), RunOptions(log=other / "letter.txt" / "s"))
    with pytest.raises(OutputError, match="is inside of the session"):
        run(digits_bundle, str(film[0]), RunOptions(log_root=session))
    with pytest.raises(OutputError, match="a bundle, which holds its own files only"):
        run(digits_bundle, str(film[0]), RunOptions(log=digits_bundle / "s"))
    with pytest.raises(OutputError, match="can't write session /proc/"):
        run(digits_bundle, str(film[0]), RunOptions(log=Path("/proc/edgecnn/s")))
    assert [p.name for p in other.iterdir()] == ["letter.txt"]


def test_a_session_inside_of_its_own_source_is_refused(digits_bundle, digits_field, tmp_path):
    """The next run would take the kept pictures for images."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for image in sorted(digits_field.rglob("*.png"))[:3]:
        shutil.copy(image, flat)
    (tmp_path / "link").symlink_to(flat)
    before = sorted(flat.rglob("*"))
    for place in ({"log": flat / "sess"}, {"log_root": flat}, {"log": tmp_path / "link" / "s"}):
        with pytest.raises(OptionError, match="is inside of the source") as error:
            run(digits_bundle, str(flat), RunOptions(**place))
        assert str(next(iter(place.values()))) in one_line(error.value)
    assert sorted(flat.rglob("*")) == before
    beside = run(digits_bundle, str(flat), RunOptions(log=tmp_path / "flat_session"))
    assert beside.frames == 3


def test_a_run_that_fails_before_its_first_frame_leaves_nothing(digits_bundle, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"")
    with pytest.raises(SourceError):
        run(digits_bundle, str(tmp_path / "images"), RunOptions(log=tmp_path / "s"))
    truth = tmp_path / "t.csv"
    truth.write_text("frame,label\n0,cat\n")
    with pytest.raises(TruthError, match="'cat' is not in the bundle"):
        run(digits_bundle, str(tmp_path / "images"), RunOptions(truth=truth, log=tmp_path / "s"))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"max_frames": 0},
        {"color": "yuv"},
        {"timeout_s": 0},
        {"device": "gpu"},
        {"artifact": "model.bin"},
        {"truth": "nowhere.csv"},
    ],
)
def test_options_that_make_no_sense_are_one_line(digits_bundle, film, options):
    with pytest.raises(EdgecnnError) as error:
        run(digits_bundle, str(film[0]), RunOptions(**options))
    one_line(error.value)


def test_kept_frames_are_the_mistakes_and_a_uniform_sample_named_by_their_events(
    digits_bundle, digits_field, tmp_path
):
    names = sorted(p.relative_to(digits_field).as_posix() for p in digits_field.rglob("*.png"))
    classifier = Classifier(digits_bundle)
    answers = [classifier(cv2.imread(str(digits_field / name))).label for name in names]
    planted = set(range(5, len(names), len(names) // 15))
    labels = [str((int(a) + 1) % 10) if k in planted else a for k, a in enumerate(answers)]
    rows = "".join(f"{n},{label}\n" for n, label in zip(names, labels, strict=True))
    (tmp_path / "truth.csv").write_text("file,label\n" + rows)
    log = tmp_path / "s"
    options = RunOptions(truth=tmp_path / "truth.csv", log=log, keep_frames=60)
    result = run(digits_bundle, str(digits_field), options)
    assert result.live.total - result.live.correct == len(planted)
    kept = {p.name: p.read_bytes() for p in (log / "frames").iterdir()}
    named = {f"{e['frame']:08d}.png": e for e in events(log, "frame") if "pool" in e}
    assert set(kept) <= set(named)
    assert all(data == (digits_field / named[n]["name"]).read_bytes() for n, data in kept.items())
    assert all(len(e["scores"]) == 10 for e in named.values())
    pools = {pool: [e for e in named.values() if e["pool"] == pool] for pool in ("uniform", "hard")}
    assert all("p" not in e for e in pools["hard"])
    # Each of the first 30 is kept for sure, the 300th with a chance of 30 in 300.
    chances = {e["frame"]: e["p"] for e in pools["uniform"]}
    assert all(p == float(f"{min(1, 30 / (k + 1)):.4g}") for k, p in chances.items())
    held = {named[name]["frame"] for name in kept}
    assert len(planted - held) <= 2  # one that the uniform half took, it may drop again
    assert len(held - planted) >= 20
    assert len(kept) <= 60


def test_kept_frames_stay_within_their_bytes(digits_bundle, digits_field, tmp_path):
    options = RunOptions(log=tmp_path / "s", keep_frames=400, keep_mb=0.1)
    run(digits_bundle, str(digits_field), options)
    sizes = [p.stat().st_size for p in (tmp_path / "s" / "frames").iterdir()]
    assert 40_000 < sum(sizes) <= 100_000


def test_no_frame_is_kept_when_none_is_wanted(digits_bundle, film, tmp_path):
    options = RunOptions(log=tmp_path / "s", keep_frames=0, max_frames=30)
    run(digits_bundle, str(film[0]), options)
    assert list((tmp_path / "s" / "frames").iterdir()) == []


CHILD = """
import itertools, sys, time
from pathlib import Path
from edgecnn.bundle.classifier import Classifier
from edgecnn.device.run.run import RunOptions, run
timed, number = Classifier.invoke, itertools.count()
def slowed(self, frame, *more):
    time.sleep(0 if next(number) < 60 else 0.5)  # the film outlasts whoever waits for its start
    return timed(self, frame, *more)
Classifier.invoke = slowed
bundle, source, truth, log = sys.argv[1:]
result = run(bundle, source, RunOptions(truth=truth, log=Path(log)))
print(result.to_json()["ended"], result.frames)
"""


@pytest.fixture
def child(digits_bundle, film, tmp_path):
    """A run in a process of its own, 50 events into a video."""
    log = tmp_path / "s"
    command = [sys.executable, "-c", CHILD, digits_bundle, film[0], film[1], log]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (log / "events.jsonl").exists() or len(events_so_far(log)) < 50:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process, log
    process.kill()
    process.communicate()


def events_so_far(log: Path) -> list[dict]:
    """The whole lines of a log that is being written, or was cut off."""
    data = (log / "events.jsonl").read_bytes()
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


@pytest.mark.clock
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_with_a_result_and_a_closed_session(child, number):
    process, log = child
    process.send_signal(number)
    output, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    frames = events(log, "frame")
    assert output.split("\n")[-2] == f"interrupted {len(frames)}"
    assert events(log, "end")[0]["reason"] == "interrupted"


@pytest.mark.clock
def test_a_killed_run_loses_no_line_that_it_logged(child):
    process, log = child
    before = events_so_far(log)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    after = events_so_far(log)
    assert after[: len(before)] == before
    frames = [e for e in after if e["event"] == "frame"]
    truths = {e["frame"] for e in after if e["event"] == "truth"}
    assert [e["frame"] for e in frames] == list(range(len(frames)))
    assert {e["frame"] for e in frames[:-1]} <= truths
    assert json.loads((log / "session.json").read_text())["format"] == 2


def test_a_closed_terminal_ends_a_run_unless_nohup_started_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests
    try:
        for handler, ends in ((signal.SIG_DFL, True), (signal.SIG_IGN, False)):
            signal.signal(signal.SIGHUP, handler)
            with stop_on_signals() as stop:
                signal.raise_signal(signal.SIGHUP)
                assert stop.is_set() == ends
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_comes_twice_at_once_is_one_and_a_later_one_interrupts(monkeypatch):
    clock = SimpleNamespace(now=50.0)
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: clock.now))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
            clock.now += 2
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.clock
def test_handlers_are_as_before_after_a_run_and_threads_may_run_too(digits_bundle, film):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    results = []
    options = RunOptions(max_frames=3)
    thread = threading.Thread(
        target=lambda: results.append(run(digits_bundle, str(film[0]), options))
    )
    thread.start()
    thread.join(PATIENCE_S)
    run(digits_bundle, str(film[0]), options)
    assert results[0].frames == 3
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.clock
def test_a_frame_is_classified_once_and_its_age_holds_all_that_was_done_to_it(
    digits_bundle, film, tmp_path, slow_classifier
):
    """How fast the loop is `tools/bench loop` says."""
    classified = []
    slow_classifier(0.0, classified.append)
    video, truth, _ = film
    result = run(digits_bundle, str(video), RunOptions(truth=truth, log=tmp_path / "s"))
    assert len(classified) == result.frames == NUM_VIDEO
    for event in events(tmp_path / "s", "frame"):
        assert event["age"] > event["invoke"] - 0.1, "rounded"
