"""Measure accuracy, time and memory of each artifact of a bundle on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgecnn.bundle.artifacts import FLOAT32, preferred, twin_of
from edgecnn.bundle.card import Artifact
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.runtime.module import check_device
from edgecnn.device.benchmark.result import Benchmark, BenchmarkRow, check_plot, draw
from edgecnn.device.benchmark.soak import Soak
from edgecnn.device.evaluate import Evaluation, check_labels, evaluate
from edgecnn.device.machine.health import host, installed, machine_name, read_state
from edgecnn.device.machine.isolated import call
from edgecnn.device.options import BenchmarkOptions, EvaluateOptions
from edgecnn.errors import ArtifactError, MissingRuntimeError, OptionError
from edgecnn.files.folders import find_labelled
from edgecnn.files.staging import write_file
from edgecnn.records import Json, Progress, Skipped, encode
from edgecnn.words import number

__all__ = ["Benchmark", "BenchmarkOptions", "benchmark"]


def benchmark(
    bundle: Path | str,
    data: Path | str | None = None,
    options: BenchmarkOptions | None = None,
    *,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure every artifact that can run here, each in a process of its own.

    Args:
        data: A class-per-folder tree to measure accuracy on, or None.

    Raises:
        BundleError: The bundle can't be used.
        DataError: `data` has no usable image, or labels that the bundle doesn't know.
        MissingRuntimeError: No artifact can run here, or there is no matplotlib for the plot.
        OptionError: An option that has no effect.
        OutputError: The plot can't be written, or would replace another file.
    """
    options = options or BenchmarkOptions()
    _check_options(options, data)
    check_device(options.device)
    opened = Bundle.open(bundle)
    if data is not None:
        labelled = find_labelled(Path(data), options.manifest, known=opened.card.labels)
        check_labels(labelled, opened.card.labels, Path(data), options.manifest)
    if options.plot is not None:
        check_plot(options.plot, [] if data is None else [Path(data)])
    _soak_file(opened, options)  # refuses an unknown name before the measurements
    before = read_state()
    measured, skipped = _measure_all(opened, options, progress)
    after = read_state()
    judged: dict[str, Evaluation] = {}
    if data is not None:
        files = [artifact.file for artifact, _ in measured]
        judged, failed = _judge(opened, Path(data), files, options, progress)
        skipped += failed
    soak = _soak(opened, options, skipped, progress)
    used = dict.fromkeys(reply["runtime"] for _, reply in measured)
    found = Benchmark(
        device=machine_name(),
        machine={**host(), **after, "before": before},
        threads=options.threads,
        runtimes={name: installed(name.replace("_", "-")) or "of unknown version" for name in used},
        rows=tuple(_row(opened, artifact, reply, judged, options) for artifact, reply in measured),
        skipped=tuple(skipped),
        bundle=Path(bundle),
        soak=soak,
        notes=(
            *next((_notes(one) for one in judged.values()), ()),
            *_elsewhere([artifact.file for artifact, _ in measured], options),
        ),
    )
    if options.plot is None:
        return found
    write_file(options.plot, draw(found, options.plot.suffix))
    return replace(found, plot=str(options.plot))


def _check_options(options: BenchmarkOptions, data: Path | str | None) -> None:
    """Refuse what would have no effect.

    Raises:
        OptionError: It is given.
    """
    if data is None and options.manifest is not None:
        raise OptionError(
            f"--manifest {options.manifest} names the labels of images, but no folder DATA is "
            "given; name it behind the bundle or leave --manifest out"
        )
    if options.soak is None and options.artifact is not None:
        raise OptionError(
            f"--artifact {options.artifact} chooses the file of --soak, and all files are "
            "measured; add --soak SECONDS or leave it out"
        )


