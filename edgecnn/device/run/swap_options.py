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
    switch_when: str | None = option(
        None,
        "Let the shadow answer from the moment that labelled frames show it to be better. "
        "It happens once a run; the old bundle then becomes the shadow.",
        choices=("better",),
        shown="never",
    )

    def __post_init__(self) -> None:
        check_options(self)

    def check_swaps(self, device: str, log: Path | None) -> None:
        """Refuse what can't go together.

        Raises:
            OptionError: A swap into one session, on an Edge TPU, or for two reasons.
        """
        switches = self.switch_when is not None
        flag = "--switch-when" if switches else "--bundle-dir"
        if self.shadow is None and (switches or self.shadow_every > 1):
            about = "--switch-when" if switches else "--shadow-every"
            raise OptionError(f"{about} is about the bundle of --shadow; name it")
        if self.bundle_dir is None and not switches:
            return
        if switches and self.bundle_dir is not None:
            raise OptionError(
                "--switch-when and --bundle-dir both decide which bundle answers; leave one out"
            )
        if log is not None:
            raise OptionError(
                f"{flag} begins a new session with each bundle; give --log-root ROOT in place of "
                "--log"
            )
        if device != "cpu":
            raise OptionError(
                f"{flag} works on the CPU only, and --device is {device}: two files on one Edge "
                "TPU were never tried; start another run"
            )
