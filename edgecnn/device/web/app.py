"""The page's routes: what each request gets. Who may ask is decided in guard.py."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.device.web.desk import Desk, Look
from edgecnn.device.web.door.access import Access, RateLimit
from edgecnn.device.web.door.guard import App, Guard, read_cookie
from edgecnn.device.web.given import GivenLabel
from edgecnn.device.web.shelf import zip_stream
from edgecnn.errors import EdgecnnError
from edgecnn.records import Json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["make_app", "open_paths"]

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MOST_LABELS = 200
_LOOK = "x-edgecnn-look"
_ANSWER = ("answer", "confidence", "next")  # what blind mode hides


def make_app(desk: Desk, access: Access) -> App:
    """The ASGI application over a desk."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    routes = _Routes(desk, access)
    reads: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
        "/": routes.page,
        "/{file}": routes.page,
        "/api/about": routes.about,
        "/api/state": routes.state,
        "/api/question": routes.question,
        "/api/frames/{frame:int}.jpg": routes.picture,
        "/api/strip": routes.strip,
        "/api/live.jpg": routes.live,
        "/api/camera.jpg": routes.camera,
        "/api/lab/{label:int}.jpg": routes.reference,
        "/api/sessions": routes.sessions,
        "/api/sessions/{name}.zip": routes.download,
    }
    writes = {
        "/api/enter": routes.enter,
        "/api/labels": routes.labels,
        "/api/view": routes.view,
        "/api/classes": routes.classes,
    }
    app = Starlette(
        routes=[
            *(Route(path, function, methods=["GET"]) for path, function in reads.items()),
            *(Route(path, function, methods=["POST"]) for path, function in writes.items()),
        ]
    )
    return Guard(app, access)


def open_paths() -> set[str]:
    """What strangers may ask for: the page's own files, and the entry."""
    return {"/", "/api/enter", *(f"/{path.name}" for path in PAGE.iterdir() if path.is_file())}


