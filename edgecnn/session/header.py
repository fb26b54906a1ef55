"""session.json: which bundle ran where and on what. Format 2 is written, format 1 is still read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgecnn._version import __version__
from edgecnn.accuracy.thing_rule import LOOKS, ThingRule
from edgecnn.bundle.card import Artifact, Card
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.frame_view import FrameView
from edgecnn.errors import EdgecnnError, SessionError, reason_of
from edgecnn.files.staging import write_file
from edgecnn.records import Json, Record, decode, expect_object, json_as, json_text
from edgecnn.session.layout import HEADER_NAME, PICTURES_NAME
from edgecnn.session.truth_csv import parse_moment
from edgecnn.words import number

__all__ = [
    "SESSION_FORMAT",
    "RunPart",
    "Session",
    "SessionHeader",
    "ShadowBundle",
    "open_session",
    "read_header",
    "write_header",
]

SESSION_FORMAT = 2
_FORMATS = (1, SESSION_FORMAT)


@dataclass(frozen=True)
class ShadowBundle(Record):
    """A bundle that answered the same frames beside the one that ran, and the file of it."""

    path: str
    sha256: str
    artifact: str

    @classmethod
    def of(cls, bundle: Bundle, artifact: Artifact) -> ShadowBundle:
        return cls(str(bundle.path.resolve()), bundle.sha256, artifact.file)


@dataclass(frozen=True)
class RunPart(Record):
    """What a session needs of its run, where the run began in an earlier session.

    started_at      when the first session of the run started, as in its header
    first_frame_ms  when the run's first frame was captured, on the clock of this session: below 0
    """

    started_at: str
    first_frame_ms: int


@dataclass(frozen=True)
class SessionHeader(Record):
    """What was measured: enough for an audit without the bundle, and never a label of the field.

    Args:
        bundle_path, bundle_sha256: The bundle that ran.
        card: Its card.
        artifact, artifact_sha256: The file of it that ran.
        device, fallback: Where it ran, and why that is not what was asked for.
        runtime: The interpreter.
        source: The camera, stream, video or folder, without passwords.
        source_color: "bgr", or "rgb" for a source that delivers R, G, B.
        truth: The label sources, such as ("csv",); empty when there was none.
        regions: What was cut out of each frame; empty when all of it was classified.
        host: The machine: its name, model, system.
        boot_id: Changes when the machine starts; times of one boot can be compared.
        name, site: What people call this device and its place, where they said so.
        things: What counts as one thing, see `accuracy.thing_rule`.
        started_at: UTC, ISO 8601; the moment from which events count their time.
        shadow: What answered beside the bundle, where something did.
        run: Where the run began in an earlier session; else None.
    """

    bundle_path: str = field(metadata=json_as(hidden=True))
    bundle_sha256: str = field(metadata=json_as(hidden=True))
    card: Card
    artifact: str
    artifact_sha256: str | None = None
    device: str | None = None
    fallback: str | None = None
    runtime: str | None = None
    source: str | None = None
    source_color: str | None = None
    truth: tuple[str, ...] = ()
    regions: tuple[FrameView, ...] = ()
    host: Json = field(default_factory=dict)
    boot_id: str | None = None
    name: str | None = None
    site: str | None = None
    things: str = LOOKS
    started_at: str | None = None
    shadow: ShadowBundle | None = None
    run: RunPart | None = None
    edgecnn: str | None = __version__
    format: int = SESSION_FORMAT

    def check_start(self) -> None:
        """Refuse a start that is no time.

        Raises:
            ValueError: It is none.
        """
        for at in (self.started_at, None if self.run is None else self.run.started_at):
            if at is not None and parse_moment(at, absolute=True) is None:
                raise ValueError(f"started_at is {at!r}, expected a time such as 2026-05-01T10:00Z")

    @property
    def thing_rule(self) -> ThingRule:
        """What counts as one thing.

        Raises:
            OptionError: `things` names nothing known.
        """
        return ThingRule.parse(self.things)

    @property
    def ran_over_files(self) -> bool:
        """Whether the source was a video or images: of these the header has the whole path."""
        source = Path(self.source or "")
        return source.is_absolute() and source.parts[1:2] != ("dev",)

    @property
    def first_frame_ms(self) -> int | None:
        """When the run's first frame was captured, on this session's clock; None where the first
        frame of the session is the run's.
        """
        return None if self.run is None else self.run.first_frame_ms

    @property
    def run_key(self) -> tuple[str | None, str | None]:
        """Where a session has a `run`, it is alike in all sessions of that."""
        return self.boot_id, self.started_at if self.run is None else self.run.started_at

    @classmethod
    def of(cls, bundle: Path | str, artifact: str | None = None, **known: Any) -> SessionHeader:
        """The header of a session that another program records with a bundle.

        Args:
            bundle: NAME.edgecnn, a folder or its zip.
            artifact: File name or kind of the file that ran; None takes the one for devices.
            known: Other fields of the header, such as `device`, `runtime`, `source` or `name`.

        Raises:
            BundleError: The bundle can't be used.
            ArtifactError: It has no such artifact.

        Example:
            header = edgecnn.SessionHeader.of("digits.edgecnn", device="my phone")
        """
        opened = Bundle.open(bundle)
        ran = opened.artifact(artifact)
        return cls(
            bundle_path=str(Path(bundle).absolute()),
            bundle_sha256=opened.sha256,
            card=opened.card,
            artifact=ran.file,
            artifact_sha256=ran.sha256,
            **known,
        )

    def of_other(
        self, bundle: Bundle, artifact: Artifact, shadow: ShadowBundle | None
    ) -> SessionHeader:
        """The header of the session that follows where another bundle begins to answer."""
        return replace(
            self,
            bundle_path=str(bundle.path.resolve()),
            bundle_sha256=bundle.sha256,
            card=bundle.card,
            artifact=artifact.file,
            artifact_sha256=artifact.sha256,
            shadow=shadow,
        )

    def to_json(self) -> Json:
        """What session.json holds."""
        bundle = {"path": self.bundle_path, "sha256": self.bundle_sha256}
        first = {"format": self.format, "edgecnn": self.edgecnn, "bundle": bundle}
        return first | super().to_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SessionHeader:
        """Read either format; format 1 names one label source, "none" without any."""
        known = {key: value for key, value in data.items() if value is not None}
        truth = known.get("truth", [])
        sources = decode(tuple[str, ...], [truth] if isinstance(truth, str) else truth, "truth")
        bundle = expect_object(data["bundle"], "bundle")
        more = {
            "bundle_path": bundle["path"],
            "bundle_sha256": bundle["sha256"],
            "truth": [name for name in sources if name != "none"],
            "edgecnn": data.get("edgecnn"),
        }
        return super().from_json(known | more)

    def summary(self) -> Json:
        """What a report says about how the session came about."""
        return {
            "artifact": self.artifact,
            "edgecnn": self.edgecnn,
            "device": self.device,
            "runtime": self.runtime,
            "source": self.source,
            "source_color": self.source_color,
            "truth": ", ".join(self.truth) or "none",
            "host": self.host,
            "name": self.name,
            "site": self.site,
            "started_at": self.started_at,
            "day": self.started_at[:10] if self.started_at else None,
        }

    def differences(self, other: SessionHeader) -> list[str]:
        """How the device path of two sessions differs, such as "device 'cpu' against 'edgetpu'"."""
        pairs = [
            ("device", self.device, other.device),
            ("runtime", self.runtime, other.runtime),
            ("source_color", self.source_color, other.source_color),
        ]
        return [
            f"{what} {ours!r} against {theirs!r}" for what, ours, theirs in pairs if ours != theirs
        ]

    def other_recording(self, other: SessionHeader) -> str | None:
        """What says that two sessions are no copies of one recording; None where nothing does.

        Paths are not compared: a header is copied as it is, but tools may write them anew.
        """
        pairs = [
            ("bundle", self.bundle_sha256, other.bundle_sha256),
            ("artifact", self.artifact, other.artifact),
            ("start", self.started_at, other.started_at),
            ("machine's boot_id", self.boot_id, other.boot_id),
        ]
        differing = (
            f"its {what} is {ours or 'unknown'}, expected {theirs or 'unknown'}"
            for what, ours, theirs in pairs
            if ours != theirs
        )
        return next(differing, None)


def write_header(session: Path, header: SessionHeader) -> None:
    """Write session.json, whole or not at all.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_file(session / HEADER_NAME, json_text(replace(header, format=SESSION_FORMAT).to_json()))