def _measure_all(
    bundle: Bundle, options: BenchmarkOptions, progress: Progress | None
) -> tuple[list[tuple[Artifact, Json]], list[Skipped]]:
    """Collect the answer of each artifact's process, and (file, reason) of the others."""
    measured, skipped = [], []
    artifacts = bundle.card.artifacts
    timeout_s = 60 + 10 * options.seconds
    for k, artifact in enumerate(artifacts):
        try:
            request = _request(bundle, artifact.file, options)
            reply = call("edgecnn.device.benchmark.worker", request, timeout_s)
            measured.append((artifact, reply))
        except MissingRuntimeError as error:
            skipped.append(Skipped(artifact.file, str(error)))
        if progress:
            progress("measuring", k + 1, len(artifacts))
    if not measured:
        reason = skipped[0][1] if skipped else "it has no artifact"
        raise MissingRuntimeError(f"no artifact of {bundle.path} can run here: {reason}")
    return measured, skipped


def _judge(
    bundle: Bundle,
    data: Path,
    files: list[str],
    options: BenchmarkOptions,
    progress: Progress | None,
) -> tuple[dict[str, Evaluation], list[Skipped]]:
    judged, failed = {}, []
    for file in files:
        choice = EvaluateOptions(
            *(file, _device(file, options), options.threads),
            runtime=options.runtime,
            manifest=options.manifest,
            things=options.things,
        )
        try:
            judged[file] = evaluate(bundle.path, data, choice, progress=progress)
        except (MissingRuntimeError, ArtifactError) as error:
            failed.append(Skipped(file, str(error)))
    return judged, failed


def _notes(judged: Evaluation) -> tuple[str, ...]:
    """How the folder was read, which is the same for each file, and what could not be."""
    if not judged.skipped:
        return judged.notes
    what = number(len(judged.skipped), "image")
    return (*judged.notes, f"{what} skipped; the first: {judged.skipped[0][1]}")


def _elsewhere(files: list[str], options: BenchmarkOptions) -> list[str]:
    """A line on the files that another device than the one asked for was measured on."""
    if found := [file for file in files if _device(file, options) != options.device]:
        return [
            f"measured on the CPU and not on {options.device}, because they are not compiled for "
            f"an Edge TPU: {', '.join(found)}"
        ]
    return []


def _soak(
    bundle: Bundle,
    options: BenchmarkOptions,
    skipped: list[Skipped],
    progress: Progress | None,
) -> Soak | None:
    """The soak, if one was asked for; one that can't run joins what was skipped."""
    if options.soak is None:
        return None
    file = _soak_file(bundle, options)
    request = {**_request(bundle, file, options), "seconds": options.soak}
    what = f"{options.soak:g} s without a pause"
    if progress:
        progress(what, 0, 1)
    try:
        reply = call("edgecnn.device.benchmark.soak", request, 120 + 1.1 * options.soak)
    except MissingRuntimeError as error:
        skipped.append(Skipped(f"the soak of {file}", str(error)))
        return None
    if progress:
        progress(what, 1, 1)
    return Soak.from_json(reply)


def _soak_file(bundle: Bundle, options: BenchmarkOptions) -> str:
    """The requested artifact, else the one for the requested device, else the bundle's choice."""
    files = [a.file for a in bundle.card.artifacts]
    return bundle.artifact(options.artifact or preferred(files, options.device)).file


def _request(bundle: Bundle, file: str, options: BenchmarkOptions) -> Json:
    """What a measuring process is asked."""
    asked = replace(options, artifact=file, device=_device(file, options))
    return {"bundle": str(bundle.path.resolve()), **encode(asked)}


def _device(file: str, options: BenchmarkOptions) -> str:
    return options.device if twin_of(file) else "cpu"


def _row(
    bundle: Bundle,
    artifact: Artifact,
    reply: Json,
    judged: dict[str, Evaluation],
    options: BenchmarkOptions,
) -> BenchmarkRow:
    mine, reference = judged.get(artifact.file), judged.get(FLOAT32.file)
    agreement = None
    if mine and reference and bundle.card.has_float:
        pairs = zip(mine.answers, reference.answers, strict=True)
        same = sum(a.prediction.index == b.prediction.index for a, b in pairs)
        agreement = same / len(mine.answers)
    return BenchmarkRow(
        file=artifact.file,
        kind=artifact.kind,
        bytes=artifact.bytes,
        threads=options.threads,
        lab=artifact.lab,
        lab_agreement=artifact.agreement if bundle.card.has_float else None,
        accuracy=mine.accuracy if mine else None,
        agreement=agreement,
        **reply,
    )
