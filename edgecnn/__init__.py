"""edgecnn: image classifiers for edge devices that stay accurate outside the lab.

`import edgecnn` loads nothing heavy: every public name is resolved on first use, so the device
side never pays for (or needs) TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgecnn._version import __version__

_HOME = {
    "Classifier": "edgecnn.bundle.classifier",
    "Bundle": "edgecnn.bundle.folder",
    "SessionHeader": "edgecnn.session.header",
    "SessionWriter": "edgecnn.session.write",
    "TrainOptions": "edgecnn.train.options",
    "CalibrateOptions": "edgecnn.calibrate.options",
    "ExportOptions": "edgecnn.export.options",
    "AuditOptions": "edgecnn.audit.options",
    "AdaptOptions": "edgecnn.adapt.options",
    # Packages of their own that can be called: see callable.py.
    "calibrate": "edgecnn",
    "train": "edgecnn",
    "export": "edgecnn",
    "audit": "edgecnn",
    "adapt": "edgecnn",
}
__all__ = [
    "AdaptOptions",
    "AuditOptions",
    "Bundle",
    "CalibrateOptions",
    "Classifier",
    "ExportOptions",
    "SessionHeader",
    "SessionWriter",
    "TrainOptions",
    "__version__",
    "adapt",
    "audit",
    "calibrate",
    "export",
    "train",
]

if TYPE_CHECKING:
    from edgecnn.adapt.adapt import adapt
    from edgecnn.adapt.options import AdaptOptions
    from edgecnn.audit.audit import audit
    from edgecnn.audit.options import AuditOptions
    from edgecnn.bundle.classifier import Classifier
    from edgecnn.bundle.folder import Bundle
    from edgecnn.calibrate.calibrate import calibrate
    from edgecnn.calibrate.options import CalibrateOptions
    from edgecnn.export.export import export
    from edgecnn.export.options import ExportOptions
    from edgecnn.session.header import SessionHeader
    from edgecnn.session.write import SessionWriter
    from edgecnn.train.options import TrainOptions
    from edgecnn.train.train import train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgecnn' has no attribute {name!r}")
    if _HOME[name] == __name__:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
