"""Every artifact of a bundle, run every way that this machine knows, beside the lab.

The Keras model can't run here, so its answers come from the lab: scores from a MODEL folder's
lab_test.npz, answers from the bundle's lab_test.csv, both found by the digest of the image file.
For images that the lab never saw the float32 artifact stands for it.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from edgecnn.bundle import Bundle
from edgecnn.classifier import Classifier, GoldenResult
from edgecnn.device.parity_result import Cell, Limits, Parity, describe, limits_for
from edgecnn.errors import BundleError, DataError, ImageError, MissingRuntimeError
from edgecnn.folders import file_sha256, find_images
from edgecnn.preprocess import decode, to_tensor
from edgecnn.records import Artifact, Progress
from edgecnn.runtime import TFLITE_RUNTIMES, Kernels, load_tflite_module

__all__ = ["Parity", "ParityOptions", "parity"]

_MOST_BYTES = 200_000_000  # of input tensors in memory: a small board has 1 GB
_FLOAT = ("model_float32.tflite", "model_float32.onnx")


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
class _Images:
    """tensors: uint8 (height, width, 3) each; digests of the encoded files beside them."""

    tensors: list[np.ndarray]
    digests: list[str]


@dataclass(frozen=True)
class _FloatModel:
    """What the float model says of each image: `top1` -1 and a row of nan where unknown."""

    name: str
    top1: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class _Ran:
    way: _Way
    classifier: Classifier
    golden: list[GoldenResult]
    scores: np.ndarray


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
    found = _read_images(Path(images), opened, options.most) if images else _Images([], [])
    if not num_golden and not found.tensors:
        raise BundleError(f"{opened.path} has no golden frames; export again, or name images")
    reference = _known(opened, found, options)
    cells: list[Cell] = []
    skipped: list[tuple[str, str]] = []
    for artifact in _float_first(opened.card.artifacts):
        ran = _run_all(opened, artifact, found, options, skipped, progress)
        if ran and reference is None and artifact.file in _FLOAT:
            scores = ran[0].scores
            reference = _FloatModel(f"{artifact.file} here", scores.argmax(axis=1), scores)
        cells += [_compare(artifact, one, ran[0], reference) for one in ran]
    if not cells:
        raise MissingRuntimeError(f"no file of {opened.path} runs here: {skipped[0][1]}")
    name = reference.name if reference and found.tensors else "unknown, no images"
    return Parity(str(opened.path), name, num_golden, tuple(cells), tuple(skipped))


def _float_first(artifacts: tuple[Artifact, ...]) -> list[Artifact]:
    return sorted(artifacts, key=lambda artifact: artifact.file not in _FLOAT)


def _run_all(
    bundle: Bundle,
    artifact: Artifact,
    images: _Images,
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
    images: _Images,
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
    return _Ran(way, classifier, golden, scores[:done])


def _compare(artifact: Artifact, ran: _Ran, first: _Ran, reference: _FloatModel | None) -> Cell:
    step = artifact.output.scale
    unit = "steps" if step > 0 else "score"
    golden = max((r.steps for r in ran.golden), default=0.0) * (1 if step > 0 else 1e-3)
    count = min(len(ran.scores), len(first.scores))
    mine, theirs = ran.scores[:count], first.scores[:count]
    alone = ran is first or not count
    error = float(np.abs(mine - theirs).max()) / (step if step > 0 else 1) if count else 0.0
    float_error, float_agreement, known = _against_float(ran.scores, reference)
    cell = Cell(
        file=artifact.file,
        kind=artifact.kind,
        runtime=ran.classifier.runtime.name,
        kernels=ran.way.kernels,
        threads=ran.way.threads,
        unit=unit,
        images=len(ran.scores),
        golden_error=golden,
        golden_agreement=_share([r.top1_ok for r in ran.golden], 1.0),
        image_error=None if alone else round(error, 3) if step > 0 else error,
        image_agreement=None if alone else _share(mine.argmax(1) == theirs.argmax(1), 1.0),
        float_error=float_error,
        float_agreement=float_agreement,
    )
    wrong = [r.file for r in ran.golden if not r.tensor_ok]
    faults = [f"{wrong[0]} gives another input tensor than in the lab"] if wrong else []
    faults += _faults(cell, limits_for(artifact.kind, step > 0), known)
    return Cell(**{**vars(cell), "faults": tuple(faults)})


def _faults(cell: Cell, limits: Limits, known: int) -> list[str]:
    """What is beyond the limits. `known`: images of which the float model's answer is known."""
    faults = []
    for where, error, limit in (
        ("from the lab's on the golden frames", cell.golden_error, limits.golden),
        ("from the first way to run the file", cell.image_error or 0.0, limits.images),
    ):
        if not error <= limit:
            much = describe(error, cell.unit)
            faults.append(f"scores differ {where} by {much}, limit {describe(limit, cell.unit)}")
    agreement = cell.float_agreement
    # One image may always differ: of few it says nothing.
    if agreement is not None and known * (1 - agreement) > max(1, known * (1 - limits.agreement)):
        faults.append(
            f"reads {100 * agreement:.1f} % of {known} images as the float model does, limit "
            f"{100 * limits.agreement:.1f} %"
        )
    return faults


