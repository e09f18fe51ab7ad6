"""One thing that was looked at: what `vcn doctor` prints a line of, and what keeps a device from being used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "optional"]


@dataclass(frozen=True)
class Finding:
    """One line of an examination. mend: the command that helps, where something is amiss. "missing" keeps what was
    asked for from working, "optional" does not. section: the heading that the line stands under, "" for none."""

    what: str
    state: State
    found: str
    mend: str = ""
    section: str = ""
