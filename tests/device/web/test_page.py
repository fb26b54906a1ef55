"""The page in a real Chromium, at a phone's size and on a desktop."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, DESKTOP, PHONE, Chromium, Page
from served import Client, Served, label_item, session_events

from edgecnn.bundle.frame_view import FrameView
from edgecnn.device.web.given import GivenLabel

pytestmark = [
    pytest.mark.env,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
READY = "document.querySelector('#picture').src.startsWith('blob:')"
SENT = "document.querySelector('#net').textContent === '✓ Connected'"
ASKED = "/^Random frame \\d+/.test(document.querySelector('#origin').textContent)"
NUMBER = "Number((document.querySelector('#origin').textContent.match(/frame (\\d+)/) || [])[1])"
DRAWN = {
    "label": READY,
    "camera": "document.querySelector('#camera').naturalWidth > 0 && "
    "!document.querySelector('#lab').hidden && document.querySelector('#lab').naturalWidth > 0",
    "status": "document.querySelectorAll('#sessions a').length > 0",
}
SEEN = "!document.querySelector('#stage[data-new], #verdict[data-new]')"  # long enough in view
FREE = f"!document.querySelector('#right').disabled && {SEEN}"
# Buttons that a thumb can't hit, and what sticks out of the screen.
SMALL = """[...document.querySelectorAll("button, a, input, select")].filter(e => {
  const b = e.getBoundingClientRect(); return b.width && b.height < 64; }).map(e => e.id)"""
# Buttons under another element or outside of the screen.
COVERED = """[...document.querySelectorAll("button")].filter(e => {
  const b = e.getBoundingClientRect(); if (!b.width || e.closest("dialog")) return false;
  if (e.closest("#strip")) return false;
  const at = document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2);
  return b.y < 0 || b.bottom > innerHeight || !at || !e.contains(at);
}).map(e => e.id || e.textContent)"""
LANDSCAPE = [(844, 390), (740, 360), (667, 320)]
WIDE = "document.documentElement.scrollWidth - innerWidth"
HIGH = "document.documentElement.scrollHeight - innerHeight"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
def served(tmp_path, digits_bundle, digits_video):
    """A run over the numbered video, with a session beside an older one."""
    root = tmp_path / "sessions"
    bundle = shutil.copytree(digits_bundle, tmp_path / "digits.edgecnn")
    arguments = [bundle, "-s", digits_video[0], "--log", root / "today", "--name", "hall"]
    with Served(tmp_path, "run", *arguments) as running:
        yield running


def opened(browser: Chromium, link: str, size=PHONE) -> Page:
    page = browser.open(link, size)
    page.wait(READY)
    return page


def asked(page: Page) -> int:
    """The number of the random frame that waits for its label."""
    page.wait(f"{ASKED} && {FREE}")
    return page.eval(NUMBER)


def rest(page: Page, ms: int) -> None:
    """Let the page's own timers run for that long by its own clock."""
    page.eval(f"new Promise((then) => setTimeout(then, {ms}))")


def truths(session: Path) -> dict[int, dict]:
    return {event["frame"]: event for event in session_events(session, "truth")}


def test_twenty_frames_are_labelled_with_one_thumb(browser, served, tmp_path, digits_video):
    labels = digits_video[1]
    page = opened(browser, served.link)
    assert page.eval("location.hash") == ""
    assert page.eval(HIGH) <= 0
    assert page.eval(WIDE) <= 0
    given: dict[int, str] = {}
    for _ in range(20):
        frame = asked(page)
        given[frame] = labels[frame]
        if page.text("#says b") == labels[frame]:
            page.tap("#right")
        else:
            page.tap("#wrong")
            offered = page.eval(
                "[...document.querySelectorAll('#sheet-next button')].map(b => b.textContent)"
            )
            assert len(offered) == 3
            assert page.text("#says b") not in offered
            box = "#sheet-next" if labels[frame] in offered else "#sheet-all"
            page.eval(f"""[...document.querySelectorAll("{box} button")].find(
                b => b.textContent === "{labels[frame]}").setAttribute("data-it", "1")""")
            page.tap(f"{box} [data-it]")
        page.wait(f"{NUMBER} !== {frame} || document.querySelector('#right').disabled")
    page.wait(SENT)
    page.wait("document.querySelector('#score-live .value').textContent.includes('±')")
    assert "more random frames: ±" in page.text("#outlook")
    line = page.wait("""(t => /(of|from) 20\\b/.test(t) && t)(
        document.querySelector('#labels-line').textContent)""")
    assert page.errors == []
    result = served.stop()
    found = truths(tmp_path / "sessions" / "today")
    assert {frame: event["label"] for frame, event in found.items()} == given
    assert {event["why"] for event in found.values()} == {"uniform"}
    assert all(0 < event["p"] <= 1 for event in found.values())
    assert {event["via"] for event in found.values()} == {"page"}
    assert {event["blind"] for event in found.values()} == {False}
    live = result["live"]
    assert live["total"] == 20
    assert f"Live accuracy: {100 * live['accuracy']:.1f} %" in line
    assert f"95 % interval {100 * live['low']:.1f}-{100 * live['high']:.1f}" in line


