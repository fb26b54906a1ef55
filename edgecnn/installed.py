"""What is installed: a device has none of the lab's libraries."""

from __future__ import annotations

from importlib.util import find_spec

from edgecnn.errors import MissingRuntimeError

__all__ = ["check_installed"]

# Packages that are called otherwise than the module that they hold.
_PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}


def check_installed(what: str, *modules: str, extra: str = "lab") -> None:
    """Find out before the work whether the lab's libraries are there.

    Args:
        what: What needs them, such as "training".
        modules: Their names in an import.
        extra: Which of edgecnn's extras brings all of them.

    Raises:
        MissingRuntimeError: One is not installed, as on a device.
    """
    missing = [_PACKAGES.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise MissingRuntimeError(
            f"{what} needs {', '.join(missing)}, not installed here; pip install '.[{extra}]' "
            "in a clone of edgecnn"
        )
