"""Packages that can be called, so that `edgecnn.export` is a folder of modules and a function.

Python binds a package's name in its parent as soon as one of its modules is imported, so a
function of the same name would be lost; the package itself answers instead.
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
    """Let `package(...)` call `function` of its `module`, which is imported only then."""
    target = sys.modules[package]
    target.__class__ = _CallablePackage
    target.__dict__["__call_target__"] = (f"{package}.{module}", function)