def test_where_no_frame_comes_a_stretch_counts_one_and_the_end_of_a_recording_is_said(
    browser, place
):
    """And a stretch of "none of these" is one like others."""
    hub, server = place
    page = opened(browser, server.link, DESKTOP)
    page.tap("#toggle-live")
    picked = "document.querySelector('#origin').textContent === 'Live, frame 39{}'"
    page.wait(picked.format(", not in the live accuracy"))
    page.tap("#toggle-live")
    page.tap("#from-now")
    page.tap("#sheet-none")
    page.wait("document.querySelector('#stretch-count').textContent === '(1 frame)'")
    page.wait(picked.format(""))
    assert page.text("#stretch-label") == "none of these"
    rest(page, 1500)
    assert page.text("#stretch-count") == "(1 frame)"
    page.tap("#stretch-end")
    page.wait(SENT)
    assert [(event.frame, event.label) for event in hub.take()] == [(39, "none of these")]
    hub.end()
    held = asked(page)
    for kind in ("rawKeyDown", "char"):  # a key that is held down since the frame before
        where = {"key": "r", "text": "r", "autoRepeat": True, "windowsVirtualKeyCode": ord("R")}
        page.call("Input.dispatchKeyEvent", type=kind, **where)
    page.eval("document.querySelector('#right').focus()")  # Enter presses the button in focus
    where = {"key": "Enter", "text": "\r", "autoRepeat": True, "windowsVirtualKeyCode": 13}
    page.call("Input.dispatchKeyEvent", type="keyDown", **where)
    rest(page, 300)
    assert (asked(page), hub.take()) == (held, ())
    while (question := hub.question("Ada")) is not None:
        hub.give([GivenLabel.read(label_item("run-1", question["frame"], "1", by="Ada"))])
    hub.take()
    page.eval("""(by => { by.value = "\\u{1F469}\\u200d\\u{1F527}\\u00a0Eve"; by.dispatchEvent(
        new Event("change")); })(document.querySelector("#by"))""")
    page.tap("#right")
    page.wait("document.querySelector('#empty').textContent.startsWith('The recording is over')")
    page.wait(SENT)
    assert [event.by for event in hub.take()] == ["\U0001f469\U0001f527 Eve"]
    assert page.eval("document.querySelector('#verdict').hidden")
    page.tap("#undo")
    page.tap("#cant")
    assert page.errors == []


def test_over_a_slow_network_a_frame_is_not_asked_again_while_its_label_is_on_the_way(
    browser, place
):
    hub, server = place
    page = opened(browser, server.link)
    first = asked(page)
    page.eval("""(get => { window.fetch = async (path, more) => {
        if (path === "/api/labels") await new Promise(then => { window.go = then; });
        return get(path, more); }; })(window.fetch)""")
    page.tap("#right")
    page.wait("window.go !== undefined")
    rest(page, 1000)
    assert page.eval("document.querySelector('#right').disabled")
    page.eval("window.go()")
    assert asked(page) != first
    assert [event.frame for event in hub.take()] == [first]
    assert page.errors == []