def read_header(session: Path) -> SessionHeader:
    """Read session.json of either format.

    Raises:
        SessionError: No session folder, or one of another format.
    """
    file = session / HEADER_NAME
    try:
        data = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        what = f"has no {HEADER_NAME}" if session.exists() else "does not exist"
        raise SessionError(
            f"{session} {what}, expected a folder that `edgecnn run --log` wrote"
        ) from error
    except OSError as error:
        raise SessionError(f"can't read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise SessionError(f"{file} is not JSON ({error}); record the session again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found not in _FORMATS:
        raise SessionError(
            f"{file} has format {found!r}, this edgecnn reads formats 1 and {SESSION_FORMAT}; "
            "audit it with the edgecnn that wrote it"
        )
    try:
        header = SessionHeader.from_json(data)
        if torn := header.card.torn_fields():
            count = number(len(header.card.labels), "label")
            raise ValueError(f"card: {', '.join(torn)} can't be those of its {count}")
        header.check_start()
        _ = header.thing_rule  # a torn one raises here
    except (KeyError, TypeError, ValueError, EdgecnnError) as error:
        reason = reason_of(error).removesuffix("; export again")
        raise SessionError(
            f"{file} is not as the run wrote it ({reason}); undo what was changed "
            "in it, or copy the session from its device again"
        ) from error
    return header


@dataclass(frozen=True)
class Session:
    """A SESSION folder and its header: which bundle ran where."""

    path: Path
    header: SessionHeader

    @property
    def card(self) -> Card:
        return self.header.card

    @property
    def artifact(self) -> str:
        """The file of the bundle that ran."""
        return self.header.artifact

    @property
    def bundle_sha256(self) -> str:
        return self.header.bundle_sha256

    def picture(self, name: str) -> Path:
        """A kept picture by its file name; folders in the name are not followed."""
        return self.path / PICTURES_NAME / Path(name).name

    def summary(self) -> Json:
        """What a report says about how the session came about."""
        return {"path": str(self.path), **self.header.summary()}


def open_session(path: Path | str) -> Session:
    """Read the header of a session.

    Raises:
        SessionError: No session folder, or one of another format.
    """
    return Session(Path(path), read_header(Path(path)))
