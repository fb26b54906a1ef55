"""TOML, by Python's own parser where it has one."""

from __future__ import annotations

import sys

from edgecnn.records import Json

__all__ = ["parse_toml"]


def parse_toml(text: str) -> Json:
    """The tables of a TOML file.

    Raises:
        ValueError: It is none.

    Example:
        >>> parse_toml("[run]\\nrotate = 90")
        {'run': {'rotate': 90}}
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)
