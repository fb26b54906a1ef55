"""Other bundles under a run that goes on: what replaces the one that answers, and a shadow."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_colour import LABELS, PLAIN, colour_bundle, encoded, picture, two_bundles
from helpers_run import events, one_line, until

from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.reject import Reject
from edgecnn.accuracy.shadow_pairs import ShadowPairs
from edgecnn.accuracy.tally import Tally
from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.bundle.card import CARD_FILE
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.device.capture.frame import Frame, Source, now_utc
from edgecnn.device.evaluate import evaluate
from edgecnn.device.load_classifier import Loaded
from edgecnn.device.options import RunOptions
from edgecnn.device.run import incoming as incoming_module
from edgecnn.device.run import run as run_module
from edgecnn.device.run.bundles import Bundles
from edgecnn.device.run.incoming import Incoming
from edgecnn.device.run.run import run
from edgecnn.errors import BundleError, OptionError, SessionError
from edgecnn.session.header import read_header
from edgecnn.session.layout import sessions_below
from edgecnn.session.read import open_session, read_frames

# Longer than a tick of a file system's clock: else two looks may see one time although a file was
# copied between them, and a bundle that is half copied is taken for one that stays as it is.
WATCH_S = 0.02
KINDS = 30  # pictures of the source, again and again
NAMES = ("mean", "most")


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict[str, Path]:
    return two_bundles(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def expected(two) -> dict[str, list[int]]:
    """By the digest of a bundle, its answer to each picture of the source."""
    found = {}
    for path in two.values():
        classifier = Classifier(path)
        answers = [classifier(picture(k)).index for k in range(KINDS)]
        found[classifier.bundle.sha256] = answers
    return found


class Pictures(Source):
    """Pictures without an end, prepared some frames ahead as a video's thread does."""

    def __init__(self, options: RunOptions, stop: threading.Event, over: threading.Event) -> None:
        super().__init__(options, stop)
        self._over = over

    def ticks(self) -> Iterator[Frame]:
        frames = [picture(k) for k in range(KINDS)]
        ahead = deque(self.prepare(frames[k]) for k in range(3))
        index = 0
        while not self._over.is_set():
            ahead.append(self.prepare(frames[(index + 3) % KINDS]))
            yield Frame.of(ahead.popleft(), index, now_utc(), time.monotonic(), None)
            index += 1


@pytest.fixture
def swapping(two, tmp_path, monkeypatch):
    """Run while `work` puts bundles into the folder; gives the result and who answered when."""
    swaps: list[tuple[int, str]] = []
    swap = Bundles.swap

    def seen(self: Bundles, first_frame: int, *more) -> None:
        swap(self, first_frame, *more)
        swaps.append((first_frame, self.active.bundle.sha256))

    def go(work: Callable[[Path, list[tuple[int, str]]], None], **options):
        over, failed = threading.Event(), []
        folder = tmp_path / "bundles"
        folder.mkdir()
        monkeypatch.setattr(Bundles, "swap", seen)
        monkeypatch.setattr(run_module, "open_source", lambda _, o, stop: Pictures(o, stop, over))

        def drive() -> None:
            try:
                work(folder, swaps)
            except AssertionError as error:
                failed.append(error)
            over.set()

        thread = threading.Thread(target=drive)
        thread.start()
        given = {"log_root": tmp_path / "root", "keep_frames": 0, "watch_s": WATCH_S, **options}
        result = run(two["mean"], "pictures", RunOptions(bundle_dir=folder, **given))
        thread.join()
        assert not failed, failed
        return result, swaps

    return go


def is_answered(root: Path, number: int) -> bool:
    """Whether the session of this number, from 1, has a frame."""
    folders = sessions_below(root)
    if len(folders) < number or folders == [root]:
        return False
    return b'"event":"frame"' in (folders[number - 1] / "events.jsonl").read_bytes()


