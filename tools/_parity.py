"""Every artifact of a bundle, run every way that this machine knows, beside the lab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from _parity_images import (
    FloatModel,
    Images,
    is_clear,
    known_answers,
    read_images,
    share,
)
from _parity_limits import faults_of, limits_for
from _parity_result import Parity, ParityCell

from edgecnn.bundle.artifacts import FLOAT32, ONNX_FLOAT32
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.classifier import Classifier, GoldenResult
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.runtime.load import top1
from edgecnn.bundle.runtime.module import TFLITE_RUNTIMES, Kernels, load_tflite_module
from edgecnn.errors import BundleError, MissingRuntimeError
from edgecnn.records import Progress

__all__ = ["Parity", "ParityOptions", "parity"]

_FLOAT = (FLOAT32.file, ONNX_FLOAT32.file)


@dataclass(frozen=True)
class ParityOptions:
    """How to compare.

    Args:
        runtimes: TFLite runtimes to try; tensorflow.lite only where it is named.
        threads: "Many" threads, beside one; None takes 4, or what the machine has.
        most: Images at most, evenly spread over the sorted files.
        seconds: After so long a way to run a file ends early, with the images that it had.
        keras: lab_test.npz of the MODEL folder: the Keras model's scores by image digest.
    """

    runtimes: tuple[str, ...] = TFLITE_RUNTIMES[:2]
    threads: int | None = None
    most: int = 500
    seconds: float = 60.0
    keras: Path | None = None


@dataclass(frozen=True)
class _Way:
    runtime: str | None
    kernels: Kernels
    threads: int


@dataclass(frozen=True)
class _Ran:
    way: _Way
    classifier: Classifier
    golden: list[GoldenResult]
    scores: np.ndarray
    top1: np.ndarray


def parity(
    bundle: Bundle | Path | str,
    images: Path | str | None = None,
    options: ParityOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Parity:
    """Run every file on each installed runtime, XNNPACK on and off, on one and many threads.

    Args:
        images: A folder of images (any subfolders), or None for the golden frames alone.

    Raises:
        BundleError: The bundle can't be used, or it has no golden frame and there are no images.
        DataError: No image in the folder can be decoded, or `keras` is no lab_test.npz.
        MissingRuntimeError: Not one file can be run here.
    """
    options = options or ParityOptions()
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    num_golden = len(opened.golden())
    found = read_images(opened, Path(images) if images else None, options.most)
    if not num_golden and not found.tensors:
        raise BundleError(f"{opened.path} has no golden frames; export again, or name images")
    reference = known_answers(opened, found, options.keras)
    cells: list[ParityCell] = []
    skipped: list[tuple[str, str]] = []
    for artifact in _float_first(opened.card.artifacts):
        ran = _run_all(opened, artifact, found, options, skipped, progress)
        if ran and reference is None and artifact.file in _FLOAT:
            scores = ran[0].scores
            reference = FloatModel(f"{artifact.file} here", scores.argmax(axis=1), scores)
        cells += [_compare(artifact, one, ran, reference) for one in ran]
    if not cells:
        raise MissingRuntimeError(f"no file of {opened.path} runs here: {skipped[0][1]}")
    name = reference.name if reference else "not known"
    return Parity(str(opened.path), name, num_golden, tuple(cells), tuple(skipped))


def _float_first(artifacts: tuple[Artifact, ...]) -> list[Artifact]:
    return sorted(artifacts, key=lambda artifact: artifact.file not in _FLOAT)


def _run_all(
    bundle: Bundle,
    artifact: Artifact,
    images: Images,
    options: ParityOptions,
    skipped: list[tuple[str, str]],
    progress: Progress | None,
) -> list[_Ran]:
    """Each way to run one file; what can't be run is added to `skipped`."""
    ran = []
    for way in _ways(artifact.file, options):
        try:
            ran.append(_run(bundle, artifact.file, images, way, options.seconds, progress))
        except MissingRuntimeError as error:
            entry = (artifact.file, str(error))
            if entry not in skipped:
                skipped.append(entry)
    return ran


