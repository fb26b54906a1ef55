"""The device path in one object: a bundle, its preprocessing and a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal, NamedTuple

import numpy as np

from edgecnn.accuracy.confidence import calibrated_confidence
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode, read_image, tensor_sha256, to_tensor
from edgecnn.bundle.runtime.load import load_runtime, top1
from edgecnn.bundle.runtime.module import Kernels
from edgecnn.bundle.spec import Prediction
from edgecnn.errors import ArtifactError, BundleError, ImageError

__all__ = ["Answered", "Classifier", "GoldenResult", "Invoked", "Timing"]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one classification."""

    preprocess_ms: float
    invoke_ms: float


class Invoked(NamedTuple):
    """What came out of a model: what it was given (uint8 RGB), its output as it is, and when
    preprocessing began, it was invoked, and it was done: nanoseconds of one clock."""

    tensor: np.ndarray
    output: np.ndarray
    times_ns: tuple[int, int, int]


@dataclass(frozen=True)
class Answered:
    """One classification: what the model was given (uint8 RGB), its answer and its time."""

    tensor: np.ndarray
    prediction: Prediction
    timing: Timing


@dataclass(frozen=True)
class GoldenResult:
    """How one golden frame came out here. `steps` is the largest difference of a score, in
    integer steps of the output (or in units of 1e-3 for a float output)."""

    file: str
    tensor_ok: bool
    steps: float
    top1_ok: bool

    @property
    def ok(self) -> bool:
        """Kernels and boards may differ by one step, never more."""
        return self.tensor_ok and self.steps <= 1.0


class Classifier:
    """Classify camera frames with a bundle, as the device does; no TensorFlow needed.

    Args:
        bundle: A bundle or its path.
        artifact: File name or kind; None takes the one meant for devices.
        device: "cpu", "edgetpu", "edgetpu:usb", "edgetpu:pci:0" or a delegate library.
        threads: Interpreter threads.
        runtime, kernels: See `runtime.load_runtime`.

    Raises:
        BundleError: The bundle can't be used.
        MissingRuntimeError: No runtime, or no delegate.

    Example:
        classifier = edgecnn.Classifier("digits.edgecnn")
        print(classifier(frame_bgr).label)
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        artifact: str | None = None,
        *,
        device: str = "cpu",
        threads: int = 1,
        runtime: str | None = None,
        kernels: Kernels = "default",
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.artifact = self.bundle.artifact(artifact)
        self.card = self.bundle.card
        file = self.artifact.file
        self.runtime = load_runtime(
            self.bundle.read(file),
            file,
            device=device,
            threads=threads,
            runtime=runtime,
            kernels=kernels,
        )
        found = (self.runtime.shape, self.runtime.num_classes)
        expected = (self.card.input.shape, len(self.card.labels))
        if found != expected:
            raise ArtifactError(
                f"{file} takes {found[0]} and gives {found[1]} scores, the card says {expected[0]} "
                f"and {expected[1]} labels; export again"
            )
        if (self.runtime.input, self.runtime.output) != (self.artifact.input, self.artifact.output):
            raise ArtifactError(
                f"{file} is quantized in another way than the card says "
                f"({self.runtime.input} against {self.artifact.input}); export again"
            )

    def __call__(self, frame: Any, color: Literal["bgr", "rgb"] = "bgr") -> Prediction:
        """Classify one frame.

        Args:
            frame: uint8, shape (h, w, 3), B, G, R as OpenCV captures it; or the path of an image
                file, or a picture of PIL.
            color: The channel order of an array.

        Raises:
            ImageError: It is None or something else, or the file can't be read.
        """
        return self.timed(_as_bgr(frame, color))[0]

    def timed(self, frame_bgr: np.ndarray) -> tuple[Prediction, Timing]:
        """Classify one frame and say how long its two parts took."""
        found = self.answered(frame_bgr)
        return found.prediction, found.timing

    def answered(self, frame_bgr: np.ndarray, tensor: np.ndarray | None = None) -> Answered:
        """Classify one frame; also say what the model saw, and how long its two parts took.

        Args:
            tensor: What `to_tensor` makes of the frame, where another thread did that already.
        """
        return self.answer(self.invoke(frame_bgr, tensor))

    def invoke(self, frame_bgr: np.ndarray, tensor: np.ndarray | None = None) -> Invoked:
        """The first part of `answered`, for a thread that has to do nothing else."""
        start = perf_counter_ns()
        if tensor is None:
            tensor = to_tensor(frame_bgr, self.card.input)
        middle = perf_counter_ns()
        output = self.runtime.output_of(tensor)
        return Invoked(tensor, output, (start, middle, perf_counter_ns()))

    def answer(self, invoked: Invoked) -> Answered:
        """The second part of `answered`; any thread may call it."""
        start, middle, end = invoked.times_ns
        timing = Timing((middle - start) / 1e6, (end - middle) / 1e6)
        return Answered(
            invoked.tensor, self._prediction(self.runtime.scores(invoked.output)), timing
        )

    def replay_golden(self) -> list[GoldenResult]:
        """Decode, preprocess and classify the golden frames and compare with the lab.

        Scores are compared with those of the lab's default kernels and of TFLite's built-in ones;
        the nearer counts, since a runtime has one or the other.
        """
        file = self.artifact.file
        results = []
        for golden in self.bundle.golden():
            if file not in golden.scores:
                raise BundleError(f"{self.bundle.path}: golden.json lacks {file}; export again")
            frame = decode(self.bundle.read(f"golden/{golden.file}"), golden.file)
            tensor = to_tensor(frame, self.card.input)
            scores = self.runtime.invoke(tensor)
            families = [golden.scores[file], golden.builtin.get(file, golden.scores[file])]
            steps, expected = min(
                (self.steps(scores, np.array(family, np.float32)), k)
                for k, family in enumerate(families)
            )
            results.append(
                GoldenResult(
                    golden.file,
                    tensor_sha256(tensor) == golden.tensor_sha256,
                    steps,
                    top1(scores) == top1(np.array(families[expected], np.float32)),
                )
            )
        return results

    def steps(self, scores: np.ndarray, expected: np.ndarray) -> float:
        """The largest difference of a score, in steps of this file's output."""
        scale = self.runtime.output.scale
        return round(float(np.abs(scores - expected).max() / (scale if scale > 0 else 1e-3)), 3)

    def _prediction(self, scores: np.ndarray) -> Prediction:
        index = top1(scores)
        step = self.runtime.output.scale
        confidence = float(calibrated_confidence(scores, self.card.temperature, step))
        return Prediction(index, self.card.labels[index], confidence, tuple(scores.tolist()))


def _as_bgr(frame: Any, color: str) -> np.ndarray:
    """What a program has at hand, as a frame: an array, a path, or a picture of PIL."""
    if isinstance(frame, np.ndarray):
        return frame if color == "bgr" else np.ascontiguousarray(frame[..., ::-1])
    if isinstance(frame, str | Path):
        return read_image(Path(frame))
    if callable(getattr(frame, "convert", None)):  # a picture of PIL: R, G, B
        return np.ascontiguousarray(np.asarray(frame.convert("RGB"))[..., ::-1])
    hint = "; cv2 gives None where it can't read a picture: check its path" if frame is None else ""
    raise ImageError(
        f"the frame is {type(frame).__name__}, expected an array (height, width, 3) of uint8, the "
        f"path of an image, or a picture of PIL{hint}"
    )