def put(bundle: Path, folder: Path, number: int) -> None:
    """A copy beside that is renamed, or every third time file by file over what is there."""
    target = folder / "now.edgecnn"
    if number % 3 == 2 and target.exists():
        for file in sorted(bundle.rglob("*"), reverse=True):
            if file.is_file():
                shutil.copyfile(file, target / file.relative_to(bundle))
        return
    shutil.copytree(bundle, folder / ".next")
    if target.exists():
        target.rename(folder / ".old")
    (folder / ".next").rename(target)
    shutil.rmtree(folder / ".old", ignore_errors=True)


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.long)])
def test_swaps_lose_no_frame_and_each_is_answered_by_one_whole_bundle(
    count, two, expected, swapping, tmp_path
):
    def work(folder: Path, swaps: list[tuple[int, str]]) -> None:
        for number in range(count):
            put(two[NAMES[(number + 1) % 2]], folder, number)
            until(lambda wanted=number + 1: len(swaps) == wanted)

    result, swaps = swapping(work)
    answered: list[int] = []
    shown: set[tuple[int, int]] = set()
    for folder in sessions_below(tmp_path / "root"):
        frames = read_frames(open_session(folder))
        shown |= set(zip((frames.frame % KINDS).tolist(), frames.thing.tolist(), strict=True))
        answers = expected[open_session(folder).bundle_sha256]
        logged = events(folder, "frame")
        assert [e["k"][0][0] for e in logged] == [answers[e["frame"] % KINDS] for e in logged]
        answered += [e["frame"] for e in logged]
        assert Counter(e["reason"] for e in events(folder, "end")).total() == 1
    assert sorted(answered) == list(range(result.frames))
    assert len(shown) <= 2 * KINDS, "a picture keeps its number: it looks alike to one bundle"
    assert len({thing for _, thing in shown}) > 1
    assert len(sessions_below(tmp_path / "root")) == count + 1
    shares = [(share.first_frame, share.sha256) for share in result.bundles[1:]]
    assert shares == swaps[-len(shares) :]
    assert result.to_json()["bundles"][-1]["frames"] == result.bundles[-1].frames > 0


def spoil(bundle: Path, target: Path) -> Path:
    """A copy whose first golden frame wants other scores, sealed again."""
    shutil.copytree(bundle, target)
    file = target / "golden" / "golden.json"
    golden = json.loads(file.read_text())
    golden[0]["scores"][PLAIN] = golden[0]["scores"][PLAIN][::-1]
    file.write_text(json.dumps(golden))
    seal(target)
    return target


def test_a_bundle_with_a_wrong_golden_frame_or_other_labels_never_answers(
    two, expected, swapping, tmp_path
):
    wrong = spoil(two["most"], tmp_path / "wrong.edgecnn")
    other = colour_bundle(tmp_path / "other.edgecnn", labels=("a", "b", "c"))
    seen: list[str] = []

    def work(folder: Path, swaps: list[tuple[int, str]]) -> None:
        for bundle in (wrong, other):
            shutil.copytree(bundle, folder / ".next")
            (folder / ".next").rename(folder / bundle.name)
            until(lambda name=bundle.name: any(name in text for text in seen))
        (folder / "notes.txt").write_bytes(b"no bundle")
        put(two["most"], folder, 0)
        until(lambda: len(swaps) == 1)

    def said(self: Bundles, *, take=Bundles.take_refusals) -> list[str]:
        seen.extend(found := take(self))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bundles, "take_refusals", said)
        result, swaps = swapping(work)
    assert len(seen) == 2
    assert "wrong.edgecnn was refused, the bundle stays" in seen[0]
    assert "steps off the lab's scores" in seen[0]
    assert "other labels" in seen[1]
    assert result.warnings == tuple(seen)
    assert result.faults == {"bundles refused": 2}
    assert {sha for _, sha in swaps} < expected.keys()
    first = sessions_below(tmp_path / "root")[0]
    told = [e["message"] for e in events(first, "health") if "message" in e]
    assert told == seen


def test_a_bundle_that_is_looked_at_twice_is_taken_once(two, tmp_path, monkeypatch):
    """A file's time may change once more; the loop takes the first while the second is loaded."""
    put(two["most"], tmp_path, 0)
    incoming = Incoming(tmp_path, RunOptions(bundle_dir=tmp_path), Classifier(two["mean"]))
    load, taken = incoming_module.load_other, []

    def while_the_loop_goes_on(*given) -> Loaded:
        taken.append(incoming.take())
        return load(*given)

    for _ in range(2):
        (tmp_path / "now.edgecnn" / CARD_FILE).touch()
        incoming._look()
        incoming._look()
        monkeypatch.setattr(incoming_module, "load_other", while_the_loop_goes_on)
    assert taken[0].classifier.bundle.sha256 == Bundle.open(two["most"]).sha256
    assert incoming.take() is None
    (tmp_path / "now.edgecnn" / CARD_FILE).touch()
    assert incoming.too_late() == ""  # it answers, touched or not


