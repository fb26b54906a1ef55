"""Several regions of a frame: each has its own answers, truth and pictures; all make a reading."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_run import events, one_line
from sessions import PAST, PAST_BUNDLE

from edgecnn.audit.audit import AuditOptions, audit
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.frame_view import FrameView
from edgecnn.bundle.spec import Prediction
from edgecnn.device.label.label import LabelOptions, label
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.output_options import DecisionRule
from edgecnn.device.run.regions import Regions
from edgecnn.device.run.run import run
from edgecnn.errors import OptionError, TruthError
from edgecnn.session.events import TruthEvent
from edgecnn.session.label_file import merge_labels
from edgecnn.session.read import open_session, read_frames, read_truth

LABELS = Bundle.open(PAST_BUNDLE).card.labels
COUNT, GAP = 8, 8  # even sizes, as videos have


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Pictures that the network of the past answered in the field."""
    files = sorted((PAST / "field" / "frames").iterdir())
    return [cv2.imread(str(file)) for file in files][:COUNT]


@pytest.fixture
def pairs(tmp_path, pictures) -> tuple[Path, tuple[str, str]]:
    """A folder of pictures with two of them side by side, and the regions where they are."""
    height, width = pictures[0].shape[:2]
    folder = tmp_path / "pairs"
    folder.mkdir()
    for k, left in enumerate(pictures):
        right = cv2.resize(pictures[COUNT - 1 - k], (width, height))
        frame = np.zeros((height + GAP, 2 * width + GAP, 3), np.uint8)
        frame[:height, :width] = cv2.resize(left, (width, height))
        frame[GAP:, width + GAP :] = right
        cv2.imwrite(str(folder / f"{k}.png"), frame)
    right = f"right={width + GAP},{GAP},{width},{height}"
    return folder, (f"left=0,0,{width},{height}", right)


def write_truth(file: Path, rows: list[str]) -> str:
    file.write_text("frame,label\n" + "".join(f"{k},{label}\n" for k, label in enumerate(rows)))
    return str(file)


