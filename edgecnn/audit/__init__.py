"""Live accuracy beside lab accuracy, and where the gap comes from; no TensorFlow needed.

`edgecnn.audit` is this package and, to a program, also the function: Python binds the name to
the package as soon as a module of it is imported, so the package can be called.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `edgecnn.audit.compare.audit`."""
        from edgecnn.audit.compare import audit

        return audit(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
