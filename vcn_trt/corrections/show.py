"""`report.html` anew, after a correction."""

from __future__ import annotations

from pathlib import Path

from vcn_trt import cast, store
from vcn_trt.cluster import people
from vcn_trt.corrections.edit import open_run
from vcn_trt.report import page
from vcn_trt.run import read_record, replace_text


def renew_report(folder: Path) -> None:
    """Write the page of the answer as it is now."""
    also = page.Told(cast.names(folder), read_record(folder))
    vectors = store.find_embeddings(folder / "embeddings.npz")
    html = page.document(open_run(folder).tracks, people.load(folder, {}), vectors, also, folder / page.KEEP)
    replace_text(folder / page.FILE, html)
