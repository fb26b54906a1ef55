"""The errors that a user can cause or fix.

A message is one line that says what was found, what was expected and what to do.
`cli.main` catches `EdgecnnError` only and exits with status 2.
"""

import re
from collections.abc import Sequence

__all__ = [
    "ArtifactError",
    "BundleError",
    "CalibrationError",
    "DataError",
    "EdgecnnError",
    "ImageError",
    "MissingRuntimeError",
    "ModelError",
    "OptionError",
    "OutputError",
    "SessionError",
    "SourceError",
    "TruthError",
    "listed",
    "one_line",
    "reason_of",
]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class EdgecnnError(Exception):
    """The user's input or environment is wrong; the message is one line."""


class OptionError(EdgecnnError):
    """An option that is out of its range or contradicts another one."""


class DataError(EdgecnnError):
    """A folder or data set that can't be used."""


class ImageError(DataError):
    """One image file that can't be decoded whole."""


class CalibrationError(DataError):
    """A representative data set that would ruin a quantized model."""


class ModelError(EdgecnnError):
    """A network or MODEL folder that can't be used."""


class BundleError(EdgecnnError):
    """A bundle that is incomplete, edited or of another format."""


class ArtifactError(BundleError):
    """A .tflite or .onnx file that can't be run as an image classifier."""


class MissingRuntimeError(EdgecnnError):
    """A library or delegate that this command needs is not installed."""


class SourceError(EdgecnnError):
    """A camera, stream, video or pattern that gives no frames."""


class TruthError(EdgecnnError):
    """A label source that is malformed or contradicts the bundle."""


class SessionError(EdgecnnError):
    """A session folder that can't be read."""


class OutputError(EdgecnnError):
    """A place that can't be written to."""


def one_line(error: BaseException, most: int = 200) -> str:
    """Turn another library's error into part of one line, without line ends and colours.

    Example:
        >>> one_line(ValueError("first\\n  second"))
        'first second'
    """
    return " ".join(_COLOURS.sub("", str(error)).split())[:most] or type(error).__name__


def listed(names: Sequence[str]) -> str:
    """The first 20 names for a message, and how many more there are."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(map(repr, names[:20])) + more


def reason_of(error: Exception) -> str:
    """What is wrong with JSON that could not be read as a record.

    Example:
        >>> reason_of(KeyError("labels"))
        "no 'labels'"
    """
    return f"no {error}" if isinstance(error, KeyError) else str(error)