def test_what_just_came_into_view_is_neither_tapped_nor_pressed_by_a_key(browser, place):
    """The second tap of a double tap would label a frame, or pick a class, that nobody has seen."""
    hub, server = place
    page = opened(browser, server.link)
    middle = """(b => [b.x + b.width / 2, b.y + b.height / 2])(
        document.querySelector("{}").getBoundingClientRect())"""
    first = asked(page)
    # That moment passes when the test says so, however slow the machine is.
    page.eval("""(later => { window.moments = []; window.setTimeout = (then, ms, ...more) =>
        ms === 300 ? window.moments.push(then) : later(then, ms, ...more); })(window.setTimeout)""")
    passes = """(window.moments.splice(0).forEach(then => then()),
        !document.querySelector("[data-new]"))"""
    page.tap("#right")
    page.wait(f"{NUMBER} !== {first} && document.querySelector('#verdict[data-new]') !== null")
    second = page.eval(NUMBER)
    page.touch([page.eval(middle.format("#right"))])
    page.wait("document.querySelector('#toast').textContent.startsWith('Too quick')")
    for key in "rcn":
        page.key(key)
    assert page.eval(NUMBER) == second
    page.wait(passes)
    page.tap("#wrong")
    page.wait("document.querySelector('#sheet').open")
    page.touch([page.eval(middle.format("#sheet-next button"))])
    page.touch([page.eval(middle.format("#sheet-none"))])
    assert page.eval("document.querySelector('#sheet').open")
    page.wait(passes)
    page.tap("#sheet-none")
    page.wait(f"!document.querySelector('#sheet').open && {SENT}")
    assert [(event.frame, event.label) for event in hub.take()][1:] == [(second, "none of these")]
    assert page.errors == []


def test_a_broken_label_is_dropped_by_name_and_those_queued_with_it_are_taken(browser, place):
    hub, server = place
    page = opened(browser, server.link)
    page.eval("""for (const [id, text] of [["0-a", "5"], ["0-b", '{"frame": "x"}'], ["0-c", "{"]])
        localStorage.setItem(`edgecnn.label.${id}`, text)""")
    frame = asked(page)
    page.tap("#right")
    page.wait("Object.keys(localStorage).every(key => !key.startsWith('edgecnn.label.'))")
    page.wait("document.querySelector('#toast').textContent.startsWith('Not counted: a broken')")
    assert [event.frame for event in hub.take()] == [frame]
    assert page.errors == []


def test_the_crop_is_what_the_model_sees_of_a_mirrored_frame_and_hidden_where_it_cannot_be(
    browser, place
):
    hub, server = place
    hub.captured(np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (64, 1, 3)))
    page = opened(browser, server.link)
    page.tap("#go-camera")
    rises = """(c => { const at = share => c.getContext("2d").getImageData(
        share * c.width, c.height / 2, 1, 1).data[0]; return at(0.9) - at(0.1); })(
        document.querySelector("#crop"))"""
    page.wait(f"{rises} > 50")
    for view in (FrameView(flip="horizontal"), FrameView(rotate=180, flip="vertical")):
        hub._view_file.current = view.to_json()
        page.wait(f"{rises} < -50")
        hub._view_file.current = FrameView().to_json()
        page.wait(f"{rises} > 50")
    hub._view_file.current = FrameView(corners=(0, 0, 9, 0, 9, 9, 0, 9)).to_json()
    page.wait("document.querySelector('#crop').hidden")
    assert "four corners" in page.text("#framing")
    assert page.errors == []


def test_in_a_very_long_picture_a_region_is_drawn_by_finger(browser, place):
    hub, server = place
    page = opened(browser, server.link)
    page.tap("#go-camera")
    for wide, high in ((100, 2400), (2400, 100)):
        hub.captured(np.zeros((high, wide, 3), np.uint8))
        img = "document.querySelector('#camera')"
        page.wait(f"{img}.naturalWidth === {wide} && {img}.naturalHeight === {high}")
        x, y, w, h = page.wait(f"""(b => Math.min(b.width, b.height) > 90 && [b.x, b.y, b.width,
            b.height])({img}.getBoundingClientRect())""")
        page.touch([[x + share * w, y + share * h] for share in (0.25, 0.5, 0.75)])
        rest(page, 300)
        drawn = page.eval("""['x', 'y', 'w', 'h'].map(
            k => Number(document.querySelector(`#roi-${k}`).value))""")
        assert drawn == pytest.approx([wide / 4, high / 4, wide / 2, high / 2], rel=0.1)
        box = page.eval("""(b => [b.width, b.height])(
            document.querySelector('#region').getBoundingClientRect())""")
        assert box == pytest.approx([w / 2, h / 2], abs=8)
    assert page.errors == []


