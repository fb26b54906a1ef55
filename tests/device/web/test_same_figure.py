"""The page, the run and the audit say the same live accuracy of one session."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from served import REPO, Client, Served, label_item, session_events

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.tally import Tally
from edgecnn.accuracy.thing_rule import ThingRule
from edgecnn.device.web.desk import figure_json, outlook

COUNTED = {"uniform", "stretch"}


def wait_for(client: Client, ready) -> dict:
    """The page's figures once they fulfil `ready`."""
    for _ in range(1200):
        live = client.get("/api/state").get("live")
        if live is not None and ready(live):
            return live
        time.sleep(0.1)
    raise AssertionError(f"the page still says {live}")


def give_asked(client: Client, run: str, labels: list[str], count: int) -> None:
    """Label the frames that are drawn by chance."""
    given = 0
    while given < count:
        asked = client.get("/api/question?by=test")["question"]
        if asked is None:
            time.sleep(0.1)
            continue
        frame = asked["frame"]
        item = label_item(run, frame, labels[frame])
        assert client.give(item)["done"] == [item["id"]]
        given += 1


def test_a_weighted_figure_is_said_as_the_audit_says_it():
    tally = Tally(110, 150, 140.0, 0.79)
    said = figure_json(tally)
    assert json.loads(json.dumps(outlook(tally)))["more"] == 20
    assert said["text"] == tally.text()
    assert said["text"].startswith("79.0 % from 150 labels")
    assert (said["low"], said["high"]) == tally.interval
    half = figure_json(Tally(13, 16))  # 81.25 %: a browser rounds it to 81.3, and Python to 81.2
    assert half["short"].startswith("81.2 % ±")
    assert half["text"].startswith("81.2 % of 16")


def test_where_most_labels_are_of_few_things_the_page_says_what_to_do(place):
    """More labels of things that look alike narrow no interval, and each may be another part."""
    hub, _ = place
    status = SimpleNamespace(
        live=Tally(24, 25, 2.0),
        alarm=Alarm.of(Tally(97, 100), 2, 2),
        gap_points=1.0,
        elapsed_s=9.0,
        fps=9.0,
        dropped=0,
        silent=None,
        unlogged=None,
        warning=None,
    )
    hub.show(status)
    alike = hub.state()["alike"]
    assert alike["things"] == 2
    assert "--things each counts all 25" in alike["text"]
    hub.show(SimpleNamespace(**vars(status) | {"alarm": Alarm.of(Tally(97, 100), 20, 20)}))
    assert hub.state()["alike"] is None
    hub.show(status)
    hub._things = ThingRule.parse("2s")  # somebody said already what counts
    assert hub.state()["alike"] is None


@pytest.mark.parametrize("mixed", [False, True], ids=["random", "random, stretch and strip"])
def test_the_same_session_has_the_same_figure(tmp_path, digits_bundle, digits_video, mixed):
    video, labels = digits_video
    session = tmp_path / "session"
    with Served(tmp_path, "run", digits_bundle, "-s", video, "--log", session) as served:
        client = Client(served.link)
        run = client.get("/api/about")["run"]
        give_asked(client, run, labels, 12)
        if mixed:
            wait_for(client, lambda _: client.get("/api/state")["frame"] > 60)
            last = client.get("/api/state")["frame"]
            stretch = label_item(run, last - 30, labels[last], via="stretch", last=last)
            chosen = label_item(
                run, client.get("/api/strip")["strip"][-1]["frame"], "1", via="strip"
            )
            client.give(stretch, chosen)

        def all_counted(live: dict) -> bool:
            truths = session_events(session, "truth")
            whys = {event["why"] for event in truths}
            counted = {event["frame"] for event in truths if event["why"] in COUNTED}
            return ("stretch" in whys) == mixed and live["total"] == len(counted) >= 12

        page = wait_for(client, all_counted)
        result = served.stop()
    command = [sys.executable, "-m", "edgecnn", "audit", str(session), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=REPO)
    assert done.returncode in (0, 1), done.stderr
    audit = json.loads(done.stdout)["live"]
    assert result["live"] == pytest.approx(audit, rel=1e-9)  # sums in another order
    text, short = page.pop("text"), page.pop("short")
    assert short.startswith(text.split(" %")[0] + " % ±")
    if not mixed:
        assert page == pytest.approx(audit, rel=1e-9)
    else:  # the weights follow the number of frames, and the run went on
        assert page["total"] == audit["total"]
        assert page["accuracy"] == pytest.approx(audit["accuracy"], abs=0.05)
    assert f"95 % interval {100 * page['low']:.1f}-{100 * page['high']:.1f}" in text