def test_a_bundle_that_is_cut_off_is_said_and_the_newest_of_the_others_answers(two, tmp_path):
    """Else a run that starts again would answer with its first bundle, not with the last one."""
    put(two["most"], tmp_path, 0)
    (tmp_path / "cut.edgecnn").write_bytes(b"PK, and no more")
    incoming = Incoming(tmp_path, RunOptions(bundle_dir=tmp_path), Classifier(two["mean"]))
    incoming._look()
    incoming._look()
    (said,) = incoming.take_refusals()
    assert said.startswith("cut.edgecnn was refused, the bundle stays: ")
    assert incoming.too_late().startswith("now.edgecnn of --bundle-dir answered no frame")
    assert incoming.take().classifier.bundle.sha256 == Bundle.open(two["most"]).sha256


def test_live_accuracy_and_an_audit_are_of_one_bundle(two, expected, swapping, tmp_path):
    rows = "".join(f"{k},{LABELS[k % 3]}\n" for k in range(3000))
    (tmp_path / "truth.csv").write_text("frame,label\n" + rows)

    def work(folder: Path, swaps: list[tuple[int, str]]) -> None:
        until(lambda: is_answered(tmp_path / "root", 1))
        put(two["most"], folder, 0)
        until(lambda: is_answered(tmp_path / "root", 2))

    result, ((frame, most),) = swapping(work, truth=(str(tmp_path / "truth.csv"),))
    mean = next(sha for sha in expected if sha != most)
    for share, first, last in zip(result.bundles, (0, frame), (frame, result.frames), strict=True):
        right = [expected[share.sha256][k % KINDS] == k % 3 for k in range(first, min(last, 3000))]
        assert (share.live.correct, share.live.total) == (sum(right), len(right))
        assert (share.first_frame, share.frames) == (first, last - first)
    assert [share.sha256 for share in result.bundles] == [mean, most]
    assert result.live == result.bundles[1].live
    labelled = sum(share.live.total for share in result.bundles)
    assert result.unlabelled == result.frames - labelled
    assert result.lab == Bundle.open(two["most"]).card.lab.tally
    assert "mean.edgecnn" in result.to_text()

    of_last = audit(tmp_path / "root", AuditOptions(bundle=two["most"]))
    assert of_last.live.tally == result.bundles[1].live
    assert sum(" left out; audit" in note for note in of_last.notes) == 1
    of_first = audit(tmp_path / "root", AuditOptions(bundle=two["mean"]))
    assert of_first.live.tally == result.bundles[0].live
    with pytest.raises(SessionError, match="ran another bundle"):
        audit(sessions_below(tmp_path / "root"))


def test_an_alarm_is_said_once_with_its_newest_figures_and_that_of_another_bundle_by_its_name(
    two, swapping, tmp_path
):
    rows = "".join(f"{k},{LABELS[(k + 1) % 3]}\n" for k in range(100_000))  # all wrong
    (tmp_path / "truth.csv").write_text("frame,label\n" + rows)

    def work(folder: Path, swaps: list[tuple[int, str]]) -> None:
        until(lambda: said(tmp_path / "root", 1).count('"truth"') > 200)
        put(two["most"], folder, 0)
        until(lambda: said(tmp_path / "root", 2).count('"truth"') > 200)

    result, _ = swapping(work, truth=(str(tmp_path / "truth.csv"),))
    assert result.alarm.raised
    (before,) = (one for one in result.warnings if "alarm" in one)
    assert before.startswith("alarm of mean.edgecnn: the field is worse than the lab (")
    assert result.to_text().count(result.alarm.text()) == 1
    assert [said(tmp_path / "root", n).count('"alarm: ') for n in (1, 2)] == [1, 1]


def said(root: Path, number: int) -> str:
    """The events of the session of this number, from 1; empty where there is none yet."""
    if not is_answered(root, number):
        return ""
    return (sessions_below(root)[number - 1] / "events.jsonl").read_text()


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    """500 pictures, each in the folder of its colour, every fifth in a wrong one."""
    root = tmp_path_factory.mktemp("frames")
    for k in range(500):
        path = root / LABELS[(k + (k % 5 == 0)) % 3] / f"{k:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(k))
    return root