def test_a_region_is_typed_and_what_is_none_is_not_saved(browser, place, tmp_path):
    page = opened(browser, place[1].link, DESKTOP)
    page.tap("#go-camera")
    page.wait("document.querySelector('#camera').clientWidth > 200")  # of 64 pixels: a finger fits
    for name, text in (("x", "8"), ("y", "4"), ("w", "60"), ("h", "20")):
        page.tap(f"#roi-{name}")
        for letter in text:
            page.key(letter)
        rest(page, 300)  # the next picture comes
    page.tap("#save")
    page.wait("document.querySelector('#toast').textContent.startsWith('Not saved: ')")
    assert "inside of 64 \u00d7 64 pixels" in page.text("#toast")
    assert not (tmp_path / "edgecnn.toml").exists()
    page.tap("#roi-w")
    page.eval("document.querySelector('#roi-w').select()")
    for letter in "50":
        page.key(letter)
    page.tap("#save")
    page.wait("document.querySelector('#saved').textContent.startsWith('Saved in')")
    assert 'roi = "8,4,50,20"' in (tmp_path / "edgecnn.toml").read_text()
    page.tap("#whole")
    assert page.text("#saved") == ""
    assert page.errors == []


def test_on_a_small_phone_and_with_all_sizes_doubled_the_page_scrolls(browser, place):
    hub, server = place
    for size in ((320, 568), (195, 422)):
        page = opened(browser, server.link, size)
        page.tap("#blind")
        page.wait("!document.querySelector('#grid-box').hidden")
        page.tap("#grid-cant")
        page.wait("!document.querySelector('#undo').disabled")
        page.tap("#blind")
        page.wait(SENT)
        assert [event.label for event in hub.take()] == [None]
        page.tap("#go-camera")
        page.wait("document.querySelector('#camera').clientWidth > 100")
        assert (
            page.eval(
                WIDE + " + (p => p.scrollWidth - p.clientWidth)"
                "(document.querySelector('#panel-camera'))"
            )
            <= 0
        )
        assert page.errors == []


NAMES = ["Wasserzähler_im_Keller_links_unten_an_der_Wand_1", "Wasserzähler im Keller rechts 2"]
LONG = NAMES + [f"class {k}" for k in range(38)]
# What is cut off, or breaks a word of eight letters at most.
CUT = """[...document.querySelectorAll("#says, #sheet-next button, #grid button")].filter(
  e => e.clientWidth && (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight)
).map(e => e.textContent)"""


def test_no_name_of_a_class_is_cut_off(browser, place):
    """Names may differ at their end, and who taps Right on half a name says what he can't know."""
    page = opened(browser, place[1].link)
    page.eval(f"""import("/net.js").then(net => {{ net.device.about.labels = {json.dumps(LONG)};
        document.dispatchEvent(new Event("classes")); }})""")
    for answer in (0, 1):
        page.eval(f"""(get => {{ window.fetch = async (path, more) => {{
            const reply = await get(path, more);
            if (!path.startsWith("/api/question")) return reply;
            const found = await reply.json();
            Object.assign(found.question, {{ answer: {answer}, next: [1, 0, 2] }});
            return new Response(JSON.stringify(found)); }}; }})(window.fetch)""")
        page.tap("#right")
        page.wait(f"document.querySelector('#says b').textContent === {json.dumps(LONG[answer])}")
        assert page.eval(CUT) == []
    page.tap("#wrong")
    assert page.eval(CUT) == []
    page.tap("#sheet-cancel")
    page.tap("#blind")
    page.wait("!document.querySelector('#grid-box').hidden")
    assert page.eval(CUT) == []
    page.tap("#grid-add")  # a search, where nobody scrolls through all
    page.tap("#sheet-search")
    page.key("9")
    assert page.eval("document.querySelectorAll('#sheet-all button').length") == 3
    assert page.errors == []


@pytest.mark.long
def test_cant_tell_none_of_these_and_undo(browser, served, tmp_path):
    page = opened(browser, served.link)
    cant = asked(page)
    page.tap("#cant")
    page.wait(f"{FREE} && {NUMBER} !== {cant}")
    none = asked(page)
    page.tap("#wrong")
    page.tap("#sheet-none")
    page.wait(f"{FREE} && {NUMBER} !== {none}")
    undone = asked(page)
    page.tap("#right")
    page.wait(f"{FREE} && {NUMBER} !== {undone}")
    page.wait(SENT)
    page.tap("#undo")
    page.wait(f"{NUMBER} === {undone}")
    page.tap("#cant")
    page.wait(SENT)
    served.stop()
    found = truths(tmp_path / "sessions" / "today")
    assert found[none]["label"] == "none of these"
    assert {frame: found[frame]["label"] for frame in (cant, undone)} == {cant: None, undone: None}
    assert len(found) == 3
    assert page.errors == []


