"""Make packages callable, so that `edgecnn.export` is both a folder of modules and a function.

Python binds a package's name in its parent when one of its modules is imported. This would
replace a function of the same name, so the package itself can be called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Signature, getdoc, signature
from types import ModuleType
from typing import Any

from edgecnn.option import options_of

__all__ = ["make_callable"]


class _CallablePackage(ModuleType):
    _target: tuple[str, str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def _function(self) -> Callable[..., Any]:
        home, name = self._target
        function: Callable[..., Any] = getattr(import_module(home), name)
        return function

    @property
    def __signature__(self) -> Signature:
        return signature(self._function)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """That of the function, with its options: what `help(edgecnn.train)` shows."""
        function, options = self._function, f"{self._target[1].capitalize()}Options"
        declared = options_of(getattr(import_module(f"{self.__name__}.options"), options))
        lines = [f"    {one.name}: {one.help}" for one in declared]
        title = f"Options, the fields of edgecnn.{options}:"
        head = f"{self._target[1]}{self.__signature__}"
        return "\n".join([head, "", getdoc(function) or "", "", title, *lines])


def make_callable(package: str, module: str, function: str) -> None:
    """Let `package(...)` call `function` of its `module`, which is imported at the call."""
    target = sys.modules[package]
    target.__class__ = _CallablePackage
    target.__dict__["_target"] = (f"{package}.{module}", function)
