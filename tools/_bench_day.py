"""`tools/bench day`: a day of ten frames a second in fast motion, through the loop and its log.

The camera, the model and the clock are made up; all else is what `run` uses: the loop, the log's
thread, the keeper of pictures, decisions and outputs. Each case runs in a process of its own.
fsync is counted and not done.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

from _free_port import free_port

FPS, HOUR = 10, 36_000
# The log may fall behind by less than the 3 s of the made-up clock that it may not answer.
MOST_WAITING, SCRAPE_S = 16, 0.5
CASES = {
    "10 classes": {"classes": 10},
    "1,000 classes": {"classes": 1000},
    "10 classes, two regions, MQTT, metrics": {"classes": 10, "regions": 2, "outputs": True},
}


def table(hours: float) -> Iterator[str]:
    head = "answers | log, MB a day | bytes an answer | pictures | MB | fsyncs a minute"
    yield f"| case | {head} | RSS after 1 h, MB | growth since | processor, s |\n{'|---' * 10}|"
    with broker() as url:
        for name, case in CASES.items():
            if case.get("outputs") and url is None:
                yield f"| {name} | mosquitto is not installed |"
                continue
            found = measured({**case, "hours": hours, "mqtt": url})
            yield (
                f"| {name} | {found['answers']} | {found['log_mb'] * 24 / hours:.0f} | "
                f"{found['bytes']:.0f} | {found['pictures']} | {found['pictures_mb']:.1f} | "
                f"{found['fsyncs']:.1f} | {found['rss_mb']:.0f} | {found['growth_mb']:+.1f} MB | "
                f"{found['cpu_s']:.0f} |"
            )
            if "scrapes" in found:
                yield (
                    f"\nOf the last case: metrics were scraped {found['scrapes']} times; "
                    f"{found['missed']} lines of the log and {found['unsent']} answers were lost."
                )


def measured(case: dict) -> dict:
    repo = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (repo, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(case),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def broker() -> Iterator[str | None]:
    """The address of a mosquitto of our own; None where it is not installed."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen([program, "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"mqtt://127.0.0.1:{port}/bench"
    finally:
        process.kill()
        process.wait()


def rss_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def day(case: dict) -> dict:
    """Run a day; what it left behind and what it took."""
    import numpy as np

    from edgecnn.device.live.truth import Truths
    from edgecnn.device.log.log_thread import LogThread
    from edgecnn.device.log.session_log import SessionLog
    from edgecnn.device.machine.notify import Notifier
    from edgecnn.device.options import RunOptions
    from edgecnn.device.outputs.open_outputs import open_outputs
    from edgecnn.device.run.bundles import Active, Bundles
    from edgecnn.device.run.loop import Audience, Loop
    from edgecnn.session.header import SessionHeader

    clock, synced = SimpleNamespace(now=time.monotonic()), SimpleNamespace(count=0)
    time.monotonic = lambda: clock.now

    def count_sync(_handle: int) -> None:
        synced.count += 1

    os.fsync = count_sync
    rng = np.random.default_rng(0)
    classifier = made_up(case["classes"], rng)
    regions = case.get("regions", 1)
    rois = tuple(f"r{k}={320 * k},0,320,480" for k in range(regions)) if regions > 1 else ()
    port = free_port()
    outputs = {"mqtt": case["mqtt"], "metrics": str(port)} if case.get("outputs") else {}
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(log=Path(folder) / "s", roi=rois, **outputs)
        named = options.views if regions > 1 else ()
        header = SessionHeader("b", "0" * 64, classifier.card, "m.tflite", regions=named)
        num_frames = round(case["hours"] * HOUR)
        with LogThread(SessionLog(header, options, live=True), live=True) as log:
            source = made_up_source(options, clock, log, num_frames, rng, regions)
            loaded = SimpleNamespace(classifier=classifier, device="cpu", fallback=None)
            stop = threading.Event()
            opened = open_outputs(options, "bench", None, stop, live=True)
            with opened as publishers, scraper(port, outputs) as got:
                bundles = Bundles(Active(loaded, options), None, None)
                audience = Audience(None, publishers, Notifier())
                loop = Loop(bundles, source, Truths(), log, options, audience)
                result = loop.run(stop)
                after_mb = rss_mb()
        answers = result.frames * regions
        size = (options.log / "events.jsonl").stat().st_size
        pictures = [p.stat().st_size for p in (options.log / "frames").iterdir()]
    found = {
        "answers": answers,
        "log_mb": size / 1e6,
        "bytes": size / answers,
        "pictures": len(pictures),
        "pictures_mb": sum(pictures) / 1e6,
        "fsyncs": synced.count / (60 * case["hours"]),
        "rss_mb": source.rss_mb,
        "growth_mb": after_mb - source.rss_mb,
        "cpu_s": time.process_time(),
    }
    if outputs:
        faults = result.faults
        lost = {"missed": "lines not logged", "unsent": "answers not sent"}
        found |= {name: faults.get(key, 0) for name, key in lost.items()}
        found["scrapes"] = got.count
    return found


