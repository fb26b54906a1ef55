"""Without the token nobody sees a frame or writes a label, and odd requests end in one line."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import ExitStack, suppress

import pytest
from served import Client, label_item

from edgecnn.device.web.given import GivenLabel
from edgecnn.device.web.server import PageServer
from edgecnn.errors import OutputError

PATHS = ["/api/about", "/api/state", "/api/question?by=a", "/api/frames/3.jpg", "/api/strip"]
PATHS += ["/api/live.jpg", "/api/camera.jpg", "/api/lab/0.jpg", "/api/sessions"]
PATHS += ["/api/sessions/session.zip"]
TRAVERSALS = ["/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd"]
TRAVERSALS += ["//etc/passwd", "/page/../access.py", "/access.py", "/%00", "/" + "a" * 4000]
TRAVERSALS += ["/api/sessions/..%2f..%2fsecret.zip", "/api/sessions/%2e%2e.zip", "/.", "/%2e"]


def stranger(server: PageServer, method: str, path: str, body: bytes | None = None, **headers):
    """(status, body) of a request without a cookie."""
    address = server.link.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data


@pytest.mark.parametrize("path", PATHS)
def test_a_guest_sees_what_a_stranger_does_not(place, path):
    _hub, server = place
    for cookie in ("", "edgecnn_1=x", "edgecnn_8080=a.9999999999.b", "=", "\x7f;;"):
        status, body = stranger(server, "GET", path, Cookie=cookie)
        assert (status, body) == (401, b"open the link with the token (run --show-link)\n")
    client = Client(server.link)
    status, headers, body = client.send("GET", path)
    assert status in (200, 204, 404)
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "access-control-allow-origin" not in headers
    if path.endswith(".jpg") and status == 200:
        assert body.startswith(b"\xff\xd8")


def test_a_cookie_is_out_of_reach_of_scripts_and_of_other_sites(place):
    _, server = place
    client = Client(server.link)
    _, headers, _ = client.send("POST", "/api/enter", {"token": client.token})
    parts = {part.strip().lower() for part in headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= parts


def test_the_token_is_in_no_url_that_is_sent(place):
    _, server = place
    assert "?" not in server.link
    assert server.link.index("#") < server.link.index(Client(server.link).token)


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_page(place, path):
    _, server = place
    client = Client(server.link)
    status, _, body = client.send("GET", path)
    assert status in (400, 404)
    assert len(body) < 100


def test_wrong_tokens_are_few_and_the_right_one_still_works_for_others(place):
    _, server = place
    origin = {"Origin": server.link.partition("/#")[0], "Content-Type": "application/json"}
    found = [
        stranger(
            server, "POST", "/api/enter", json.dumps({"token": f"{k}" * 43}).encode(), **origin
        )
        for k in range(30)
    ]
    assert [status for status, _ in found].count(401) <= 11
    assert found[-1][0] == 429
    assert all(b"\xff\xd8" not in body for _, body in found)


BAD_WRITES = {
    "no origin": ({"Origin": "null"}, 403),
    "another origin": ({"Origin": "http://evil.example"}, 403),
    "another port": ({"Origin": "http://127.0.0.1:1"}, 403),
    "cross-site fetch": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "text": ({"Content-Type": "text/plain"}, 415),
    "no mark": ({"X-Edgecnn-Mark": ""}, 403),
    "another mark": ({"X-Edgecnn-Mark": "0" * 64}, 403),
    "another name": ({"Host": "evil.example"}, 421),
    "huge": ({"Content-Length": "9999999"}, 413),
    "no length": ({"Content-Length": "x"}, 400),
}


@pytest.mark.parametrize("case", BAD_WRITES)
def test_a_write_that_is_not_the_pages_own_changes_nothing(place, case):
    hub, server = place
    headers, expected = BAD_WRITES[case]
    client = Client(server.link)
    item = label_item("run-1", 3, "1")
    # The server closes without reading what it refuses, so a client may meet a reset instead.
    with suppress(ConnectionResetError):
        status, _, _ = client.send("POST", "/api/labels", {"labels": [item]}, **headers)
        assert status == expected
    assert hub.take() == ()
    assert client.__class__(server.link).give(item)["done"] == [item["id"]]
    assert [event.frame for event in hub.take()] == [3]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        "x",
        [label_item("run-1", 3, "1")] * 201,
    ],
    ids=("null", "object", "text", "many"),
)
def test_a_body_that_is_no_list_of_labels_is_refused(place, labels):
    hub, server = place
    status, _, body = Client(server.link).send("POST", "/api/labels", {"labels": labels})
    assert status == 400
    assert body.count(b"\n") == 1
    assert hub.take() == ()


def test_a_broken_label_is_refused_by_name_and_the_others_are_taken(place):
    hub, server = place
    good = [label_item("run-1", 3, "1"), label_item("run-1", 4, "1")]
    broken = [
        None,
        {"id": "a"},
        {"id": [float("nan")]},
        label_item("run-1", -1, "1"),
        label_item("run-1", 3, "<script>\n</script>"),
        label_item("run-1", 3, "1", last=10**9),
    ]
    found = Client(server.link).give(good[0], *broken, good[1])
    assert found["done"] == [one["id"] for one in good]
    names = [None, "a", None, *(one["id"] for one in broken[3:])]
    assert [one["id"] for one in found["refused"]] == names
    assert all(one["why"].startswith("a broken label: ") for one in found["refused"])
    assert [event.frame for event in hub.take()] == [3, 4]


def test_a_label_that_cannot_be_kept_now_holds_up_no_other(place, monkeypatch):
    hub, server = place

    def full(_: GivenLabel) -> bool:
        raise OutputError("the disk is full")

    monkeypatch.setattr(hub._shelf, "give", full)
    old, new = label_item("run-0", 3, "1"), label_item("run-1", 3, "1")
    found = Client(server.link).give(old, new)
    assert (found["done"], found["refused"]) == ([new["id"]], [])
    assert found["later"] == "the disk is full"
    assert [event.frame for event in hub.take()] == [3]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(place, method):
    _, server = place
    assert Client(server.link).send(method, "/api/labels")[0] == 405


def test_what_no_class_run_or_frame_fits_is_refused_by_name(place):
    hub, server = place
    client = Client(server.link)
    items = [
        label_item("run-1", 3, "<img src=x onerror=alert(1)>"),
        label_item("run-1", 500, "1"),
        label_item("run-0", 3, "1"),
        label_item("run-1", 4, "1"),
    ]
    found = client.give(*items)
    assert [one["id"] for one in found["refused"]] == [item["id"] for item in items[:3]]
    assert found["done"] == [items[3]["id"]]
    assert client.give(items[3])["done"] == [items[3]["id"]]  # sent again
    assert [(event.frame, event.label) for event in hub.take()] == [(4, "1")]


def test_a_slow_or_silent_connection_is_cut_and_others_are_served(place, monkeypatch):
    """Two hundred at once: most are refused, and those that stay silent are closed."""
    monkeypatch.setattr("edgecnn.device.web.server._HEAD_S", 3.0)
    _, server = place
    client = Client(server.link)
    client.get("/api/state")
    host, port = client.host.split(":")
    with ExitStack() as stack:
        lines = []
        for k in range(200):
            line = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            line.sendall(b"GET / HTTP/1.1\r\nHost: x" if k % 2 else b"")
            lines.append(line)
        assert client.get("/api/state")["run"] == "run-1"
        for line in lines:
            try:
                while line.recv(1000):
                    pass
            except ConnectionError:
                pass  # cut off, as it should be
        assert client.get("/api/state")["run"] == "run-1"


def test_a_huge_head_and_nonsense_get_a_short_answer(place):
    _, server = place
    host, port = server.link.removeprefix("http://").partition("/")[0].split(":")
    for data in (b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000, b"\0" * 1000, b"GET\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=60) as line:
            try:
                line.sendall(data)
                answer = line.recv(10_000)
            except ConnectionError:
                answer = b""
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert Client(server.link).get("/api/state")


def test_a_body_without_an_end_is_cut(place, monkeypatch):
    """It says 60,000 bytes and sends ten: the request ends by itself."""
    monkeypatch.setattr("edgecnn.device.web.door.guard._REQUEST_S", 3.0)
    hub, server = place
    client = Client(server.link)
    host, port = client.host.split(":")
    head = f"POST /api/labels HTTP/1.1\r\nHost: {client.host}\r\nOrigin: http://{client.host}\r\n"
    head += f"Cookie: {client.cookie}\r\nX-Edgecnn-Mark: {client.mark}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(head.encode() + b'{"labels":')
        with suppress(ConnectionError):
            assert not line.recv(1000).startswith(b"HTTP/1.1 200")
    assert hub.take() == ()


def test_strangers_that_hold_all_their_connections_keep_no_guest_out(place):
    _, server = place
    client = Client(server.link)
    host, port = client.host.split(":")
    with ExitStack() as stack:
        for _ in range(100):
            line = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            line.sendall(b"GET / HTTP/1.1\r\nHost: x")
        for _ in range(5):  # each on a connection of its own
            assert stranger(server, "GET", "/api/state", Cookie=client.cookie)[0] == 200


def test_requests_that_were_turned_away_leave_room_for_somebody_with_the_link(place):
    _, server = place
    for _ in range(100):
        assert stranger(server, "GET", "/api/live.jpg")[0] == 401
    assert stranger(server, "GET", "/")[0] == 200
    assert Client(server.link).get("/api/state")["run"] == "run-1"


def test_one_who_hammers_the_page_is_told_to_wait_and_guests_are_served(place):
    _, server = place
    client = Client(server.link)
    assert any(stranger(server, "GET", "/main.js?x=1")[0] == 429 for _ in range(1000))
    assert client.get("/api/state")["run"] == "run-1"


@pytest.mark.parametrize("size", [10, 60_000])
def test_a_stranger_whose_body_comes_late_still_reads_the_answer(place, size):
    _, server = place
    host, port = server.link.removeprefix("http://").partition("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(f"POST /api/labels HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode())
        answer = line.recv(100)
        line.sendall(b"x" * size)
        while part := line.recv(10_000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\ncontent-security-policy: default-src 'none';" in answer
    assert answer.endswith(b"\r\n\r\nopen the link with the token (run --show-link)\n")


def test_a_head_that_comes_in_pieces_is_answered(place):
    _, server = place
    client = Client(server.link)
    host, port = client.host.split(":")
    head = f"GET /api/state HTTP/1.1\r\nHost: {client.host}\r\nCookie: {client.cookie}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(head[:20].encode())
        stranger(server, "GET", "/")  # the pieces come apart
        line.sendall(head[20:].encode())
        assert line.recv(100).startswith(b"HTTP/1.1 200 OK")
