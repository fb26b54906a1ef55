"""The options of other bundles that a run takes in: a folder of new ones, and a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import OptionError
from edgecnn.option import check_options, option

__all__ = ["SwapOptions"]


@dataclass(frozen=True)
class SwapOptions:
    """Which other bundles a run takes in.

    watch_s    how long the run waits between two looks into `bundle_dir`
    """

    watch_s: float = 1.0

    bundle_dir: Path | None = option(
        None,
        "Take the newest bundle of this folder without a stop, now and whenever one is put there. "
        "It must have the same labels and give the lab's answers to its golden frames.",
        panel="Other bundles",
        metavar="DIR",
    )
    shadow: Path | None = option(
        None,
        "Let this bundle answer the same frames too: its answers are logged and compared, "
        "and go nowhere else.",
        metavar="BUNDLE",
    )
    shadow_every: int = option(
        1, "Let the shadow answer every Nth frame, where the device can't do all.", low=1
    )

    def __post_init__(self) -> None:
        check_options(self)

    def check_swaps(self, device: str, log: Path | None) -> None:
        """Refuse what can't go together.

        Raises:
            OptionError: A swap into one session, or on an Edge TPU.
        """
        if self.bundle_dir is None:
            return
        if log is not None:
            raise OptionError(
                "--bundle-dir begins a new session with each bundle; give --log-root ROOT in "
                "place of --log"
            )
        if device != "cpu":
            raise OptionError(
                f"--bundle-dir works on the CPU only, and --device is {device}: two files on one "
                "Edge TPU were never tried; start another run"
            )
