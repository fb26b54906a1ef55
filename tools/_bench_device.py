"""`tools/bench device`: what one frame costs the thread that invokes, in processor time.

Each loop runs in a process of its own, in turns. It is timed from one frame to another, so what it
costs to start is left out. Processor time of a thread says the same on a busy machine and on an
idle one, but for what others do to the caches, and to the other half of a core: a loop that
decodes in another thread slows its own invoke() where two threads share a core. The share of the
thread's time that is within invoke() leaves that out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from _free_port import free_port

LOOPS = {
    "bare": "invoke() alone",
    "edgecnn": "edgecnn run",
    "logged": "edgecnn run --log",
    "opencv": "plain OpenCV loop",
    "tensorflow": "structure of TensorFlow's sample",
    "coral": "structure of Coral's sample",
}
WARM = 100
MOBILENET = "mobilenet"


def table(bundle: Path, video: Path | None, frames: int, rounds: int) -> str:
    """Rows of milliseconds a frame, and bare divided by each; then the memory, and the start."""
    found: dict[str, list[list[float]]] = {name: [] for name in LOOPS}
    with tempfile.TemporaryDirectory() as folder:
        film = video or make_film(Path(folder) / "film.mp4", frames + WARM)
        if str(bundle) == MOBILENET:
            bundle = Path(folder) / "mobilenet.edgecnn"
            # Not here: a program's peak memory counts from that of the process that starts it.
            in_own_process(MOBILENET, str(bundle))
        for _ in range(rounds):
            for name in LOOPS:
                found[name].append(measured(name, bundle, film, frames))
        more = memory_and_start(bundle, film, frames)
    middle = {name: [median(m) for m in zip(*times, strict=True)] for name, times in found.items()}
    bare = middle["bare"][0]
    rows = []
    for name, (thread, within, every) in middle.items():
        shares = f"{within / thread:.3f} | {bare / thread:.3f}"
        rows.append(f"| {LOOPS[name]} | {thread:.3f} | {shares} | {every:.3f} |")
    what = f"{bundle.name}, {frames} frames, median of {rounds} rounds"
    head = (
        f"| {what} | ms a frame | share within invoke | invoke() alone / this | ms of all threads |"
    )
    return "\n".join([head, "|---|---|---|---|---|", *rows, "", more, ""])


def memory_and_start(bundle: Path, film: Path, frames: int) -> str:
    """Peak memory of a run with log and metrics, and how long its first answer takes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgecnn", "run", str(bundle), "--source", str(film)]
        command += ["--log", str(Path(folder) / "s"), "--metrics", str(free_port())]
        command += ["--output", "jsonl"]
        command += ["--max-frames", str(frames)]
        repo = str(Path(__file__).resolve().parents[1])
        begin = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": repo}
        )
        assert process.stdout is not None
        process.stdout.readline()
        first_s = time.monotonic() - begin
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}")
    return (
        f"`edgecnn run` with log and metrics: {used.ru_maxrss / 1024:.0f} MB at most; first answer "
        f"{first_s:.1f} s after its start."
    )


def mobilenet_bundle(path: Path) -> None:
    """MobileNetV2-1.0 at 224 pixels as a full-integer file; its weights are random."""
    import hashlib

    import keras
    import numpy as np

    from edgecnn.accuracy.tally import Tally
    from edgecnn.bundle.artifacts import FULL_INTEGER
    from edgecnn.bundle.card import Artifact, Card, LabResult
    from edgecnn.bundle.folder import write_bundle
    from edgecnn.bundle.runtime.load import load_runtime
    from edgecnn.bundle.spec import InputSpec
    from edgecnn.export.convert.tflite_convert import convert_tflite
    from edgecnn.model.tflite_network import freeze

    spec, count = InputSpec(width=224, height=224), 1000
    image = keras.Input(spec.shape)
    backbone = keras.applications.MobileNetV2(spec.shape, weights=None)
    network = keras.Model(image, backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(image)))
    noise = np.random.default_rng(0).integers(0, 256, (8, *spec.shape), dtype=np.uint8)
    file, lab = FULL_INTEGER.file, Tally(900, 1000)
    data = convert_tflite(freeze(network, spec.shape), FULL_INTEGER.name, noise)
    runtime = load_runtime(data, file)
    sha256 = hashlib.sha256(data).hexdigest()
    artifact = Artifact(
        file, "full_integer", sha256, len(data), runtime.input, runtime.output, lab, 1.0, 0.0
    )
    labels, none = tuple(f"class {k}" for k in range(count)), LabResult(lab, ({},) * count)
    card = Card(path.stem, labels, spec, none, (1 / count,) * count, "0", (artifact,))
    write_bundle(path, card, {file: data}, [], {}, [])


def make_film(path: Path, frames: int) -> Path:
    """640x480 H.264 of moving noise."""
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x480:rate=30"]
    command += ["-frames:v", str(frames), "-pix_fmt", "yuv420p", "-c:v", "libx264", str(path)]
    subprocess.run(command, check=True)
    return path


