"""JSON for other programs: every range with frames, seconds, and source and record timecode; names as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vcn_trt import store
from vcn_trt.export.timeline import Timeline
from vcn_trt.media import Media

SCHEMA = "vcn-trt/ranges/1"


def write(timelines: Sequence[Timeline], media: Sequence[Media]) -> str:
    return json.dumps(tree(timelines, media), indent=1) + "\n"


def tree(timelines: Sequence[Timeline], media: Sequence[Media]) -> dict[str, Any]:
    """The form of docs/editors.md; stop and out are exclusive."""
    return {
        "schema": SCHEMA,
        "videos": [
            {
                **store.video_to_json(m.video),
                "reel": m.reel,
                "drop_frame": m.clock.drop,
                "variable_rate": m.variable,
                "notes": list(m.notes),
            }
            for m in media
        ],
        "ranges": [
            {
                "people": e.range.label,
                "clusters": list(e.range.people),
                "video": e.range.video,
                "shot": e.range.shot,
                "start": e.range.start,
                "stop": e.range.stop,
                "start_seconds": round(e.media.seconds(e.range.start), 6),
                "stop_seconds": round(e.media.seconds(e.range.stop), 6),
                "source_in": e.media.timecode(e.source_in),
                "source_out": e.media.timecode(e.source_out),
                "record_in": timeline.timecode(e.record_in),
                "record_out": timeline.timecode(e.record_out),
                "timeline": timeline.name,
                "tracks": list(e.range.tracks),
            }
            for timeline in timelines
            for e in timeline.events
        ],
    }
