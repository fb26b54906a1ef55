"""Undo and the end of a labelling, in a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, DESKTOP, MOUSE, Chromium, Page
from served import Served, session_events

from edgecnn.audit.audit import audit
from edgecnn.device.run.run import RunOptions, run

pytestmark = [
    pytest.mark.env,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
ORIGIN = "document.querySelector('#origin').textContent"
ASKED = f"{ORIGIN}.startsWith('Random') && !document.querySelector('#right').disabled"
SEEN = "!document.querySelector('[data-new]')"
SENT = "document.querySelector('#net').textContent === '✓ Connected'"
LEFT = "document.querySelector('#health').textContent"
DONE = "document.querySelector('#empty').textContent === 'Every frame has its label.'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(MOUSE) as chromium:
        yield chromium


@pytest.fixture
def session(tmp_path, digits_field, digits_bundle) -> Path:
    """Eight kept pictures."""
    images = tmp_path / "images"
    images.mkdir()
    for k, path in enumerate(sorted(digits_field.rglob("*.png"))[:8]):
        shutil.copy(path, images / f"{k}.png")
    run(digits_bundle, str(images), RunOptions(log=tmp_path / "session", keep_frames=40))
    return tmp_path / "session"


def press(page: Page, key: str) -> None:
    """Press a key, and wait for the next frame and until the label has arrived."""
    page.wait(f"{ASKED} && {SEEN}")
    before = page.eval(ORIGIN)
    page.key(key)
    page.wait(f"({DONE} || {ORIGIN} !== '{before}') && {SENT}")


def test_what_is_undone_has_no_label_and_the_end_is_said(browser, session):
    with Served(session.parent, "label", session) as served:
        page = browser.open(served.link, DESKTOP)
        for key in "rrrruuuu":
            press(page, key)
        assert {event.get("blind") for event in session_events(session, "truth")} == {False, None}
        page.wait(f"{LEFT} === '0 labelled, 0 can\\'t tell, 8 left.'")
        assert not any("nobody can tell" in note for note in audit([session]).notes)
        for _ in range(8):
            press(page, "r")
        page.wait(f"{DONE} && !document.querySelector('#empty').hidden")
        for hidden in ("#picture", "#verdict", "#grid-box"):
            assert page.eval(f"document.querySelector('{hidden}').hidden")
        page.wait("!document.querySelector('#outlook').textContent.includes('more random')")
        page.key("u")
        page.wait(ASKED)
        press(page, "r")
        page.wait(f"{LEFT} === '8 labelled, 0 can\\'t tell, 0 left.'")
        assert page.errors == []
        assert served.stop()["cant_tell"] == 0
    notes = audit([session]).notes
    assert any("8 of 8 labels of people were given" in note for note in notes)
