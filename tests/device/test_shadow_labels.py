"""Labels that a shadow is compared by: what a person takes back counts no more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers_colour import picture, two_bundles

from edgecnn.audit.audit import audit
from edgecnn.bundle.classifier import Classifier
from edgecnn.device.capture.frame import Frame, now_utc
from edgecnn.device.load_classifier import Loaded
from edgecnn.device.log.session_log import SessionLog
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.output_options import DecisionRule
from edgecnn.device.run.bundles import Active
from edgecnn.device.run.held_labels import HeldLabels
from edgecnn.device.run.regions import Regions
from edgecnn.device.run.shadow import Shadow
from edgecnn.session.events import TruthEvent
from edgecnn.session.header import SessionHeader

KINDS = 30


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict[str, Path]:
    return two_bundles(tmp_path_factory.mktemp("two"))


def test_a_label_that_is_taken_back_leaves_the_one_before_it_to_the_comparison(two, tmp_path):
    """What a shadow counts is what the audit of the session counts."""
    active, shadow = (Loaded(Classifier(two[name]), "cpu") for name in ("mean", "most"))
    labels = active.classifier.card.labels
    options = RunOptions(log=tmp_path / "s", keep_frames=0)
    regions = Regions(options.views, labels, DecisionRule(), separate=True)
    beside = Shadow(shadow.classifier, 1)
    header = replace(
        SessionHeader.of(two["mean"], device="cpu"), shadow=beside.about, truth=("csv", "page")
    )
    log = SessionLog(header, options, live=False)
    running = Active(active, options)
    (region,) = regions
    for k in range(KINDS):
        frame = Frame(picture(k), k, now_utc(), time.monotonic())
        invoked = running.invoke(frame)
        reply = running.reply(invoked, frame, region, regions, time.monotonic())
        reply = replace(reply, shadow=beside.answer(frame, reply, regions))
        log.write(lambda recorder, f=frame, r=reply: recorder.frame(f, r))
    back = {"via": "page", "by": "ann", "why": "uniform", "withdrawn": True}
    given = [TruthEvent(k, labels[k % 2], "csv", why="all") for k in range(4)]
    given += [TruthEvent(k, labels[0], "page", by="ann", why="uniform") for k in (1, 3, 5, 7)]
    given += [TruthEvent(frame=k, label=None, **back) for k in (1, 5, 7)]
    given += [TruthEvent(k, labels[0], "page", by="bob", why="chosen") for k in (5, 7)]
    for event in given:
        beside.truth(event, regions)
        log.truths([event])
    log.end("done", {"frames": KINDS})
    found = beside.comparison()
    assert found.active.total == 4
    assert audit([tmp_path / "s"]).shadow == found


def test_labels_reach_the_shadow_and_those_that_are_taken_back_are_said_no_more():
    regions = Regions(RunOptions().views, ("a", "b"), DecisionRule(), separate=True)
    seen: list[int] = []
    shadow = SimpleNamespace(truth=lambda event, _regions: seen.append(event.frame))
    active = SimpleNamespace(first_frame=10)  # an earlier bundle answered those before it
    held = HeldLabels(SimpleNamespace(shadow=shadow, active=active), regions, None)
    late = TruthEvent(3, "a", "page", by="ann", why="uniform")
    held.hold([late, late, late._replace(label=None, withdrawn=True)])
    assert [note.split(" came")[0] for note in held.notes()] == ["2 labels"]
    picked = TruthEvent(12, "a", "page", by="ann", why="chosen")
    held.hold([picked])
    assert "a person picked all labelled frames" in held.notes()[0]
    held.hold([picked._replace(label=None, withdrawn=True)])
    assert len(held.notes()) == 1
    assert seen == [12, 12]
