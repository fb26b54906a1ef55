"""The token's file, the cookie, the mark on writes, the Host header, and how often one may try."""

from __future__ import annotations

import os
import re

import cv2
import numpy as np
import pytest

from edgecnn.device.web.door.access import Access, RateLimit, load_secret
from edgecnn.device.web.door.address import WebAddress, link, parse_address, qr_text
from edgecnn.device.web.door.shown_link import last_link
from edgecnn.errors import OptionError, OutputError

HERE = WebAddress("127.0.0.1", 8080)


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_token_stays_the_same_and_only_its_owner_can_read_it(tmp_path):
    file = tmp_path / "deep" / "web.json"
    first = load_secret(file, "0.0.0.0:8080")
    assert len(first.token) >= 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_secret(file) == first
    assert load_secret(file, "127.0.0.1:1").token == first.token
    assert load_secret(file).address == "127.0.0.1:1"


@pytest.mark.parametrize("spoil", ["open to others", "torn", "short"])
def test_a_token_that_others_may_know_is_replaced(tmp_path, spoil):
    file = tmp_path / "web.json"
    first = load_secret(file, "a:1")
    if spoil == "open to others":
        file.chmod(0o644)
    else:
        file.write_text(file.read_text()[:20] if spoil == "torn" else '{"token": "abc"}')
    assert load_secret(file).token not in (first.token, "abc")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_hold_the_token_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't keep the page's token in"):
        load_secret(tmp_path / "file" / "web.json")


def test_a_cookie_is_known_until_it_is_changed_or_old():
    clock = _Clock()
    access = Access("t" * 43, HERE, clock)
    cookie = access.new_cookie()
    assert access.knows_cookie(cookie)
    assert Access("t" * 43, HERE, clock).knows_cookie(cookie)  # after a restart
    assert not Access("u" * 43, HERE, clock).knows_cookie(cookie)
    for k in range(len(cookie)):
        other = cookie[:k] + ("0" if cookie[k] != "0" else "1") + cookie[k + 1 :]
        assert not access.knows_cookie(other)
    assert not any(map(access.knows_cookie, (None, "", ".", "a.b.c", cookie + "x", "é.1.2")))
    clock.now += access.cookie_s + 1
    assert not access.knows_cookie(cookie)


def test_a_mark_belongs_to_one_cookie():
    access = Access("t" * 43, HERE)
    first, second = access.new_cookie(), access.new_cookie()
    assert first != second
    assert access.knows_mark(first, access.mark(first))
    assert not access.knows_mark(second, access.mark(first))
    assert not any(access.knows_mark(first, mark) for mark in (None, "", first, "é"))


def test_only_the_token_lets_in():
    access = Access("t" * 43, HERE)
    assert access.knows_token("t" * 43)
    assert not any(map(access.knows_token, ("", "t" * 42, "t" * 44, "é" * 43, "T" * 43)))


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8080", True),
        ("192.168.4.1", True),
        ("[::1]:8080", True),
        ("[fe80::1]", True),
        ("localhost:8080", True),
        ("camera.shed", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("", False),
        (":8080", False),
    ],
)
def test_a_host_that_another_site_may_rebind_is_unknown(host, known):
    assert Access("t" * 43, WebAddress("camera.shed", 8080)).knows_host(host) == known


def test_a_rate_is_limited_for_each_address_and_recovers():
    clock = _Clock()
    limit = RateLimit(burst=3, a_second=1, now=clock)
    assert [limit.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("b")
    clock.now += 2
    assert [limit.allows("a") for _ in range(3)] == [True, True, False]
    for k in range(5000):
        limit.allows(str(k))
    assert len(limit._left) <= 1000


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("8000", "127.0.0.1", 8000),
        (":8000", "127.0.0.1", 8000),
        ("0.0.0.0", "0.0.0.0", 8080),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("pi.local:81", "pi.local", 81),
        ("[::]:82", "::", 82),
        ("::1", "::1", 8080),
    ],
)
def test_an_address_is_a_port_a_host_or_both(text, host, port):
    assert parse_address(text) == WebAddress(host, port)


def test_a_host_alone_gets_the_port_of_its_command():
    assert parse_address("pi.local", 8090) == WebAddress("pi.local", 8090)
    assert parse_address("::1", 8090) == WebAddress("::1", 8090)
    assert parse_address("pi.local:81", 8090).port == 81
    with pytest.raises(OptionError, match=r"expected a port \(8090\), or host:port such as 0\."):
        parse_address("no/where", 8090)


@pytest.mark.parametrize("text", ["0", "70000", "a b:80", "host:port", "http://a:80", ""])
def test_another_form_is_no_address(text):
    with pytest.raises(OptionError, match="--web"):
        parse_address(text)


def test_the_code_in_the_terminal_reads_as_the_link():
    text = link(WebAddress("192.168.4.1", 8080), "abcDEF_-0123456789" * 2)
    rows = re.sub(r"\x1b\[[0-9;]*m", "", qr_text(text)).splitlines()
    bright = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    modules = np.array([[bright[c][half] for c in row] for row in rows for half in (0, 1)])
    picture = np.kron(modules * 255, np.ones((8, 8))).astype(np.uint8)
    picture = np.pad(picture, 32, constant_values=255)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == text


def test_the_last_link_is_shown_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGECNN_WEB_SECRET", str(tmp_path / "web.json"))
    with pytest.raises(OptionError, match="no page was served yet"):
        last_link(None)
    token = load_secret(tmp_path / "web.json", "10.0.0.7:8080").token
    assert last_link(None).link == f"http://10.0.0.7:8080/#{token}"
    assert last_link("localhost:9").link == f"http://localhost:9/#{token}"
    assert os.environ["EDGECNN_WEB_SECRET"]
