"""`tools/bench ages`: how old frames are when they are answered, by the time in their pixels.

A camera on loopback draws the time into each picture, 30 times a second; inference is slowed to
100 ms. What the run reports as age stands beside the true one. `--before` measures an older
commit of this repository in turns with this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from _free_port import free_port

REPO = Path(__file__).resolve().parents[1]
CAMERAS = REPO / "tests" / "device"
INFERENCE_S, SETTLED_S, SCENE_S = 0.1, 1.0, 1.0


def table(bundle: Path, before: str | None, seconds: float) -> Iterator[str]:
    """Rows of ages for MJPEG and RTSP, then how truth by time scored."""
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": REPO}
        if before is not None:
            trees = {before: unpacked(before, Path(folder)), **trees}
        head = "camera | edgecnn | frames | true age, ms: p50 | p95 | largest | reported p50 | p95"
        yield f"| {head} | reported - true, p50 |\n{'|---' * 9}|"
        for kind in ("mjpeg", "rtsp"):
            with camera(kind) as url:
                for name, tree in trees.items():
                    yield row(f"{kind} | {name}", read(tree, "ages", bundle, url, seconds))
        yield ""
        with camera("mjpeg") as url:
            found = read(REPO, "truth", bundle, url, 3 * seconds)
    yield (
        f"Truth by time, a scene of {SCENE_S:g} s each, {found['seconds']:.0f} s: "
        f"{found['scored']} frames scored, "
        f"{found['old']} of them against another label than that in the picture; "
        f"{found['guarded']} of {found['frames']} left out near a change.\n"
    )


def row(name: str, found: dict) -> str:
    true, said = np.array(found["true"]), np.array(found["reported"])
    figures = [*np.percentile(true, (50, 95)), true.max(), *np.percentile(said, (50, 95))]
    shown = " | ".join(f"{value:.0f}" for value in [*figures, np.median(said - true)])
    return f"| {name} | {len(true)} | {shown} |"


def unpacked(commit: str, folder: Path) -> Path:
    """The package as it was at a commit."""
    tree = folder / commit
    tree.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(REPO), "archive", commit, "edgecnn"], stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return tree


@contextmanager
def camera(kind: str) -> Iterator[str]:
    """The address of a camera whose pictures carry the time."""
    port = free_port()
    command, environment = [sys.executable, __file__, "serve", str(port)], dict(os.environ)
    if kind == "rtsp":
        command = ["/usr/bin/python3", str(CAMERAS / "rtsp_server.py"), str(port)]
        environment = {k: v for k, v in environment.items() if not k.startswith("PYTHON")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        scheme, path = ("rtsp", "cam") if kind == "rtsp" else ("http", "cam.mjpg")
        yield f"{scheme}://127.0.0.1:{port}/{path}"
    finally:
        process.kill()
        process.communicate()


def serve(port: int) -> None:
    """An MJPEG camera, in a process of its own."""
    sys.path.insert(0, str(CAMERAS))
    from mjpeg_server import mjpeg_server, picture

    with mjpeg_server(port=port, jpeg_of=lambda _number: picture(clock_ms())):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        time.sleep(1e6)


def read(tree: Path, what: str, bundle: Path, url: str, seconds: float) -> dict:
    done = subprocess.run(
        [sys.executable, __file__, what, str(bundle), url, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    return json.loads(done.stdout.splitlines()[-1])


def clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF


class Slowed:
    """Slows inference down and notes, of each frame, the time in its pixels and its true age."""

    def __init__(self) -> None:
        sys.path.insert(0, str(CAMERAS))
        from mjpeg_server import number_of

        try:
            from edgecnn.bundle.classifier import Classifier
        except ImportError:  # an older commit
            from edgecnn.classifier import Classifier
        self.stamps: list[int] = []
        self.ages: list[int] = []
        name = next(n for n in ("invoke", "answered", "timed") if hasattr(Classifier, n))
        real = getattr(Classifier, name)

        def slowed(classifier, frame_bgr, *more):
            time.sleep(INFERENCE_S)
            found = real(classifier, frame_bgr, *more)
            self.stamps.append(number_of(frame_bgr))
            self.ages.append(clock_ms() - self.stamps[-1])
            return found

        setattr(Classifier, name, slowed)


def run_slowed(bundle: str, url: str, seconds: float, **options) -> tuple[Slowed, list[dict], dict]:
    try:
        from edgecnn.device.run.run import RunOptions, run
    except ImportError:  # an older commit
        from edgecnn.device.loop import RunOptions, run
    slowed = Slowed()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "s"
        limit = round(seconds / INFERENCE_S)
        result = run(bundle, url, RunOptions(max_frames=limit, log=log, **options))
        lines = (log / "events.jsonl").read_text().splitlines()
    slowed.stamps, slowed.ages = slowed.stamps[-limit:], slowed.ages[-limit:]  # golden frames
    return slowed, list(map(json.loads, lines)), result.to_json()


def ages(bundle: str, url: str, seconds: float) -> dict:
    slowed, events, _ = run_slowed(bundle, url, seconds)
    said = [e.get("age", e.get("age_ms")) for e in events if e["event"] == "frame"]
    first = round(SETTLED_S / INFERENCE_S)
    return {"true": slowed.ages[first:], "reported": said[first:]}


def truth(bundle: str, url: str, seconds: float) -> dict:
    """Label each second by the clock, and compare with what the pixels say."""
    from edgecnn.bundle.folder import Bundle

    labels = Bundle.open(bundle).card.labels[:2]
    offset = time.time() - time.monotonic()
    begin = int(time.monotonic() / SCENE_S)
    with tempfile.TemporaryDirectory() as folder:
        plan, rows = Path(folder) / "truth.csv", ["start,end,label"]
        for k in range(begin, begin + round(seconds / SCENE_S) + 60):
            ends = (
                datetime.fromtimestamp(offset + t * SCENE_S, timezone.utc).isoformat()
                for t in (k, k + 1)
            )
            rows.append(",".join([*ends, labels[k % 2]]))
        plan.write_text("\n".join(rows) + "\n")
        slowed, events, result = run_slowed(bundle, url, seconds, truth=(str(plan),))
    frames = [e["frame"] for e in events if e["event"] == "frame"]
    shown = {
        frame: labels[int(stamp / 1000 / SCENE_S) % 2]
        for frame, stamp in zip(frames, slowed.stamps, strict=True)
    }
    given = {e["frame"]: e["label"] for e in events if e["event"] == "truth"}
    return {
        "seconds": seconds,
        "frames": len(frames),
        "scored": len(given),
        "old": sum(shown[frame] != label for frame, label in given.items()),
        "guarded": result["guarded"],
    }


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        work = {"ages": ages, "truth": truth}[sys.argv[1]]
        found = work(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        sys.stdout.write("\n" + json.dumps(found) + "\n")