class _Routes:
    def __init__(self, desk: Desk, access: Access) -> None:
        self._desk, self._access = desk, access
        self._tries = RateLimit(burst=10, a_second=0.2)
        self._files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.is_file()}

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("file", "index.html")
        if name not in self._files:
            return _line(HTTPStatus.NOT_FOUND, "no such file")
        return _reply(self._files[name], _TYPES[Path(name).suffix])

    async def enter(self, request: Request) -> Response:
        """The token for a cookie, and a mark that writes must carry."""
        address = request.client.host if request.client else ""
        data = await _json_of(request)
        if not self._tries.allows(address, cost=0):
            return _line(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens; wait a minute")
        token = data.get("token") if isinstance(data, dict) else None
        if not isinstance(token, str) or not self._access.knows_token(token):
            self._tries.allows(address)
            return _line(HTTPStatus.UNAUTHORIZED, "a wrong token; scan the code again")
        cookie, access = self._access.new_cookie(), self._access
        reply = _json({"mark": access.mark(cookie)})
        reply.set_cookie(
            access.cookie, cookie, max_age=access.cookie_s, httponly=True, samesite="strict"
        )
        return reply

    async def about(self, request: Request) -> Response:
        cookie = read_cookie(request.headers.get("cookie", ""), self._access.cookie)
        return _json({**self._desk.about(), "mark": self._access.mark(cookie or "")})

    async def state(self, _: Request) -> Response:
        return _json(self._state())

    async def question(self, request: Request) -> Response:
        person = request.query_params.get("by", "")[:40]
        found = self._desk.question(person)
        return _json({"question": found and _veiled(found, request)})

    async def picture(self, request: Request) -> Response:
        return _jpeg(self._desk.picture(request.path_params["frame"]))

    async def strip(self, request: Request) -> Response:
        return _json({"strip": [_veiled(one, request) for one in self._desk.strip()]})

    async def live(self, request: Request) -> Response:
        look = self._desk.live()
        return _look(look and Look(look.jpeg, _veiled(look.about, request)))

    async def camera(self, _: Request) -> Response:
        return _look(self._desk.camera())

    async def reference(self, request: Request) -> Response:
        return _jpeg(self._desk.reference(request.path_params["label"]))

    async def labels(self, request: Request) -> Response:
        """Take labels: the ids that are done, those that can't be used and why, what the model had
        said of those that were given blind, and why the others can't be kept now (`later`).
        """
        data = await _json_of(request)
        sent = data.get("labels") if isinstance(data, dict) else None
        if not isinstance(sent, list) or len(sent) > _MOST_LABELS:
            return _line(HTTPStatus.BAD_REQUEST, f"expected labels: at most {_MOST_LABELS}")
        labels: list[GivenLabel] = []
        refused: list[Json] = []
        for one in sent:  # the others don't wait for one that can never be taken
            try:
                labels.append(GivenLabel.read(one))
            except ValueError as error:
                name = one.get("id") if isinstance(one, dict) else None
                name = name if isinstance(name, str) else None
                refused.append({"id": name, "why": f"a broken label: {error}"})
        answers = {one.id: self._desk.answer(one) for one in labels if one.was_blind}
        if self._desk.takes_long(labels):
            kept = await asyncio.to_thread(self._give_each, labels)
        else:  # at once: a page asks for the next frame while its label is on the way
            kept = self._give_each(labels)
        refused += [{"id": given.id, "why": why} for given, why, _ in kept if why is not None]
        done = [given.id for given, why, later in kept if why is None and later is None]
        said = {one: answers[one] for one in done if answers.get(one) is not None}
        later = next((later for *_, later in kept if later is not None), None)
        reply = {"done": done, "refused": refused, "said": said, "later": later}
        return _json({**reply, "state": self._state()})

    def _give_each(
        self, labels: Sequence[GivenLabel]
    ) -> list[tuple[GivenLabel, str | None, str | None]]:
        """Each label, why it can't be used, and why it can't be kept now: a full disk."""
        kept: list[tuple[GivenLabel, str | None, str | None]] = []
        for given in labels:
            try:
                kept.append((given, self._desk.give([given])[0], None))
            except EdgecnnError as error:  # the page keeps it and sends it again
                kept.append((given, None, str(error)))
        return kept

    def _state(self) -> Json:
        """With this machine's clock, by which labels are timed: a phone's may be wrong."""
        return {**self._desk.state(), "time": round(time.time() * 1000)}

    async def view(self, request: Request) -> Response:
        data = await _json_of(request)
        view = data if isinstance(data, dict) else {}
        region, rotate = view.get("region"), view.get("rotate")
        four = isinstance(region, list) and len(region) == 4 and all(map(_is_whole, region))
        if not (region is None or four) or not isinstance(rotate, int):
            return _line(HTTPStatus.BAD_REQUEST, "expected region: [x, y, w, h] and rotate")
        try:
            return _json(self._desk.save_view(tuple(region) if region else None, rotate))
        except EdgecnnError as error:
            return _line(HTTPStatus.BAD_REQUEST, str(error))

    async def classes(self, request: Request) -> Response:
        data = await _json_of(request)
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str):
            return _line(HTTPStatus.BAD_REQUEST, "expected the name of a class")
        if why := self._desk.add_class(name.strip()):
            return _line(HTTPStatus.BAD_REQUEST, f"This can't be a class: {why}")
        return _json(self._desk.about())

    async def sessions(self, _: Request) -> Response:
        return _json({"sessions": await asyncio.to_thread(self._desk.sessions)})

    async def download(self, request: Request) -> Response:
        from starlette.responses import StreamingResponse

        name = request.path_params["name"]
        folder = self._desk.session_folder(name)
        if folder is None:
            return _line(HTTPStatus.NOT_FOUND, "no such session")
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
        disposition = f'attachment; filename="{plain}.zip"'
        return StreamingResponse(
            zip_stream(folder),
            media_type="application/zip",
            headers={"content-disposition": disposition},
        )


def _veiled(about: Json, request: Request) -> Json:
    """What to say of a frame: nothing of the model's answer to a page in blind mode."""
    hidden = _ANSWER if request.query_params.get("veil") == "1" else ()
    return {key: value for key, value in about.items() if key not in hidden}


async def _json_of(request: Request) -> Any:
    """The body as JSON; None where it is none."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        return None


def _json(data: Json) -> Response:
    return _reply(json.dumps(data, separators=(",", ":")).encode(), "application/json")


def _jpeg(data: bytes | None) -> Response:
    if data is None:
        return _reply(b"", "text/plain", HTTPStatus.NO_CONTENT)  # no error: a frame may be gone
    return _reply(data, "image/jpeg")


def _look(look: Look | None) -> Response:
    """A picture, and what to know of it in a header (ASCII: JSON escapes the rest)."""
    if look is None:
        return _jpeg(None)  # no frame yet
    reply = _jpeg(look.jpeg)
    reply.headers[_LOOK] = json.dumps(look.about, separators=(",", ":"))
    return reply


def _line(status: HTTPStatus, why: str) -> Response:
    return _reply(f"{why}\n".encode(), "text/plain; charset=utf-8", status)


def _reply(body: bytes, media_type: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    from starlette.responses import Response

    return Response(body, int(status), media_type=media_type)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
