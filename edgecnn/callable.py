"""Make packages callable, so that `edgecnn.export` is both a folder of modules and a function.

Python binds a package's name in its parent when one of its modules is imported. This would
replace a function of the same name, so the package itself can be called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        home, function = self.__dict__["__call_target__"]
        return getattr(import_module(home), function)(*args, **kwargs)


def make_callable(package: str, module: str, function: str) -> None:
    """Let `package(...)` call `function` of its `module`, which is imported at the call."""
    target = sys.modules[package]
    target.__class__ = _CallablePackage
    target.__dict__["__call_target__"] = (f"{package}.{module}", function)