def _ways(file: str, options: ParityOptions) -> Iterator[_Way]:
    many = options.threads or min(4, os.cpu_count() or 1)
    threads = (1, max(2, many))
    if file.endswith(".onnx"):
        yield from (_Way(None, "default", n) for n in threads)
        return
    installed = []
    for runtime in options.runtimes:
        try:
            load_tflite_module(runtime)
        except MissingRuntimeError:
            continue
        installed.append(runtime)
    kernels: tuple[Kernels, ...] = ("default", "builtin")
    for runtime in installed or options.runtimes[:1]:  # which then says that it is missing
        yield from (_Way(runtime, kind, n) for kind in kernels for n in threads)


def _run(
    bundle: Bundle,
    file: str,
    images: Images,
    way: _Way,
    seconds: float,
    progress: Progress | None,
) -> _Ran:
    classifier = Classifier(
        bundle, file, threads=way.threads, runtime=way.runtime, kernels=way.kernels
    )
    golden = classifier.replay_golden()
    end = perf_counter() + seconds
    scores = np.empty((len(images.tensors), classifier.runtime.num_classes), np.float32)
    done = 0
    for tensor in images.tensors:
        if done and perf_counter() > end:
            break
        scores[done] = classifier.runtime.invoke(tensor)
        done += 1
        if progress:
            what = f"{file} {classifier.runtime.name} {way.kernels} x{way.threads}"
            progress(what, done, len(images.tensors))
    answers = np.array([top1(one) for one in scores[:done]], int)
    return _Ran(way, classifier, golden, scores[:done], answers)


def _compare(
    artifact: Artifact, ran: _Ran, others: list[_Ran], reference: FloatModel | None
) -> ParityCell:
    scale = artifact.output.scale
    name, first = ran.classifier.runtime.name, others[0]
    alike = (
        o for o in others if (o.classifier.runtime.name, o.way.kernels) == (name, ran.way.kernels)
    )
    image_error, image_mean, image_agreement = _between(ran, first, scale)
    thread_error, thread_mean, _ = _between(ran, next(alike), scale)
    float_error, float_agreement, known = (
        reference.compare(ran.scores) if reference else (None, None, 0)
    )
    displacement = reference.displacement(first.scores) if reference else None
    if displacement is not None and scale > 0:
        displacement = round(displacement / scale, 3)
    cell = ParityCell(
        file=artifact.file,
        kind=artifact.kind,
        runtime=name,
        kernels=ran.way.kernels,
        threads=ran.way.threads,
        unit="steps" if scale > 0 else "score",
        images=len(ran.scores),
        golden_error=max((r.steps for r in ran.golden), default=0.0) * (1 if scale > 0 else 1e-3),
        golden_agreement=share([r.top1_ok for r in ran.golden], 1.0),
        image_error=image_error,
        image_mean=image_mean,
        image_agreement=image_agreement,
        thread_error=thread_error,
        thread_mean=thread_mean,
        displacement=displacement,
        float_error=float_error,
        float_agreement=float_agreement,
    )
    wrong = [r.file for r in ran.golden if not r.tensor_ok]
    faults = [f"{wrong[0]} gives another input tensor than in the lab"] if wrong else []
    # Of equal scores the first one's class, whoever answers: audits compare answers.
    tied = int((ran.top1 != ran.scores.argmax(axis=1)).sum()) if len(ran.scores) else 0
    faults += [f"answers the later of equal classes on {tied} images"] if tied else []
    compared = min(len(ran.scores), len(first.scores))
    faults += faults_of(cell, limits_for(artifact.kind, scale > 0), compared, known)
    return replace(cell, faults=tuple(faults))


def _between(
    ran: _Ran, other: _Ran, scale: float
) -> tuple[float | None, float | None, float | None]:
    """What both ran: (largest difference of a score, its mean over the clear images, in the
    output's unit; share of equal answers)."""
    count = min(len(ran.scores), len(other.scores))
    if ran is other or not count:
        return None, None, None
    mine, theirs = ran.scores[:count], other.scores[:count]
    unit = scale if scale > 0 else 1.0
    errors = np.abs(mine - theirs).max(axis=1) / unit
    same = share(ran.top1[:count] == other.top1[:count], 1.0)
    clear = is_clear(theirs)
    largest, mean = float(errors.max()), float(errors[clear].mean()) if clear.any() else 0.0
    if scale > 0:
        largest, mean = round(largest, 3), round(mean, 3)
    return largest, mean, same
