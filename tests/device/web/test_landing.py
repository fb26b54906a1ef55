"""A label lands on the frame that was shown, in the session and in the tally."""

from __future__ import annotations

import time
from collections import deque

import pytest
from served import Client, Served, label_item, number_of
from served import session_events as events


@pytest.mark.clock
@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.long)])
def test_a_label_three_seconds_after_its_frame_lands_on_it(
    tmp_path, digits_bundle, digits_video, count
):
    video, labels = digits_video
    session = tmp_path / "session"
    with Served(tmp_path, "run", digits_bundle, "-s", video, "--log", session) as served:
        client = Client(served.link)
        run = client.get("/api/about")["run"]
        while client.get("/api/state")["frame"] is None:
            time.sleep(0.2)
        shown: deque[tuple[float, int, int]] = deque()
        given: dict[int, int] = {}
        while len(given) < count:
            if len(given) + len(shown) < count:
                about, jpeg = client.look("/api/live.jpg")
                if about["frame"] not in given and about["frame"] not in [s[1] for s in shown]:
                    shown.append((time.monotonic(), about["frame"], number_of(jpeg)))
            while shown and time.monotonic() - shown[0][0] >= 3:
                _, frame, seen = shown.popleft()
                client.give(label_item(run, frame, labels[seen], by=f"{seen}", via="stretch"))
                given[frame] = seen
            time.sleep(0.02)
        newest = client.get("/api/state")["frame"]
        assert newest > max(given) + 60  # the loop went on meanwhile
        result = served.stop()
    truths = events(session, "truth")
    assert {event["frame"]: int(event["by"]) for event in truths} == given
    assert [frame for frame, seen in given.items() if frame != seen] == []
    assert all(event["label"] == labels[event["frame"]] for event in truths)
    assert result["live"]["total"] == count
    answers = {event["frame"]: event["k"][0][0] for event in events(session, "frame")}
    assert result["live"]["correct"] == sum(answers[f] == int(labels[f]) for f in given)