def _against_float(
    scores: np.ndarray, reference: _FloatModel | None
) -> tuple[float | None, float | None, int]:
    """(largest difference, share of equal answers, number of images), where known."""
    if reference is None:
        return None, None, 0
    count = min(len(scores), len(reference.top1))
    known = np.flatnonzero(reference.top1[:count] >= 0)
    if not len(known):
        return None, None, 0
    scored = known[np.isfinite(reference.scores[known]).all(axis=1)]
    error = np.abs(scores[scored] - reference.scores[scored])
    same = scores[known].argmax(axis=1) == reference.top1[known]
    return (float(error.max()) if len(scored) else None), _share(same, 1.0), len(known)


def _share(same: np.ndarray | list[bool], empty: float) -> float:
    return float(np.mean(same)) if len(same) else empty


def _read_images(folder: Path, bundle: Bundle, most: int) -> _Images:
    spec = bundle.card.input
    files = find_images(folder)
    most = min(most, max(1, _MOST_BYTES // (spec.width * spec.height * 3)))
    if len(files) > most:
        files = [files[k] for k in np.linspace(0, len(files) - 1, most).round().astype(int)]
    found, reason = _Images([], []), ""
    for path in files:
        try:
            data = path.read_bytes()
            found.tensors.append(to_tensor(decode(data, str(path)), spec))
        except (OSError, ImageError) as error:
            reason = str(error)
            continue
        found.digests.append(file_sha256(data))
    if not found.tensors:
        raise DataError(f"none of the {len(files)} images in {folder} can be decoded; {reason}")
    return found


def _known(bundle: Bundle, images: _Images, options: ParityOptions) -> _FloatModel | None:
    """What the lab recorded of these images, or None when it saw none of them."""
    labels = {label: k for k, label in enumerate(bundle.card.labels)}
    answers = {
        row.sha256: labels.get(row.predicted.get("keras", ""), -1) for row in bundle.lab_test()
    }
    scores = np.full((len(images.digests), len(labels)), np.nan, np.float32)
    if options.keras:
        by_digest = _read_keras(options.keras, len(labels))
        for k, digest in enumerate(images.digests):
            scores[k] = by_digest.get(digest, scores[k])
    top1 = np.array([answers.get(digest, -1) for digest in images.digests], int)
    scored = np.isfinite(scores).all(axis=1)
    top1[scored] = scores[scored].argmax(axis=1)
    count = int((top1 >= 0).sum())
    if not count:
        return None
    source = "lab_test.npz" if scored.any() else "lab_test.csv"
    return _FloatModel(f"Keras by {source}, {count} of {len(top1)} images", top1, scores)


def _read_keras(path: Path, classes: int) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            scores, digests = arrays["keras_scores"], arrays["sha256"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"can't read {path} ({error}); expected a MODEL's lab_test.npz") from error
    if scores.shape != (len(digests), classes):
        raise DataError(
            f"{path} holds scores {scores.shape} for {len(digests)} images, expected {classes} "
            "classes; name the lab_test.npz of this bundle's model"
        )
    return dict(zip(map(str, digests), scores, strict=True))
