"""In blind mode the device sends no answer before the label is given."""

from __future__ import annotations

import json

import pytest
from served import Client, label_item

from edgecnn.session.truth_rows import standing

ANSWERS = ("/api/question?by=a", "/api/strip?", "/api/live.jpg?")
OTHERS = ("/api/state?", "/api/about?", "/api/camera.jpg?", "/api/sessions?")
HIDDEN = ("answer", "confidence", "next")


def sent(client: Client, path: str) -> str:
    """All that the device says of pictures and frames: the head, and the body if it is text."""
    status, headers, body = client.send("GET", path)
    assert status == 200
    text = "" if body.startswith(b"\xff\xd8") else body.decode()
    return json.dumps(headers) + text.replace('"', '\\"')


@pytest.mark.parametrize("path", [*ANSWERS, *OTHERS])
def test_blind_mode_hides_the_answer_and_only_that(place, path):
    client = Client(place[1].link)
    shown, hidden = sent(client, path), sent(client, f"{path}&veil=1")
    for key in HIDDEN:
        mark = f'\\"{key}\\":'
        assert (mark in shown) == (path in ANSWERS)
        assert mark not in hidden
    if path in ANSWERS:
        assert '\\"frame\\":' in hidden


def test_the_answer_comes_with_the_reply_to_a_blind_label_alone(place):
    hub, server = place
    client = Client(server.link)
    frames = {one["frame"]: one["answer"] for one in hub.strip()}
    assert frames
    frame, answer = frames.popitem()
    blind = label_item("run-1", frame, "1", via="strip", unseen=True)
    assert client.give(blind)["said"] == {blind["id"]: answer}
    stretch = label_item("run-1", frame, "1", via="stretch", last=frame + 2, unseen=True)
    seen = label_item("run-1", frame, "1", via="strip")
    refused = label_item("run-1", frame, "no class", via="strip", unseen=True)
    assert client.give(stretch, seen, refused)["said"] == {}
    assert {(event.via, event.blind) for event in hub.take()} == {
        ("strip", True),
        ("stretch", True),
        ("strip", False),
    }


def test_a_label_that_is_taken_back_says_nothing_of_blind_and_is_asked_again(place):
    hub, server = place
    client = Client(server.link)
    frame = client.get("/api/question?by=test")["question"]["frame"]
    label = label_item("run-1", frame, "1", unseen=True)
    client.give(label)
    assert client.get("/api/question?by=test")["question"]["frame"] != frame
    reply = client.give(label_item("run-1", frame, None, unseen=True, withdrawn=True))
    assert reply["said"] == {}
    assert client.get("/api/question?by=test")["question"]["frame"] == frame
    given, taken_back = hub.take()
    assert (given.withdrawn, given.blind) == (False, True)
    assert (taken_back.withdrawn, taken_back.blind, taken_back.label) == (True, None, None)
    assert taken_back.probability == given.probability > 0


def test_a_stretch_is_taken_back_frame_by_frame(place):
    hub, server = place
    where = {"via": "stretch", "last": 9}
    Client(server.link).give(
        label_item("run-1", 5, "1", **where),
        label_item("run-1", 5, None, **where, withdrawn=True),
    )
    assert standing(hub.take()) == []
