"""A value of any option or result class of edgecnn, made from its type hints.

`python tests/samples.py > tests/json_keys.json` records the keys of all results.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

import edgecnn

PACKAGE = Path(edgecnn.__file__).parent
# A program that bundles carry, not a module.
PROGRAM = PACKAGE / "export" / "packing" / "classify.py"

# What type hints alone don't say: a value that the class's own rules accept.
KNOWN: dict[str, dict[str, Any]] = {
    "Card": {"labels": ("k",), "prior": (1.0,), "format": 1},
    "Fault": {"kind": "path"},
    "LabResult": {"read_as": ({0: 1},)},
    "Live": {"confusion": ((1,),)},
    "CameraFit": {"verdict": "alike", "ranges": {"defocus": (0.0, 1.0)}},
    "InputSpec": {"width": 8, "height": 8, "color": "RGB", "dtype": "uint8", "orient": "exif"},
    "Finding": {"severity": "problem"},
    "FrameView": {"rotate": 90, "region": None, "corners": (0, 0, 5, 0, 5, 5, 0, 5)},
    "Estimate": {"flag": "ok"},
    "BenchmarkRow": {"invoke_ms": {"p50": 1.0}, "total_ms": {"p50": 1.0}},
    "ExportResult": {"kinds": {"k": {"text": "k", "edgetpu": {"text": "k"}}}},
}
_MOMENT = datetime(2026, 11, 28, tzinfo=timezone.utc)
_PLAIN = {int: 3, float: 0.5, str: "k", bool: True, bytes: b"k", Path: Path("k"), Any: "k"}
_PLAIN[datetime] = _MOMENT


@cache
def classes() -> tuple[type, ...]:
    """Every public dataclass of edgecnn, by module and name."""
    return tuple(_classes())


def _classes() -> Iterator[type]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PROGRAM or path.stem in ("__init__", "__main__"):
            continue
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == name:
                yield value


def sample(cls: Any) -> Any:
    """A value of a class or type hint: nothing is None and no container is empty."""
    if cls in _PLAIN:
        return _PLAIN[cls]
    if cls is np.ndarray:
        return np.ones(3, np.float32)
    if is_dataclass(cls):
        return _instance(cls)
    origin, args = get_origin(cls), get_args(cls)
    if origin is Literal:
        return args[0]
    if origin in (Union, types.UnionType):
        return sample(next(arg for arg in args if arg is not type(None)))
    if origin is tuple:
        return (sample(args[0]),) if args[-1] is Ellipsis else tuple(map(sample, args))
    if origin is Callable:
        return sample
    if origin is list:
        return [sample(args[0])]
    if origin is dict:
        return {"k": sample(args[1])}
    if isinstance(cls, type) and issubclass(cls, tuple):
        return cls(*map(sample, get_type_hints(cls).values()))
    raise TypeError(f"no sample of {cls}")


def _instance(cls: Any) -> Any:
    names = _names(cls)
    hints = get_type_hints(cls, None, names)
    known = KNOWN.get(cls.__name__, {})
    values = {}
    for field in fields(cls):
        if not field.init:
            continue
        if field.name in known:
            values[field.name] = known[field.name]
        elif cls.__name__.endswith("Options") and field.default is not MISSING:
            values[field.name] = field.default
        else:
            values[field.name] = sample(hints[field.name])
    return cls(**values)


def _names(cls: type) -> dict[str, Any]:
    """What the class's module imports for type checkers only: found by name."""
    have = vars(sys.modules[cls.__module__])
    return {found.__name__: found for found in classes() if found.__name__ not in have}


def key_paths(value: Any, path: str = "") -> list[str]:
    """The paths of all keys of a JSON value, sorted; a list adds nothing to a path."""
    found = []
    if isinstance(value, dict):
        for key, entry in value.items():
            found += [f"{path}{key}", *key_paths(entry, f"{path}{key}.")]
    elif isinstance(value, list) and value:
        found = key_paths(value[0], path)
    return sorted(found)


def _record() -> None:
    """Print the keys of all results, as tests/json_keys.json holds them."""
    found = {}
    for cls in classes():
        if hasattr(cls, "to_json") and not cls.__module__.startswith("edgecnn.session"):
            made = sample(cls)
            data = made.to_json(("k",)) if cls.__name__ == "LabResult" else made.to_json()
            found[cls.__name__] = key_paths(json.loads(json.dumps(data)))
    lines = (f"{json.dumps(name)}: {json.dumps(paths)}" for name, paths in sorted(found.items()))
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    _record()
