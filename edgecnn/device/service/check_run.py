"""Whether a run could go on as a service: what ends each start at once is refused before it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from edgecnn.bundle.folder import Bundle
from edgecnn.device.capture.cameras import live_kind
from edgecnn.device.capture.frame import Source
from edgecnn.device.capture.pi_camera import parse_pi_camera
from edgecnn.device.live.truth import load_truths, split_region
from edgecnn.device.log.room import check_room
from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.lines import Webhook
from edgecnn.device.outputs.metrics import check_metrics
from edgecnn.device.outputs.mqtt import Mqtt
from edgecnn.device.run.incoming import check_bundle_dir, check_labels
from edgecnn.device.web.door.address import parse_address
from edgecnn.device.web.server import check_web
from edgecnn.errors import ArtifactError, BundleError, OptionError, TruthError

__all__ = ["check_run", "check_source"]

_WORDS = ("folder", "keys", "marker", "none")
_KINDS = ("schedule", "sensor")


def check_source(source: str) -> None:
    """Refuse a source that ends, and wrong settings of a camera.

    Raises:
        OptionError: It is a file.
        SourceError: The camera has no such setting.
    """
    kind = live_kind(source)
    if kind is None:
        raise OptionError(
            f"--source is {source!r}, expected a camera or stream: a service never ends"
        )
    if kind == "picamera2":
        parse_pi_camera(source)


def check_run(run: RunOptions, bundle: Bundle, root: Path) -> list[Path]:
    """Refuse options that end each run at once: systemd would start it again for ever.

    Args:
        root: The working directory of the service: a path of `run` may be relative to it.

    Returns:
        The files and folders that the options name.

    Raises:
        OptionError: They need a screen, end the run or don't fit the bundle, an address is none,
            or a file is absent or wrong.
        MissingRuntimeError: What an output or the page needs is not installed.
    """
    if run.window:
        raise OptionError("[run] has window, but a service has no screen; leave it out")
    if run.max_frames is not None:
        raise OptionError("[run] has max-frames, but a service never ends; leave it out")
    reject = bundle.card.reject
    try:
        run.rule(bundle.card.labels, reject.threshold if reject else None)
        if run.artifact is not None:
            bundle.artifact(run.artifact)
        check_room(run, is_root=True)
        _check_outputs(run)
    except (OptionError, ArtifactError) as error:
        raise OptionError(f"[run]: {error}") from error
    try:
        return [*_check_truth(run, bundle, root), *_check_bundles(run, bundle)]
    except (OptionError, TruthError, BundleError) as error:
        raise OptionError(
            f"[run]: {error}; relative paths are looked for beside the configuration file"
        ) from error


def _check_outputs(run: RunOptions) -> None:
    if run.webhook is not None:
        Webhook(run.webhook)
    if run.mqtt is not None:
        Mqtt(run.mqtt, run.name or "edgecnn")
    if run.metrics is not None:
        check_metrics(run.metrics)
    if run.web is not None:
        parse_address(run.web)
        check_web()


def _check_truth(run: RunOptions, bundle: Bundle, root: Path) -> list[Path]:
    placed = [_placed(name, root, run.region_names) for name in run.truth]
    sources, labels = [name for name, _ in placed], bundle.card.labels
    with load_truths(sources, _Camera(run), labels, regions=run.region_names):
        return [file for _, file in placed if file is not None]


def _check_bundles(run: RunOptions, bundle: Bundle) -> list[Path]:
    others = []
    if run.bundle_dir is not None:
        check_bundle_dir(run.bundle_dir)
        others.append(run.bundle_dir)
    if run.shadow is not None:
        shadow = Bundle.open(run.shadow)
        if shadow.sha256 == bundle.sha256:
            raise OptionError(f"--shadow {run.shadow} is the bundle that runs; give another one")
        check_labels(shadow, bundle.card.labels)
        others.append(run.shadow)
    return others


def _placed(name: str, root: Path, regions: Sequence[str]) -> tuple[str, Path | None]:
    """A truth source as the service finds it, and its file, where it has one."""
    region, what = split_region(name, regions)
    before = "" if region is None else f"{region}="
    kind, colon, file = what.partition(":")
    if kind in _KINDS and file:
        return f"{before}{kind}{colon}{root / file}", root / file
    return (name, None) if what in _WORDS else (f"{before}{root / what}", root / what)


class _Camera(Source):
    """Stands for the camera, which is not opened: what is asked of a source without a frame."""

    live = True
    kind = "camera"

    def __init__(self, options: RunOptions) -> None:
        super().__init__(options, threading.Event())
