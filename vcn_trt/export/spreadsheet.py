"""CSV for a spreadsheet: one row a range, with source and record timecode."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vcn_trt.export.text import one_line, reel
from vcn_trt.export.timeline import Timeline, rate_name

COLUMNS = (
    *("people", "clip", "reel", "rate", "shot", "start_frame", "stop_frame", "seconds"),
    *("source_in", "source_out", "record_in", "record_out", "timeline", "tracks"),
)
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write(timelines: Sequence[Timeline]) -> str:
    """Outs are exclusive. It begins with a byte order mark, without which Excel takes UTF-8 for another encoding. A
    text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection)."""
    out = io.StringIO(newline="")
    out.write("\ufeff")
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for timeline in timelines:
        for e in timeline.events:
            seconds = e.media.seconds(e.range.stop) - e.media.seconds(e.range.start)
            texts = (e.label, e.clip_name, reel(e.media.reel), rate_name(timeline.clock))
            numbers = (e.range.shot, e.range.start, e.range.stop, f"{seconds:.3f}")
            table.writerow(
                [
                    *map(safe, texts),
                    *numbers,
                    e.media.timecode(e.source_in),
                    e.media.timecode(e.source_out),
                    timeline.timecode(e.record_in),
                    timeline.timecode(e.record_out),
                    safe(timeline.name),
                    " ".join(map(str, e.range.tracks)),
                ]
            )
    return out.getvalue()


def safe(text: str) -> str:
    """A cell that no spreadsheet computes."""
    text = one_line(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