def test_each_region_has_its_own_answers_truth_and_pictures_and_the_audit_agrees(pairs, tmp_path):
    folder, rois = pairs
    alone = {}
    for roi in rois:
        log = tmp_path / f"alone_{roi[:4]}"
        run(PAST_BUNDLE, str(folder), RunOptions(roi=roi, log=log))
        alone[roi.partition("=")[0]] = [e["k"] for e in events(log, "frame")]
    answers = {name: [LABELS[k[0][0]] for k in found] for name, found in alone.items()}
    # The left truth is right in all frames, the right one in half of them.
    wrong = [label if k % 2 else "none of these" for k, label in enumerate(answers["right"])]
    other = [LABELS[0] if label != LABELS[0] else LABELS[1] for label in answers["right"]]
    halves = [a if a != "none of these" else b for a, b in zip(wrong, other, strict=True)]
    truth = (
        "left=" + write_truth(tmp_path / "left.csv", answers["left"]),
        "right=" + write_truth(tmp_path / "right.csv", halves),
    )
    lines: list[str] = []
    log = tmp_path / "both"
    options = RunOptions(roi=rois, truth=truth, log=log, output="jsonl", reject="0.6")
    result = run(PAST_BUNDLE, str(folder), options, on_line=lines.append)
    both = events(log, "frame")
    assert result.frames == COUNT
    for name, found in alone.items():
        assert [e["k"] for e in both if e["roi"] == name] == found
    shown = {name: (tally.correct, tally.total) for name, tally in result.regions.items()}
    assert shown == {"left": (COUNT, COUNT), "right": (COUNT // 2, COUNT)}
    assert (result.live.correct, result.live.total) == (COUNT + COUNT // 2, 2 * COUNT)
    assert result.unlabelled == 0
    assert result.to_json()["live"] == audit([log]).to_json()["live"]
    kept = sorted(path.name for path in (log / "frames").iterdir())
    assert {name.partition("_")[2] for name in kept} == {"left.jpg", "right.jpg"}
    regions = json.loads((log / "session.json").read_text())["regions"]
    assert [region["name"] for region in regions] == ["left", "right"]
    said = [json.loads(line) for line in lines]
    sure = [one for one in said if one["confidence"] >= 0.6]
    right = [one["truth"] == one["label"] for one in sure if one["truth"] in LABELS]
    assert result.reject is not None
    assert 0 < len(sure) < len(said)
    assert sure == [one for one in said if one["decision"] is not None]
    assert (result.reject.answers, result.reject.rejected) == (len(said), len(said) - len(sure))
    assert (result.reject.rest.correct, result.reject.rest.total) == (sum(right), len(right))
    assert f"{len(said) - len(sure)} of {len(said)} answers" in result.to_text()
    assert [(one["frame"], one["region"]) for one in said[:3]] == [
        (0, "left"), (0, "right"), (1, "left"),
    ]  # fmt: skip
    assert [one["label"] for one in said[-2:]] == [answers["left"][-1], answers["right"][-1]]
    assert said[-1]["reading"] == " ".join(one["decision"] or "?" for one in said[-2:])
    assert not result.warnings


def test_regions_that_show_the_same_are_said_to_count_it_twice(pairs):
    folder, (left, _) = pairs
    options = RunOptions(roi=(left, "part=4,4,4,4", "beside=20,0,16,20"), max_frames=1)
    (said,) = run(PAST_BUNDLE, str(folder), options).warnings
    assert said.startswith("--roi left and part share 100 % of their picture")


def test_a_video_is_cut_by_its_own_thread_to_the_same_answers(pairs, tmp_path):
    folder, rois = pairs
    film = tmp_path / "film.avi"
    frames = [cv2.imread(str(folder / f"{k}.png")) for k in range(COUNT)]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"FFV1"), 25, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
    found = []
    for source in (folder, film):
        log = tmp_path / f"log_{source.name}"
        run(PAST_BUNDLE, str(source), RunOptions(roi=rois, log=log))
        found.append([(e["frame"], e["roi"], e["k"][0][0]) for e in events(log, "frame")])
    assert found[0] == found[1]


def test_a_truth_that_names_no_region_and_a_page_of_several_are_one_line(pairs, tmp_path):
    folder, rois = pairs
    file = write_truth(tmp_path / "t.csv", [LABELS[0]] * COUNT)
    for truth in (file, "up=" + file):
        with pytest.raises(TruthError, match="does not say which region") as error:
            run(PAST_BUNDLE, str(folder), RunOptions(roi=rois, truth=(truth,)))
        one_line(error.value)
    for more in ({"web": "0"}, {"window": True}):
        with pytest.raises(OptionError, match="show one region"):
            RunOptions(roi=rois, **more)


@pytest.fixture
def recorded(pairs, tmp_path) -> tuple[Path, list[str]]:
    """A session of two regions without labels, and the labels of the left one."""
    folder, rois = pairs
    log = tmp_path / "s"
    run(PAST_BUNDLE, str(folder), RunOptions(roi=rois, log=log))
    return log, [LABELS[k % 2] for k in range(COUNT)]


def test_labels_of_the_first_region_alone_are_read(recorded, tmp_path):
    """Their frames have short numbers, and those of the other region long ones."""
    log, labels = recorded
    merged = merge_labels(log, Path(f"left={write_truth(tmp_path / 't.csv', labels)}"))
    assert merged.added == COUNT
    opened = open_session(log)
    frames = read_frames(opened)
    truth = read_truth(opened, frames)
    assert [LABELS[k] for k in truth.label[:COUNT]] == labels
    assert (truth.label[COUNT:] == -1).all()
    assert audit([log]).live.tally.total == COUNT


@pytest.mark.parametrize("region", ["left", "right"])
def test_a_file_of_labels_is_of_the_region_that_it_names(recorded, tmp_path, region):
    log, labels = recorded
    file = Path(f"{region}={write_truth(tmp_path / 't.csv', labels)}")
    report = audit([log], AuditOptions(truth=file))
    assert report.live.tally.total == COUNT
    assert label([log], LabelOptions(merge=file)).added == COUNT
    assert {event.get("roi") for event in events(log, "truth")} == {region}
    assert audit([log]).live.tally == report.live.tally
    again = label([log], LabelOptions(merge=file))
    assert (again.added, again.known) == (0, COUNT)


def test_a_file_that_names_no_region_of_several_is_refused(recorded, tmp_path):
    log, labels = recorded
    file = Path(write_truth(tmp_path / "t.csv", labels))
    before = (log / "events.jsonl").read_bytes()
    for wrong, said in (
        (file, f"does not say which region it is about, expected one of .*; write left={file}"),
        (Path(f"middle={file}"), "does not exist.*has regions .*write left=FILE"),
    ):
        with pytest.raises(TruthError, match=said):
            audit([log], AuditOptions(truth=wrong))
        with pytest.raises(TruthError, match=said):
            label([log], LabelOptions(merge=wrong))
    assert (log / "events.jsonl").read_bytes() == before


def test_lines_of_labels_have_regions_themselves(recorded, tmp_path):
    log, labels = recorded
    lines = tmp_path / "lines.jsonl"
    given = (TruthEvent(k, name, "label", region="right") for k, name in enumerate(labels))
    lines.write_bytes(b"".join(event.to_line() for event in given))
    assert merge_labels(log, lines).added == COUNT
    assert {event.get("roi") for event in events(log, "truth")} == {"right"}


def test_the_reading_has_a_place_for_each_region_also_where_nothing_is_decided_yet():
    views = [FrameView((9 * k, 0, 9, 9), name=name) for k, name in enumerate(("a", "b", "c"))]
    rule = DecisionRule(agree=2, window=3)
    regions = Regions(views, LABELS, rule, separate=False)
    assert regions.reading == "? ? ?"
    for index, region in enumerate(regions):
        for _ in range(1 if region.name == "b" else 2):
            region.decide(Prediction(index, LABELS[index], 0.9, tuple(np.eye(len(LABELS))[index])))
    assert regions.reading == f"{LABELS[0]} ? {LABELS[2]}"
    assert Regions([FrameView()], LABELS, rule, separate=False).reading is None
