"""Programs that are not `edgecnn run` write sessions too, and an audit reads them alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sessions import ARTIFACT, PAST_BUNDLE

import edgecnn
from edgecnn.audit.audit import audit
from edgecnn.bundle.preprocess import decode
from edgecnn.errors import SessionError


@pytest.fixture(scope="module")
def answered() -> list[tuple[bytes, tuple[float, ...], str]]:
    """What a program has that mirrors its pictures: JPEG, scores, label."""
    classifier = edgecnn.Classifier(PAST_BUNDLE, ARTIFACT)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        small = rng.integers(0, 255, (6, 6, 3), np.uint8)
        frame = cv2.resize(small, (40, 40), interpolation=cv2.INTER_CUBIC)
        jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
        seen = np.ascontiguousarray(decode(jpeg)[:, ::-1])
        found.append((jpeg, classifier(seen).scores, classifier(decode(jpeg)).label))
    return found


def test_a_session_of_another_program_is_answered_again_and_its_fault_named(answered, tmp_path):
    header = edgecnn.SessionHeader.of(PAST_BUNDLE, device="my phone", runtime="MediaPipe")
    with edgecnn.SessionWriter(tmp_path / "session", header) as session:
        for frame, (jpeg, scores, label) in enumerate(answered):
            session.answer(frame, scores, picture=jpeg, probability=1.0, label=label)
        session.end("done")
    report = audit(tmp_path / "session")
    assert report.live.tally.total == 60
    (fault,) = report.checks.faults
    assert "mirrored" in fault.name
    assert fault.points > 0
    assert report.sessions[0]["runtime"] == "MediaPipe"


@pytest.mark.parametrize("scores", [(0.5, 0.5), (95.0,) * 8, (float("nan"),) * 8])
def test_scores_that_do_not_fit_the_card_are_refused(scores, tmp_path):
    header = edgecnn.SessionHeader.of(PAST_BUNDLE)
    with edgecnn.SessionWriter(tmp_path / "s", header) as session:
        session.answer(0, [0.125] * 8)
        with pytest.raises(SessionError, match=r"frame 1 has scores .* expected 8 from 0 to 1"):
            session.answer(1, scores)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"label": "no class"}, "has the label 'no class', expected one of"),
        ({"probability": 0.0}, "with probability 0, expected above 0"),
        ({"probability": 7.0}, "with probability 7, expected above 0"),
        ({"picture": b"no picture"}, "neither JPEG nor PNG"),
    ],
)
def test_what_no_audit_could_use_is_refused_and_nothing_of_the_frame_is_logged(
    what, says, tmp_path
):
    header = edgecnn.SessionHeader.of(PAST_BUNDLE)
    with edgecnn.SessionWriter(tmp_path / "s", header) as session:
        session.answer(0, [0.125] * 8)
        with pytest.raises(SessionError, match=says):
            session.answer(1, [0.125] * 8, **what)
        session.end("done")
    events = (tmp_path / "s" / "events.jsonl").read_text()
    assert '"frame":0' in events
    assert '"frame":1' not in events
    assert not list((tmp_path / "s" / "frames").iterdir())