@pytest.mark.long
def test_blind_mode_gets_no_answer_and_says_so_with_each_label(browser, served, tmp_path):
    """By queue, strip and stretch; only a frame whose answer was seen before is not blind."""
    page = opened(browser, served.link)
    seen = asked(page)
    page.tap("#blind")
    assert page.text("#says") == "What is it?"
    page.wait("document.querySelectorAll('#strip button').length >= 3")
    page.tap("#grid button:nth-child(4)")
    page.wait(f"{ASKED} && {NUMBER} !== {seen}")
    blind = page.eval(NUMBER)
    alts = page.eval("[...document.querySelectorAll('img')].map(i => i.alt)")
    assert not [alt for alt in alts if "model" in alt]
    page.tap("#grid button:nth-child(5)")
    page.wait("document.querySelector('#toast').textContent.includes('The model said')")
    strip = page.eval(f"""(() => {{ const number = b => Number(b.firstChild.alt.match(/\\d+/)[0]);
        const b = [...document.querySelectorAll("#strip button")].findLast(
            b => ![{seen}, {blind}].includes(number(b)));
        b.click(); return number(b); }})()""")
    assert page.eval("document.querySelector('#chosen-right').hidden")
    page.tap("#chosen-label")
    page.tap("#sheet-all button:nth-child(6)")
    page.tap("#from-now")
    page.tap("#sheet-all button:nth-child(8)")
    page.wait("parseInt(document.querySelector('#stretch-count').textContent.slice(1)) > 3")
    page.tap("#stretch-end")
    page.wait(f"!document.body.dataset.stretch && {SENT}")
    served.stop()
    found = truths(tmp_path / "sessions" / "today")
    assert (found[seen]["label"], found[seen]["blind"]) == ("3", False)
    assert (found[blind]["label"], found[blind]["blind"]) == ("4", True)
    assert (found[strip]["label"], found[strip]["blind"]) == ("5", True)
    stretch = [event for event in found.values() if event["via"] == "stretch"]
    assert {(event["label"], event["blind"]) for event in stretch} == {("7", True)}
    assert page.errors == []


@pytest.mark.long
def test_a_stretch_has_a_border_and_an_end(browser, served, tmp_path):
    page = opened(browser, served.link)
    page.tap("#from-now")
    page.tap("#sheet-all button:nth-child(8)")
    page.wait("document.body.dataset.stretch")
    page.wait("parseInt(document.querySelector('#stretch-count').textContent.slice(1)) > 60")
    assert page.eval("getComputedStyle(document.body).boxShadow !== 'none'")
    page.tap("#stretch-end")
    last = page.eval(NUMBER)
    page.wait("!document.body.dataset.stretch")
    page.wait(SENT)
    served.stop()
    found = truths(tmp_path / "sessions" / "today")
    frames = sorted(found)
    assert len(frames) > 60
    assert frames == list(range(frames[0], frames[-1] + 1))
    assert frames[-1] <= last
    assert {(e["label"], e["via"], e["why"]) for e in found.values()} == {
        ("7", "stretch", "stretch")
    }
    assert page.errors == []


@pytest.mark.long
def test_several_of_the_strip_are_labelled_at_once(browser, served, tmp_path):
    page = opened(browser, served.link)
    page.wait("document.querySelectorAll('#strip button').length >= 6")
    for count in (1, 2, 3):
        page.tap("#strip button[aria-pressed=false]")
        page.wait(f"document.querySelectorAll('#strip [aria-pressed=true]').length === {count}")
    frames = page.eval("""[...document.querySelectorAll("#strip [aria-pressed=true] img")].map(
        i => Number(i.alt.match(/\\d+/)[0]))""")
    assert len(frames) == 3
    page.tap("#chosen-label")
    page.tap("#sheet-all button:nth-child(2)")
    page.wait("document.querySelector('#chosen').hidden")
    page.wait(SENT)
    served.stop()
    found = truths(tmp_path / "sessions" / "today")
    assert {frame: (e["label"], e["via"], e["why"]) for frame, e in found.items()} == dict.fromkeys(
        frames, ("1", "strip", "chosen")
    )
    assert page.errors == []


