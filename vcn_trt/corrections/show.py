"""`report.html` anew, after a correction."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vcn_trt.cluster import people
from vcn_trt.corrections.edit import open_tracks
from vcn_trt.report.page import REPORT
from vcn_trt.run import Desk


def renew_report(folder: Path) -> None:
    """Write the page of the answer as it is now."""
    tracks = open_tracks(folder)
    with tempfile.TemporaryDirectory(dir=folder / ".work") as name:
        aside = Path(name)
        REPORT.compute(Desk(aside, aside, aside, lambda *_: None), tracks, people.load(folder, {}))
        for file in REPORT.files:
            os.replace(aside / file, folder / file)