def things_of(lines: list[dict], files: list[Path], root: Path, labels: list[int]) -> np.ndarray:
    """Number what files show: int, from 0. A line without a number shows what the last one did."""
    number, of = 0, {}
    for line in sorted(lines, key=lambda line: line["frame"]):
        number = line.get("g", number)
        of[line["name"]] = number
    named = [(of[p.relative_to(root).as_posix()], k) for p, k in zip(files, labels, strict=True)]
    return np.unique(named, axis=0, return_inverse=True)[1]


def test_a_shadow_compares_as_evaluating_both_bundles_does(two, frames, tmp_path):
    options = RunOptions(truth="folder", shadow=two["most"], log=tmp_path / "s", keep_frames=4)
    result = run(two["mean"], str(frames), options)
    files = sorted(frames.rglob("*.png"))
    labels = [LABELS.index(file.parent.name) for file in files]
    active, shadow = (
        np.array([classifier(file).index for file in files])
        for classifier in map(Classifier, (two[name] for name in NAMES))
    )
    found = result.shadow
    assert (found.frames, found.agreed) == (500, int((active == shadow).sum()))
    assert 0 < found.agreed < 500
    evaluated = [evaluate(two[name], frames).accuracy for name in NAMES]
    assert found.active == evaluated[0]
    assert (found.shadow.correct, found.shadow.total) == (evaluated[1].correct, 500)
    rights = active == labels, shadow == labels
    by_frames = Paired.of(*rights)
    assert (found.only_active, found.only_shadow) == (by_frames.lost, by_frames.won)
    logged = {e["name"]: e for e in events(tmp_path / "s", "frame")}
    lines = [logged[file.relative_to(frames).as_posix()] for file in files]
    assert [line["shadow"][0] for line in lines] == shadow.tolist()
    # Frames of one look and label are one thing: it is lost or won as a whole.
    things = things_of(events(tmp_path / "s", "frame"), files, frames, labels)
    by_things = Paired.of(*(np.bincount(things, weights=right) for right in rights))
    assert (found.lost, found.won, found.p_value) == (
        by_things.lost,
        by_things.won,
        by_things.p_value,
    )
    assert by_things.lost != by_things.won
    report = audit(tmp_path / "s")
    assert report.shadow == found
    assert f"{found.agreed} of 500 frames" in report.to_text()
    assert found.to_text() in result.to_text()


def test_a_bundle_that_a_short_run_never_looked_at_is_not_taken_for_what_answered(
    two, frames, tmp_path
):
    def warnings(running: Path) -> list[str]:
        options = RunOptions(bundle_dir=tmp_path, truth="folder", max_frames=3, watch_s=1000)
        return list(run(running, str(frames), options).warnings)

    new = shutil.copytree(two["most"], tmp_path / "new.edgecnn")
    (late,) = warnings(two["mean"])
    assert late.startswith("new.edgecnn of --bundle-dir answered no frame, for the run ended")
    assert warnings(new) == []  # it answered