@pytest.mark.long
def test_two_people_and_a_reload_keep_their_own_frames(browser, served, tmp_path):
    first, second = opened(browser, served.link), opened(browser, served.link, DESKTOP)
    one, two = asked(first), asked(second)
    assert one != two
    first.reload()
    first.wait(READY)
    assert asked(first) == one
    second.key("r")
    second.wait(f"{NUMBER} !== {two} || document.querySelector('#right').disabled")
    first.tap("#right")
    for page in (first, second):
        page.wait(SENT)
        assert page.errors == []
    served.stop()
    found = truths(tmp_path / "sessions" / "today")
    assert set(found) == {one, two}
    assert found[one]["by"] != found[two]["by"]


@pytest.mark.long
def test_labels_wait_while_the_run_is_dead_and_land_in_its_session(
    browser, served, tmp_path, digits_bundle, digits_video
):
    page = opened(browser, served.link)
    page.wait("document.querySelectorAll('#strip button').length >= 5")
    served.kill()
    frames = page.eval("""[...document.querySelectorAll("#strip button")].slice(0, 5).map(b => {
        b.click(); return Number(b.querySelector("img").alt.match(/\\d+/)[0]); })""")
    page.tap("#chosen-label")
    page.tap("#sheet-all button:nth-child(3)")
    page.wait("document.querySelector('#net').textContent === '✗ Away, 5 labels kept'")
    page.screenshot(tmp_path / "away.png")
    assert page.text("#health") == "The device does not answer."
    errors, page.errors = page.errors, []
    assert all("ERR_CONNECTION_REFUSED" in one or "ERR_" in one for one in errors)
    session = tmp_path / "sessions" / "today"
    assert truths(session) == {}
    arguments = [digits_bundle, "-s", digits_video[0], "--log", tmp_path / "sessions" / "later"]
    with Served(tmp_path, "run", *arguments, port=served.port) as again:
        page.wait(SENT, 120)
        page.wait(READY)
        again.stop()
    lines = session_events(session, "truth")
    assert sorted(event["frame"] for event in lines) == sorted(frames)  # each once
    assert {event["label"] for event in lines} == {"2"}
    assert truths(tmp_path / "sessions" / "later") == {}


@pytest.mark.long
def test_a_region_is_drawn_by_touch_and_the_next_run_uses_it(
    browser, served, tmp_path, digits_bundle, digits_video
):
    page = opened(browser, served.link)
    page.tap("#go-camera")
    page.wait("document.querySelector('#camera').naturalWidth > 0")
    box = page.wait("""(() => { const b = document.querySelector('#camera').getBoundingClientRect();
        return b.width > 50 && [b.x, b.y, b.width, b.height]; })()""")
    x, y, w, h = box
    at = [(0.25, 0.25), (0.4, 0.5), (0.6, 0.7), (0.75, 0.75)]
    page.touch([[x + a * w, y + b * h] for a, b in at])
    for degrees in (90, 180):
        page.tap("#rotate")
        page.wait(f"document.querySelector('#degrees').textContent === '{degrees}'")
    page.wait("document.querySelector('#sharp').textContent.includes('of best')")
    page.screenshot(tmp_path / "camera.png")
    page.tap("#save")
    page.wait("document.querySelector('#saved').textContent.startsWith('Saved in')")
    assert f"Saved in {tmp_path}/edgecnn.toml" in page.text("#saved")
    assert "rotate = 180" in (tmp_path / "edgecnn.toml").read_text()
    served.stop()
    arguments = ["digits.edgecnn", "-s", digits_video[0], "--log", tmp_path / "next"]
    with Served(tmp_path, "run", *arguments, "--max-frames", 5) as again:
        again.process.communicate(timeout=120)
    region = json.loads((tmp_path / "next" / "session.json").read_text())["regions"][0]
    assert region["rotate"] == 180
    wanted = [0.25 * 288, 0.25 * 352, 0.5 * 288, 0.5 * 352]
    assert region["region"] == pytest.approx(wanted, abs=4)
    assert page.errors == []


