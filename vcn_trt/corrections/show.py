"""`report.html` anew, after a correction."""

from __future__ import annotations

from pathlib import Path

from vcn_trt.answer import open_run
from vcn_trt.report import page
from vcn_trt.run import replace_text


def renew_report(folder: Path) -> None:
    """Write the page of the answer as it is now."""
    replace_text(folder / page.FILE, page.of_run(open_run(folder)))
