"""SMPTE timecode (ST 12-1): the name of each frame, in exact integers. Drop-frame skips names, never frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_FORM = re.compile(r"(\d{1,2})[:;](\d{2})[:;](\d{2})[:;.,](\d{2,3})")


@dataclass(frozen=True)
class Clock:
    """How the frames of a rate are named. drop: the first names of every minute but each tenth are skipped, 2 at 29.97
    and 4 at 59.94, so that timecode keeps to the time on the wall within a frame or two a day (86.4 ms at 29.97).

    Raises ValueError for drop-frame at a rate that has none.
    """

    fps: Fraction
    drop: bool = False

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"a clock needs a rate above 0, found {self.fps}")
        if self.drop and not can_drop(self.fps):
            raise ValueError(f"there is no drop-frame timecode at {self.fps} frames a second, only at 29.97 and 59.94")

    @property
    def nominal(self) -> int:
        """Names a second: 24 at 23.976, 30 at 29.97."""
        return max(1, round(self.fps))

    @property
    def dropped(self) -> int:
        """Names skipped at the start of a minute."""
        return self.nominal // 15 if self.drop else 0

    @property
    def day(self) -> int:
        """Frames until the names begin again at 00:00:00:00."""
        return 144 * (600 * self.nominal - 9 * self.dropped)

    def text(self, frame: int) -> str:
        """HH:MM:SS:FF of a frame counted from 00:00:00:00, a semicolon before FF in drop-frame; past 24 h it begins
        anew."""
        minute, ten = 60 * self.nominal - self.dropped, 600 * self.nominal - 9 * self.dropped
        tens, rest = divmod(frame % self.day, ten)
        # Each ten minutes begin with a whole minute, nine short ones follow.
        short = max(0, rest - self.dropped) // minute
        name = frame % self.day + self.dropped * (9 * tens + short)
        seconds, frames = divmod(name, self.nominal)
        width = max(2, len(str(self.nominal - 1)))
        separator = ";" if self.drop else ":"
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{frames:0{width}d}"

    def frame(self, text: str) -> int:
        """The frame of a timecode, whatever its separators. Raises ValueError where no frame has that name."""
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise ValueError(f"expected a timecode as 01:00:00:00, found {text!r}")
        hours, minutes, seconds, frames = map(int, found.groups())
        if hours > 23 or minutes > 59 or seconds > 59 or frames >= self.nominal:
            raise ValueError(f"{text!r} is no timecode at {self.nominal} frames a second")
        if minutes % 10 and seconds == 0 and frames < self.dropped:
            raise ValueError(f"{text!r} is a name that drop-frame timecode skips")
        total = 60 * hours + minutes
        return (60 * total + seconds) * self.nominal + frames - self.dropped * (total - total // 10)


def can_drop(fps: Fraction) -> bool:
    """Whether the rate is 29.97, 59.94 or another multiple of the first."""
    nominal = round(fps)
    return nominal > 0 and nominal % 30 == 0 and fps == Fraction(nominal * 1000, 1001)


def start_of(fps: Fraction, timecode: str | None) -> tuple[Clock, int, str | None]:
    """The clock of a video and its first frame's number on it, from the container's start timecode; a semicolon in it
    means drop-frame. A video without one begins at 00:00:00:00, non-drop.

    -> clock, frame, and a sentence where the timecode cannot be meant: then as without one.
    """
    if timecode is None:
        return Clock(fps), 0, None
    dropping = ";" in timecode
    try:
        clock = Clock(fps, dropping)
        return clock, clock.frame(timecode), None
    except ValueError as error:
        return Clock(fps), 0, f"its start timecode is not used, it counts from 00:00:00:00: {error}"
