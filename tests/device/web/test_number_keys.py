"""Number keys on the labelling page in a real Chromium: a digit never gives another digit."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, DESKTOP, MOUSE, Chromium, Page
from served import Served, session_events

from edgecnn.device.run.run import RunOptions, run

pytestmark = [
    pytest.mark.env,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
ASKED = (
    "document.querySelector('#picture').src.startsWith('blob:') && "
    "!document.querySelector('#right').disabled && !document.querySelector('[data-new]')"
)
GRID = f"!document.querySelector('#grid-box').hidden && {ASKED}"
SHEET = "document.querySelector('#sheet').open"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# More classes than the sheet shows beside its suggestions.
MANY = """import("/net.js").then(({ device }) => {
    for (let k = 0; k < 20; k += 1) device.about.labels.push(`more ${k}`); })"""
HINT = "getComputedStyle({}, '::after').content"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(MOUSE) as chromium:
        yield chromium


@pytest.fixture
def images(tmp_path, digits_field) -> Path:
    """Forty images in one folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for k, path in enumerate(sorted(digits_field.rglob("*.png"))[:40]):
        shutil.copy(path, folder / f"{k}.png")
    return folder


@pytest.fixture
def session(tmp_path, images, digits_bundle) -> Path:
    run(digits_bundle, str(images), RunOptions(log=tmp_path / "session", keep_frames=40))
    return tmp_path / "session"


def opened(browser: Chromium, served: Served) -> Page:
    page = browser.open(served.link, DESKTOP)
    page.wait(ASKED)
    return page


def buttons(page: Page, box: str) -> list[str]:
    return page.eval(f"[...document.querySelectorAll('{box} button')].map(b => b.textContent)")


def grows(read: Callable[[], list[str | None]], length: int) -> str | None:
    """The newest of a list once it has this length."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if len(found := read()) >= length:
            assert len(found) == length
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(f"{read()}, expected {length}")


def given_to(session: Path) -> Callable[[], list[str | None]]:
    return lambda: [event["label"] for event in session_events(session, "truth")]


def journal(folder: Path) -> Callable[[], list[str | None]]:
    def read() -> list[str | None]:
        rows = csv.DictReader((folder / "labels.csv").read_text().splitlines())
        return [row["label"] for row in rows]

    return read


def names_of_buttons(page: Page) -> set[str]:
    """What a screen reader says."""
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    return {n["name"]["value"] for n in nodes if n.get("role", {}).get("value") == "button"}


def test_a_digit_key_gives_the_class_of_that_name_in_sheet_and_grid(browser, session, tmp_path):
    with Served(tmp_path, "label", session) as served:
        page = opened(browser, served)
        for count in range(1, 4):  # the first, second and third suggestion have other names
            page.wait(ASKED)
            page.key("w")
            page.wait(SHEET)
            offered = buttons(page, "#sheet-next")
            wanted = next(d for d in "123" if d not in offered or offered[int(d) - 1] != d)
            page.key(wanted)
            assert grows(given_to(session), count) == wanted
        page.wait(ASKED)
        page.key("w")
        page.wait(SHEET)
        others = buttons(page, "#sheet-all")  # few classes are all in view
        assert sorted(buttons(page, "#sheet-next") + others) == list("0123456789")
        assert page.eval("document.querySelector('#sheet-more').hidden")
        page.key(others[0])
        assert grows(given_to(session), 4) == others[0]
        page.wait(ASKED)
        page.key("b")
        page.wait(GRID)
        page.key("3")
        assert grows(given_to(session), 5) == "3"
        page.wait(GRID)
        page.key("0")
        assert grows(given_to(session), 6) == "0"
        assert page.eval("document.querySelectorAll('#grid [data-hint]').length") == 0
        assert page.errors == []


def test_where_classes_are_words_keys_go_by_position_and_the_buttons_show_them(
    browser, session, tmp_path
):
    head = json.loads((session / "session.json").read_text())
    head["card"]["labels"] = WORDS
    (session / "session.json").write_text(json.dumps(head))
    with Served(tmp_path, "label", session) as served:
        page = opened(browser, served)
        page.key("w")
        page.wait(SHEET)
        offered = buttons(page, "#sheet-next")
        for k, name in enumerate(offered, 1):
            button = f"document.querySelector('#sheet-next button:nth-child({k})')"
            assert page.eval(HINT.format(button)).startswith(f'"{k}"')
            said = page.eval(f"{button}.getAttribute('aria-keyshortcuts')")
            assert said == f"{k}"
            assert name in names_of_buttons(page)  # without the number
        page.key("2")
        assert grows(given_to(session), 1) == offered[1]
        page.wait(ASKED)
        page.key("w")
        page.wait(SHEET)
        offered = buttons(page, "#sheet-next")
        page.key("4")  # the first of those below them
        assert grows(given_to(session), 2) == next(n for n in WORDS if n not in offered)
        page.wait(ASKED)
        page.eval(MANY)
        page.key("w")
        page.wait(SHEET)
        assert page.eval("document.querySelector('#sheet-all').hidden")
        page.tap("#sheet-more")
        assert len(buttons(page, "#sheet-all")) == 30
        page.key("2")
        assert grows(given_to(session), 3) == "one"
        page.wait(ASKED)
        page.key("b")
        page.wait(GRID)
        assert buttons(page, "#grid") == list(WORDS)
        page.key("2")
        assert grows(given_to(session), 4) == "one"
        assert page.errors == []


def test_chosen_digits_keep_their_keys_and_others_take_what_is_left(browser, images, tmp_path):
    out = tmp_path / "out"
    chosen = ("--classes", "7", "--classes", "3", "--classes", "blank")
    with Served(tmp_path, "label", images, "-o", out, *chosen) as served:
        page = opened(browser, served)
        for count, (key, name) in enumerate((("3", "3"), ("7", "7"), ("1", "blank")), 1):
            page.wait(GRID)
            page.key("2")  # there is no class of that name and no other without a key
            page.key(key)
            assert grows(journal(out), count) == name
        page.wait(GRID)
        page.tap("#grid-add")
        page.wait(SHEET)
        page.eval("document.querySelector('#sheet-name').focus()")
        page.key("7")  # types the name of a class, and gives none
        page.wait("document.querySelector('#sheet-name').value === '7'")
        page.eval("document.querySelector('#sheet-name').value = '1'")
        page.tap("#sheet-new button")
        assert grows(journal(out), 4) == "1"
        page.wait(GRID)
        page.key("1")  # now the name of a class
        assert grows(journal(out), 5) == "1"
        page.wait(GRID)
        page.key("2")
        assert grows(journal(out), 6) == "blank"
        page.wait(GRID)
        page.tap("#grid-add")
        page.wait(SHEET)
        page.key("3")
        assert grows(journal(out), 7) == "3"
        page.wait("document.querySelector('#labels-line').textContent === '33 frames are left.'")
        assert page.errors == []
