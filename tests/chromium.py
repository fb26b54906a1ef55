"""A real Chromium, driven through its debugging pipe: no package is needed for it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
PHONE, DESKTOP = (390, 844), (1280, 800)


# A browser without a screen finds no mouse, and so hides what only people with one need.
MOUSE = (
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,"
    "primaryPointerType=4,availablePointerTypes=4"
)


class Chromium:
    """One browser process; `open` makes pages that share nothing."""

    def __init__(self, *more: str) -> None:
        self._profile = tempfile.TemporaryDirectory()
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage"
        flags += " --disable-background-networking --disable-component-update --disable-sync"
        flags += f" --remote-debugging-pipe --user-data-dir={self._profile.name}"
        # The browser reads commands from file 3 and answers into file 4.
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD, 64) for one in (to_read, to_write)]
        self._process = subprocess.Popen(
            [str(CHROMIUM), *flags.split(), *more, "about:blank"],
            close_fds=False,
            preexec_fn=lambda: [os.dup2(one, k) for k, one in enumerate(ends, 3)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in (to_read, to_write, *ends):
            os.close(one)
        self._rest, self._number = b"", 0
        self.pages: dict[str, Page] = {}

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        try:
            self._profile.cleanup()
        except OSError:  # a helper process of the browser still writes there
            time.sleep(1)
            self._profile.cleanup()

    def open(self, url: str, size: tuple[int, int] = PHONE) -> Page:
        context = self.call("Target.createBrowserContext")["browserContextId"]
        made = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        page = self.pages[attached["sessionId"]] = Page(self, attached["sessionId"], size)
        page.go(url)
        return page

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Send a command and wait for its result; events go to their pages."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read(120)
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return found["result"]
            self._event(found)

    def _event(self, found: dict[str, Any]) -> None:
        page = self.pages.get(found.get("sessionId", ""))
        if page is not None and "method" in found:
            page.heard(found["method"], found["params"])

    def _read(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], seconds)
            assert ready, "Chromium does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "Chromium ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)


class Page:
    """A page; `errors` holds what a person would see in its console."""

    def __init__(self, browser: Chromium, session: str, size: tuple[int, int]) -> None:
        self._browser, self._session = browser, session
        self.errors: list[str] = []
        self.requests: list[tuple[str, float]] = []  # (address, when in seconds)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        phone = size[0] < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self._phone = phone

    def call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, self._session, **params)

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        loaded = "document.readyState === 'complete' && location.href !== 'about:blank'"
        self.wait(f"{loaded} && document.body !== null")

    def reload(self) -> None:
        self.eval("window.before = 1")
        self.call("Page.reload")
        self.wait("document.readyState === 'complete' && window.before === undefined")

    def heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"])[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append((params["request"]["url"], params["timestamp"]))

    def eval(self, script: str) -> Any:
        found = self._evaluate(script)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """Wait until a JavaScript expression holds; its value."""
        end, found = time.monotonic() + seconds, {}
        while time.monotonic() < end:
            found = self._evaluate(condition)  # it may fail while the page loads anew
            if "exceptionDetails" not in found and found["result"].get("value"):
                return found["result"]["value"]
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {condition}; {found}; {self.errors}")

    def _evaluate(self, script: str) -> dict[str, Any]:
        options = {"returnByValue": True, "awaitPromise": True}
        return self.call("Runtime.evaluate", expression=script, **options)

    def text(self, selector: str) -> str:
        return self.eval(f"document.querySelector({json.dumps(selector)}).textContent.trim()")

    def tap(self, selector: str) -> None:
        """Touch (or click) the middle of an element that is in view, until the page hears it.

        Chromium drops the click of a touch that a busy page answers late; a person taps again.
        """
        for _ in range(5):
            at = self.wait(
                f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
                if (!e || e.disabled || e.closest("[data-new], [inert]")) return null;
                e.scrollIntoView({{block: "nearest", inline: "nearest"}});
                const b = e.getBoundingClientRect(); if (!b.width) return null;
                window.clicks = 0;
                addEventListener("click", () => window.clicks++, {{capture: true, once: true}});
                return [b.x + b.width / 2, b.y + b.height / 2]; }})()"""
            )
            self._press(at)
            with suppress(AssertionError):
                self.wait("window.clicks > 0", 10)
                return
        raise AssertionError(f"{selector} hears no click; {self.errors}")

    def _press(self, at: list[float]) -> None:
        if self._phone:
            self.touch([at])
            return
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": at[0], "y": at[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def touch(self, points: list[list[float]]) -> None:
        """Put a finger down at the first point, move it through the others, and lift it."""
        for k, (x, y) in enumerate(points):
            kind = "touchMove" if k else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key: str) -> None:
        code = {"Escape": 27}.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
            more = {"windowsVirtualKeyCode": code, **text}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **more)

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
