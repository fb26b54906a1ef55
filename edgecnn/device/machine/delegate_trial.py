"""Tries a delegate in a process of its own: a library that crashes there kills no run.

The libedgetpu of 2021 dies of a segmentation fault with newer runtimes (google-coral/edgetpu issues
731 and 812). `python -m edgecnn.device.machine.delegate_trial` reads the request of `try_delegate`.
"""

from __future__ import annotations

from pathlib import Path

from edgecnn.device.machine.isolated import NO_SECOND_PYTHON, call, serve
from edgecnn.errors import EdgecnnError, MissingRuntimeError
from edgecnn.records import Json

__all__ = ["try_delegate"]

_LONGEST_S = 120.0


def try_delegate(
    device: str, runtime: str | None = None, bundle: Path | None = None, file: str | None = None
) -> str | None:
    """Load a delegate, with a bundle also a file of it, and answer its golden frames.

    Args:
        device: "edgetpu", "edgetpu:usb", or a delegate library.

    Returns:
        Why it can't be used, or can't be tried here, where that is no crash; None where it can.

    Raises:
        MissingRuntimeError: Its process died or hung: it must not be loaded here.
    """
    request: Json = {"device": device, "runtime": runtime, "file": file}
    request["bundle"] = None if bundle is None else str(bundle.absolute())
    try:
        failure: str | None = call(__name__, request, _LONGEST_S)["failure"]
    except MissingRuntimeError as error:
        if NO_SECOND_PYTHON in str(error):
            return str(error)
        raise MissingRuntimeError(
            f"{device} can't be used with this runtime: {error}; take builds that belong "
            "together (docs/devices.md, Coral); or run with --device cpu"
        ) from error
    return failure


def _answer(request: Json) -> Json:
    # Here, since `doctor` has to start where these can't be imported.
    from edgecnn.bundle.classifier import Classifier
    from edgecnn.bundle.runtime.module import open_delegate

    try:
        if request["bundle"] is None:
            open_delegate(request["device"], request["runtime"])
        else:
            Classifier(
                request["bundle"],
                request["file"],
                device=request["device"],
                runtime=request["runtime"],
            ).replay_golden()
    except EdgecnnError as error:  # the caller meets it again, with its type
        return {"failure": str(error)}
    return {"failure": None}


if __name__ == "__main__":
    serve(_answer)