@pytest.mark.long
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_tab_fits_can_be_hit_and_is_accessible(browser, served, tmp_path, size):
    """axe-core, where AXE names its file, finds nothing serious in light and dark."""
    page = opened(browser, served.link, size)
    asked(page)
    assert (page.text("#name"), page.eval("document.title")) == ("hall", "edgecnn hall")
    page.wait("document.querySelectorAll('#strip button').length >= 4")
    axe = os.environ.get("AXE")
    for theme in ("light", "dark"):
        page.eval(f"document.querySelector('[data-theme-name={theme}]').click()")
        for tab in ("label", "camera", "status"):
            page.tap(f"#go-{tab}")
            page.wait(DRAWN[tab])
            assert page.eval(WIDE) <= 0
            assert page.eval(SMALL) == []
            page.screenshot(tmp_path / f"{tab}.png")
            if axe:
                page.eval(Path(axe).read_text() + "; 0")
                found = page.eval("""axe.run().then(r => r.violations.filter(
                    v => ["serious", "critical"].includes(v.impact)).map(
                    v => v.id + " " + v.nodes.map(n => n.html).join(" ").slice(0, 300)))""")
                assert found == []
    page.tap("#go-label")
    page.tap("#wrong")
    assert page.eval(SMALL) == []
    assert page.eval("document.activeElement.closest('dialog') !== null")
    page.key("Escape")
    page.wait("!document.querySelector('#sheet').open")
    assert page.errors == []
    address = served.link.partition("/#")[0]
    assert all(one.startswith((address, "blob:", "about:")) for one, _ in page.requests)


@pytest.mark.parametrize(
    "size", [*LANDSCAPE, PHONE, DESKTOP], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_every_button_can_be_hit_without_scrolling(browser, served, tmp_path, size):
    """A phone on its side shows the picture left and the buttons right."""
    page = opened(browser, served.link, size)
    asked(page)
    for name in ("verdict", "grid"):
        assert page.eval(COVERED) == []
        assert page.eval(SMALL.replace("< 64", "< 44")) == []
        assert max(page.eval(WIDE), page.eval(HIGH)) <= 0
        page.screenshot(tmp_path / f"{name}.png")
        view, hand = (
            page.eval(f"(b => [b.right, b.bottom])({one}.getBoundingClientRect())")
            for one in ("document.querySelector('.view')", "document.querySelector('#undo')")
        )
        assert (view[0] < hand[0] and view[1] >= hand[1] - 1) or size == PHONE
        if name == "verdict":
            page.tap("#blind")
            page.wait("!document.querySelector('#grid-box').hidden")
    assert page.errors == []


@pytest.mark.long
def test_pictures_come_at_most_five_a_second_and_none_when_hidden(browser, served):
    page = opened(browser, served.link)
    page.tap("#toggle-live")
    page.requests.clear()
    live: list[float] = []
    while len(live) < 12:
        rest(page, 200)
        live = [at for url, at in page.requests if "live.jpg" in url]
    assert (len(live) - 1) / (live[-1] - live[0]) <= 5
    size = page.eval(
        """(i => [i.naturalWidth, i.naturalHeight])(document.querySelector('#picture'))"""
    )
    assert max(size) <= 480
    page.eval("""Object.defineProperty(document, "hidden", {value: true});
        document.dispatchEvent(new Event("visibilitychange"))""")
    rest(page, 1000)  # what was asked before may still come
    page.requests.clear()
    rest(page, 2000)
    assert [url for url, _ in page.requests if ".jpg" in url] == []


def test_a_session_is_downloaded_as_a_zip(browser, served, tmp_path):
    page = opened(browser, served.link)
    page.tap("#go-status")
    page.wait("document.querySelectorAll('#sessions a').length === 1")
    page.wait("document.querySelector('#health').textContent.includes('frames a second')")
    path = page.eval("document.querySelector('#sessions a').getAttribute('href')")
    status, headers, body = Client(served.link).send("GET", path)
    assert (status, headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(BytesIO(body)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert {"today/session.json", "today/events.jsonl"} <= names
        assert len([name for name in names if name.startswith("today/frames/")]) > 3


def test_without_the_token_the_page_says_what_to_do(browser, served):
    page = browser.open(served.link.partition("#")[0])
    page.wait("!document.querySelector('#panel-enter').hidden")
    assert "run --show-link" in page.text("#enter-why")
    assert "401" in " ".join(page.errors)
    wrong = browser.open(served.link[:-3] + "xyz")
    wrong.wait("document.querySelector('#enter-why').textContent.includes('wrong token')")