@contextmanager
def scraper(port: int, wanted: dict) -> Iterator[SimpleNamespace]:
    """Scrapes the metrics in real time, as Prometheus does."""
    got, stop = SimpleNamespace(count=0), threading.Event()

    def work() -> None:
        while not stop.wait(SCRAPE_S):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
                got.count += b"edgecnn_frames_total" in page.read()

    thread = threading.Thread(target=work) if wanted else None
    if thread is not None:
        thread.start()
    try:
        yield got
    finally:
        stop.set()
        if thread is not None:
            thread.join()


def made_up(num_classes: int, rng) -> SimpleNamespace:
    """A classifier whose answers are drawn beforehand."""
    import numpy as np

    from edgecnn.accuracy.tally import Tally
    from edgecnn.bundle.card import Artifact, Card, LabResult
    from edgecnn.bundle.classifier import Answered, Timing
    from edgecnn.bundle.spec import InputSpec, Prediction, TensorInfo

    labels = tuple(f"class {k}" for k in range(num_classes))
    lab = Tally(950, 1000)
    info = TensorInfo("uint8", 1 / 256, 0)
    artifact = Artifact("m.tflite", "full_integer", "0" * 64, 1, info, info, lab, 1.0, 0.0)
    card = Card(
        "bench",
        labels,
        InputSpec(32, 32),
        LabResult(lab, ({},) * num_classes),
        (1 / num_classes,) * num_classes,
        "0",
        (artifact,),
    )
    answers = []
    for _ in range(2000):
        scores = rng.dirichlet(np.full(num_classes, 0.05)).astype(np.float32)
        best = int(scores.argmax())
        prediction = Prediction(best, labels[best], float(scores[best]), tuple(scores.tolist()))
        answers.append(Answered(np.zeros((32, 32, 3), np.uint8), prediction, Timing(0.0, 3.21)))
    state = SimpleNamespace(next=0)

    def invoke(_frame, _tensor):
        state.next = (state.next + 1) % len(answers)
        return answers[state.next]

    bundle = SimpleNamespace(card=card, sha256=card.name, path=Path(card.name))
    return SimpleNamespace(
        card=card, artifact=artifact, invoke=invoke, answer=lambda found: found, bundle=bundle
    )


def made_up_source(options, clock, log, num_frames: int, rng, regions: int):
    """A camera of ten frames a second by the made-up clock; it waits for the log, not for time."""
    import cv2
    import numpy as np

    from edgecnn.accuracy.objects import ObjectNumbers
    from edgecnn.device.capture.frame import Frame, Prepared, Source

    coarse = [rng.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(8)]
    pictures = [cv2.resize(picture, (640, 480)) for picture in coarse]
    looks = [rng.integers(0, 255, 256, np.uint8) for _ in range(64)]
    numbers = ObjectNumbers()
    tensor = np.zeros((32, 32, 3), np.uint8)

    class Day(Source):
        live, kind = True, "live"
        rss_mb = 0.0

        def ticks(self):
            start = clock.now
            begin = datetime(2026, 5, 1, tzinfo=timezone.utc)
            for k in range(num_frames):
                clock.now = start + k / FPS
                while log._waiting.qsize() > MOST_WAITING:
                    time.sleep(0.0002)
                if k == min(HOUR, num_frames // 2):
                    self.rss_mb = rss_mb()
                picture, thing = pictures[k % 8], numbers.number(looks[k // 100 % 64])
                made = Prepared(picture, picture, tensor, thing)
                more = (made,) * (regions - 1)
                at = begin + timedelta(seconds=k / FPS)
                yield Frame.of(
                    Prepared(picture, None, tensor, thing, more), k, at, clock.now, k / FPS
                )

    return Day(options, threading.Event())


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(day(json.load(sys.stdin))) + "\n")
