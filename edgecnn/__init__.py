"""edgecnn: image classifiers for edge devices that stay accurate outside the lab.

`import edgecnn` loads nothing heavy: every public name is resolved on first use, so the device
side never pays for (or needs) TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Classifier": "edgecnn.classifier",
    "Bundle": "edgecnn.bundle",
    "train": "edgecnn.model.train",
    "TrainOptions": "edgecnn.model.options",
    "CalibrateOptions": "edgecnn.calibrate.build",
    "ExportOptions": "edgecnn.export.result",
    "AuditOptions": "edgecnn.audit.result",
    # Packages of their own that can be called: see callable.py.
    "calibrate": "edgecnn",
    "export": "edgecnn",
    "audit": "edgecnn",
}
__all__ = [
    "AuditOptions",
    "Bundle",
    "CalibrateOptions",
    "Classifier",
    "ExportOptions",
    "TrainOptions",
    "__version__",
    "audit",
    "calibrate",
    "export",
    "train",
]

if TYPE_CHECKING:
    from edgecnn.audit.compare import audit
    from edgecnn.audit.result import AuditOptions
    from edgecnn.bundle import Bundle
    from edgecnn.calibrate.build import CalibrateOptions, calibrate
    from edgecnn.classifier import Classifier
    from edgecnn.export.build import export
    from edgecnn.export.result import ExportOptions
    from edgecnn.model.options import TrainOptions
    from edgecnn.model.train import train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgecnn' has no attribute {name!r}")
    if _HOME[name] == __name__:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(_HOME[name]), name)