def test_a_shadow_answers_every_nth_frame_and_changes_no_answer(two, frames, tmp_path):
    alone = run(two["mean"], str(frames), RunOptions(log=tmp_path / "a", keep_frames=0))
    options = RunOptions(log=tmp_path / "s", keep_frames=0, shadow=two["most"], shadow_every=7)
    beside = run(two["mean"], str(frames), options)
    assert alone.shadow is None
    assert beside.shadow.frames == -(-500 // 7)
    assert "without labels nothing says which is better" in beside.to_text()
    with_shadow = events(tmp_path / "s", "frame")
    assert [e["k"] for e in with_shadow] == [e["k"] for e in events(tmp_path / "a", "frame")]
    assert [e["frame"] for e in with_shadow if "shadow" in e] == list(range(0, 500, 7))


def test_a_shadow_that_takes_over_ends_the_comparison(two, swapping, tmp_path):
    def work(folder: Path, swaps: list[tuple[int, str]]) -> None:
        until(lambda: is_answered(tmp_path / "root", 1))
        put(two["most"], folder, 0)
        until(lambda: is_answered(tmp_path / "root", 2))

    result, ((frame, _),) = swapping(work, shadow=two["most"])
    assert result.shadow.frames == frame > 0
    assert result.frames > frame
    headers = [read_header(one) for one in sessions_below(tmp_path / "root")]
    assert [one.shadow is None for one in headers] == [False, True]
    before = result.bundles[0].name
    assert f"{frame} frames as {before}, before it answered itself;" in result.shadow.to_text()
    labelled = replace(result.shadow, active=Tally(1, 2), shadow=Tally(2, 2)).to_text()
    assert f"; {before} 50.0 % of 2" in labelled
    assert "the bundle that ran" not in labelled


@pytest.fixture(scope="module")
def turning(two, tmp_path_factory) -> tuple[Path, Path]:
    """300 pictures and a truth: at first "most" reads them all right, from number 60 on "mean"."""
    root = tmp_path_factory.mktemp("turning")
    mean, most = (Classifier(two[name]) for name in NAMES)
    rows = []
    for k in range(300):
        (root / "frames").mkdir(exist_ok=True)
        (root / "frames" / f"{k:03}.png").write_bytes(encoded(k))
        reader = most if k < 60 else mean
        rows.append(f"{k},{reader(picture(k)).label}\n")
    (root / "truth.csv").write_text("frame,label\n" + "".join(rows))
    return root / "frames", root / "truth.csv"


def test_a_shadow_that_labels_show_to_be_better_answers_from_then_on_and_never_back(
    two, turning, tmp_path
):
    frames, truth = turning
    options = {"truth": (str(truth),), "shadow": two["most"], "keep_frames": 0}
    result = run(
        two["mean"], str(frames), RunOptions(**options, switch_when="better", log_root=tmp_path)
    )
    switch = result.switch
    assert 0 < switch.frame < 60
    assert switch.comparison.evidence >= 20
    assert switch.comparison.frames == switch.frame
    assert f"most.edgecnn ({result.bundles[1].sha256[:12]}) answers from" in result.to_text()
    first, second = (open_session(folder) for folder in sessions_below(tmp_path))
    mean, most = (Bundle.open(two[name]).sha256 for name in NAMES)
    assert (first.bundle_sha256, first.header.shadow.sha256) == (mean, most)
    assert (second.bundle_sha256, second.header.shadow.sha256) == (most, mean)
    assert [e["frame"] for e in events(second.path, "frame")] == list(range(switch.frame, 300))
    assert switch.to_text() in [e.get("message") for e in events(second.path, "health")]
    # By the end the old bundle is the better one again, and stays the shadow.
    assert [share.sha256 for share in result.bundles] == [mean, most]
    assert result.shadow.sha256 == mean
    assert result.shadow.is_better
    assert audit(second.path).shadow == result.shadow
    # Without the option the same labels change nothing.
    alone = run(two["mean"], str(frames), RunOptions(**options))
    assert (alone.switch, len(alone.bundles)) == (None, 1)
    # One frame before it switched, the evidence was not enough.
    short = run(
        two["mean"],
        str(frames),
        RunOptions(**options, switch_when="better", max_frames=switch.frame - 1),
    )
    assert short.switch.frame is None
    assert short.switch.comparison.evidence < 20
    assert "of the 20 that would show that it is better" in short.to_text()


def test_without_labels_a_shadow_never_takes_over_and_the_run_says_so(two, turning):
    result = run(two["mean"], str(turning[0]), RunOptions(shadow=two["most"], switch_when="better"))
    assert result.to_json()["switch"]["frame"] is None
    assert "did not take over: no frame that both answered has a label" in result.to_text()
    assert len(result.bundles) == 1


def test_a_thing_counts_once_by_its_first_label_and_frames_have_a_veto():
    pairs = ShadowPairs()
    for frame in range(400):  # 10 things of 40 frames: at first only the shadow is right
        pairs.answer(frame, 0, int(frame % 40 == 0), frame // 40)
        pairs.truth(frame, int(frame % 40 == 0), counts=True)
    found = pairs.comparison("b", "0")
    assert (found.first_won, found.first_lost, found.evidence > 20) == (10, 0, True)
    assert found.is_better
    for frame in range(400, 440):  # one more thing, which the shadow misreads all along
        pairs.answer(frame, 0, 1, 400)
        pairs.truth(frame, 0, counts=True)
    found = pairs.comparison("b", "0")
    assert (found.first_won, found.first_lost, found.evidence > 20) == (10, 1, True)
    assert not found.is_better
    assert "of all labelled frames it read fewer right" in found.why_better()


def test_a_look_comes_with_the_first_labels_that_count_and_then_with_a_fiftieth_more():
    pairs = ShadowPairs()
    looks = 0
    for frame in range(1000):
        pairs.truth(frame, 0, counts=False)
        assert not pairs.takes_a_look()
        pairs.truth(frame, 0, counts=True)
        looks += pairs.takes_a_look()
        if frame < 50:
            assert looks == frame + 1
    assert 100 < looks < 300


def test_pairs_take_labels_before_and_long_after_the_answers():
    rng = np.random.default_rng(0)
    active, shadow, label = rng.integers(0, 3, (3, 4000))
    thing = np.arange(4000) // 4
    whole, few = ShadowPairs(), ShadowPairs(window=50)
    for k in range(4000):
        answers = (k, int(active[k]), int(shadow[k]), int(thing[k]))
        whole.answer(*answers)
        few.truth(k, int(label[k]), counts=True)
        few.answer(*answers)
    for k in range(4000):
        whole.truth(k, 0, counts=False)  # a person picked it, and was wrong
        whole.truth(k, int(label[k]), counts=k >= 0)
    assert whole.comparison("b", "0") == few.comparison("b", "0")
    found = whole.comparison("b", "0")
    assert found.active.correct == int((active == label).sum())
    assert found.only_shadow == int(((shadow == label) & (active != label)).sum())
    assert found.agreed == int((active == shadow).sum())


def test_labels_of_frames_that_a_person_picked_are_no_part_of_the_comparison():
    pairs = ShadowPairs()
    pairs.answer(0, 1, 2, 0)
    pairs.truth(0, 2, counts=False)
    assert pairs.comparison("b", "0").active.total == 0
    assert "others are no sample" in pairs.comparison("b", "0").why_better()


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"log": Path("s")}, "--log-root"),
        ({"device": "edgetpu"}, "works on the CPU only"),
    ],
)
def test_what_can_not_go_with_a_swap_is_refused(more, wrong):
    for what in ({"bundle_dir": Path("b")}, {"switch_when": "better", "shadow": Path("b")}):
        with pytest.raises(OptionError, match=wrong) as error:
            RunOptions(**what, **more)
        one_line(error.value)


