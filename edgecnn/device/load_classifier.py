"""Load the classifier for a run on Edge TPU or CPU, and check it on the golden frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgecnn.bundle.artifacts import preferred
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.edgetpu.twin import twin_file
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.runtime.module import check_device
from edgecnn.device.machine.delegate_trial import try_delegate
from edgecnn.device.options import DeviceOptions
from edgecnn.errors import BundleError, MissingRuntimeError

__all__ = ["Loaded", "check_golden", "load_classifier"]

_COMPILED_MARK = b"edgetpu-custom-op"


@dataclass(frozen=True)
class Loaded:
    """A classifier, the device it runs on, and why that is not the requested one."""

    classifier: Classifier
    device: str
    fallback: str | None = None


def load_classifier(bundle: Bundle | Path | str, options: DeviceOptions) -> Loaded:
    """Load a bundle for a device; without a usable Edge TPU, fall back to the CPU.

    A file compiled for the Edge TPU can't run on a CPU, so the CPU runs its uncompiled twin if
    the bundle has one.

    Raises:
        MissingRuntimeError: No runtime, or no Edge TPU and nothing to fall back to.
        BundleError: The bundle or artifact can't be used.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    device, artifact = options.device, options.artifact
    load = partial(Classifier, opened, threads=options.threads, runtime=options.runtime)
    if device == "cpu":
        return Loaded(load(artifact), device)
    check_device(device)
    files = [a.file for a in opened.card.artifacts]
    file = opened.artifact(artifact or preferred(files, device)).file
    compiled = _COMPILED_MARK in opened.read(file)
    try:
        try_delegate(device, options.runtime, opened.path, file)
        classifier = load(file, device=device)
    except MissingRuntimeError as error:
        plain = twin_file(opened, file) if compiled else file
        if plain is None:
            raise MissingRuntimeError(
                f"{file} is compiled for an Edge TPU and has no uncompiled twin in the bundle; "
                f"{error}"
            ) from error
        reason = str(error).removesuffix("; or run with --device cpu")
        return Loaded(load(plain), "cpu", f"running {plain} on the CPU: {reason}")
    idle = device.startswith("edgetpu") and not compiled
    note = f"{file} is not compiled for the Edge TPU: the CPU does the work" if idle else None
    return Loaded(classifier, device, note)


def check_golden(classifier: Classifier) -> None:
    """Refuse to run when decoding, preprocessing or kernels differ from the lab's.

    An Edge TPU rounds differently: a compiled file need only give the same class as its twin.
    `twin.Twin` measures how much their scores differ.

    Raises:
        BundleError: A golden frame gives another tensor, or scores more than a step away.
    """
    compiled = classifier.artifact.kind.startswith("edgetpu")
    for result in classifier.replay_golden():
        where = f"{classifier.bundle.path}: golden frame {result.file}"
        if not result.tensor_ok:
            raise BundleError(
                f"{where} gives another input tensor than in the lab (decoding, colour order or "
                "resizing differ), expected the same; run `edgecnn doctor` with this bundle"
            )
        if not (result.top1_ok if compiled else result.ok):
            raise BundleError(
                f"{where}: {classifier.artifact.file} on {classifier.runtime.name} is "
                f"{result.steps:g} steps off the lab's scores, expected at most 1; run "
                "`edgecnn doctor` with this bundle"
            )