def measured(name: str, bundle: Path, film: Path, frames: int) -> list[float]:
    """See `Clock.found`."""
    said = in_own_process(name, str(bundle), str(film), str(frames))
    found: list[float] = json.loads(said.splitlines()[-1])
    return found


def in_own_process(*arguments: str) -> str:
    """What this program prints when it is called with these arguments."""
    repo = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (repo, os.environ.get("PYTHONPATH"))))
    command, environment = [sys.executable, __file__, *arguments], {**os.environ}
    environment["PYTHONPATH"] = path
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return done.stdout


def main(name: str, bundle: str, film: str, frames: int) -> None:
    clock = Clock()
    if name in ("edgecnn", "logged"):
        run_edgecnn(bundle, film, frames, clock, name == "logged")
    else:
        plain_loop(name, bundle, clock)(film, WARM + frames)
    sys.stdout.write(json.dumps(clock.found(WARM)) + "\n")


class Clock:
    """Notes the processor time whenever an interpreter is invoked, before and after."""

    def __init__(self) -> None:
        self._before: list[tuple[float, float]] = []
        self._after: list[float] = []

    def watch(self, interpreter):
        """The interpreter, in something that calls it and looks at the clock."""

        clock = self

        class Watched:
            def __getattr__(self, name):
                return getattr(interpreter, name)

            def invoke(self):
                clock._before.append((time.thread_time(), time.process_time()))
                interpreter.invoke()
                clock._after.append(time.thread_time())

        return Watched()

    def found(self, warm: int) -> list[float]:
        """From a frame to the last one, milliseconds a frame of the thread that invokes, of it
        within invoke, and of all threads."""
        within = [
            after - before[0] for before, after in zip(self._before, self._after, strict=True)
        ]
        first, last = self._before[warm], self._before[-1]
        spent = [last[0] - first[0], sum(within[warm:-1]), last[1] - first[1]]
        return [1000 * seconds / (len(self._before) - warm - 1) for seconds in spent]


def run_edgecnn(bundle: str, film: str, frames: int, clock: Clock, logged: bool) -> None:
    from edgecnn.bundle.runtime import tflite_interpreter
    from edgecnn.device.run.run import RunOptions, run

    real = tflite_interpreter.open_interpreter

    def watched(*given, **settings):
        interpreter, name = real(*given, **settings)
        return clock.watch(interpreter), name

    tflite_interpreter.open_interpreter = watched
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "s" if logged else None
        run(bundle, film, RunOptions(max_frames=WARM + frames, log=log))


def plain_loop(name: str, bundle: str, clock: Clock):
    """Loops as the samples write them, around the same interpreter and file."""
    import cv2
    import numpy as np

    from edgecnn.bundle.folder import Bundle
    from edgecnn.bundle.runtime.tflite_interpreter import open_interpreter

    opened = Bundle.open(bundle)
    file = opened.artifact(None).file
    interpreter, _ = open_interpreter(opened.read(file), file, num_threads=1)
    interpreter = clock.watch(interpreter)
    details, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = details["shape"][1:3]
    scale, zero_point = output["quantization"]

    def bare(_film: str, count: int) -> None:
        for _ in range(count):
            interpreter.invoke()

    def frames(film: str, count: int):
        capture = cv2.VideoCapture(film)
        for _ in range(count):
            ok, frame = capture.read()
            assert ok
            yield frame
        capture.release()

    def opencv(film: str, count: int) -> None:
        for frame in frames(film, count):
            rgb = cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_BGR2RGB)
            interpreter.set_tensor(details["index"], rgb[None].astype(details["dtype"], copy=False))
            interpreter.invoke()
            interpreter.get_tensor(output["index"])[0].argmax()

    def tensorflow(film: str, count: int) -> None:
        # Flipped, converted, and resized by the library; scores are sorted and drawn.
        for frame in frames(film, count):
            rgb = cv2.cvtColor(cv2.flip(frame, 1), cv2.COLOR_BGR2RGB)
            small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
            interpreter.set_tensor(details["index"], np.expand_dims(small, 0))
            interpreter.invoke()
            scores = (interpreter.get_tensor(output["index"])[0].astype(float) - zero_point) * scale
            best = np.argsort(-scores)[:3]
            for row, k in enumerate(best):
                place = (24, 20 * (row + 1))
                cv2.putText(frame, f"{k} ({scores[k]:.2f})", place, 0, 0.6, (0, 0, 255), 1)

    def coral(film: str, count: int) -> None:
        # The frame's colours first, then its size; the input is written through tensor().
        for frame in frames(film, count):
            rgb = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (width, height))
            interpreter.tensor(details["index"])()[0][:, :] = rgb
            interpreter.invoke()
            raw = interpreter.get_tensor(output["index"])[0].astype(np.int64)
            scores = scale * (raw - zero_point)
            top = np.argpartition(scores, -3)[-3:]
            sorted(((int(k), float(scores[k])) for k in top), key=lambda one: -one[1])

    return {"bare": bare, "opencv": opencv, "tensorflow": tensorflow, "coral": coral}[name]


if __name__ == "__main__" and sys.argv[1] == MOBILENET:
    mobilenet_bundle(Path(sys.argv[2]))
elif __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