def test_a_switch_needs_a_shadow_and_no_other_reason_to_swap():
    for more, wrong in (
        ({}, "of --shadow; name it"),
        ({"shadow": Path("b"), "bundle_dir": Path("c")}, "leave one out"),
    ):
        with pytest.raises(OptionError, match=wrong) as error:
            RunOptions(switch_when="better", **more)
        one_line(error.value)


def test_a_shadow_that_may_take_over_has_to_bear_the_rules_of_the_decisions(two, turning, tmp_path):
    """The lab chose no confidence for `--reject card`: beside the other that does not matter."""
    bundle = tmp_path / "rejecting.edgecnn"
    shutil.copytree(two["mean"], bundle)
    card = json.loads((bundle / CARD_FILE).read_text())
    card["reject"] = Reject(0.1, 0.9, 0.05, Tally(95, 100)).to_json()
    (bundle / CARD_FILE).write_text(json.dumps(card))
    seal(bundle)
    options = RunOptions(shadow=two["most"], reject=("card",), max_frames=5)
    assert run(bundle, str(turning[0]), options).frames == 5
    with pytest.raises(OptionError, match=f"--shadow {two['most']}: --reject card"):
        run(bundle, str(turning[0]), replace(options, switch_when="better"))


def test_a_missing_folder_a_shadow_of_itself_and_a_wrong_shadow_are_refused(two, frames, tmp_path):
    for options, kind, wrong in (
        (RunOptions(bundle_dir=tmp_path / "no"), OptionError, "is no folder"),
        (RunOptions(shadow=two["mean"]), OptionError, "is the bundle that runs"),
        (RunOptions(shadow=spoil(two["most"], tmp_path / "w")), BundleError, "golden frame"),
    ):
        with pytest.raises(kind, match=wrong) as error:
            run(two["mean"], str(frames), options)
        one_line(error.value)
