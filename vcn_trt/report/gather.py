"""All that the page shows, as plain values: what is embedded in `report.html` as JSON, and what a server would send."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import cast, draw, media
from vcn_trt.cluster.people import screen_seconds
from vcn_trt.report import checks, pictures
from vcn_trt.report.embedding_map import embedding_map
from vcn_trt.types import UNKNOWN, Clusters, Embeddings, Faces, TrackSet

SCHEMA = "vcn-trt/report/1"

REASONS = {
    "short": "Seen in too few frames",
    "crops": "Too small or too blurred",
    "quality": "Hardly a face: the network is unsure of it, or the detector was",
    "no_face": "No face, as was said by hand",
    "rejected": "Taken from a person by hand",
    "ok": "No face to compare",
}


Facts = Callable[[NDArray[np.int64]], dict[str, Any]]
"""What is told of a person, by their tracks: `facts_of`, and a cover."""


def gather(
    tracks: TrackSet,
    people: Clusters,
    names: Mapping[int, str | None],
    vectors: Embeddings | None,
    faceless: float = float("nan"),
    keep: Path | None = None,
) -> dict[str, Any]:
    """names: of the clusters, as of `cast.names`. vectors: None leaves the map out. faceless: the quality of pictures
    without a face, NaN where it was not measured. keep: as of `embedding_map`. Clusters of one name are one person, by
    the number of the first."""

    def facts(own: NDArray[np.int64]) -> dict[str, Any]:
        face = pictures.cover(tracks, own)
        return facts_of(tracks, own) | {"cover": face and vars(face)}

    found = checks.check(tracks, people, faceless)
    seen, said = film(tracks), answer(tracks, people, names, facts) | {"checks": found.tree}
    number = np.array(said["tracks"]["person"])
    groups = [np.flatnonzero(number == person["number"]) for person in said["people"]]
    groups += [np.array(group["tracks"]) for group in said["unknown"]]
    shown = pictures.of_tracks(tracks, sorted(set(pictures.chosen(tracks, groups)) | found.tracks))
    for picture in shown:
        seen["tracks"]["frame"][picture.track] = picture.frame
    return {
        "schema": SCHEMA,
        **said,
        "videos": seen["videos"],
        "tracks": seen["tracks"] | said["tracks"],
        "pictures": {picture.track: picture.source for picture in shown},
        "map": embedding_map(tracks, vectors, keep),
    }


def film(tracks: TrackSet) -> dict[str, Any]:
    """What no other answer changes: the videos, and where each track is, in columns."""
    table = tracks.tracks
    clips = media.of(tracks)
    starts = zip(table.video.tolist(), table.start.tolist(), strict=True)
    columns = {
        "video": table.video.tolist(),
        "shot": table.shot.tolist(),
        "start": table.start.tolist(),
        "stop": table.stop.tolist(),
        "seconds": _lengths(tracks.faces, tracks).round(2).tolist(),
        "timecode": [clips[video].timecode(clips[video].position(start)) for video, start in starts],
        "frame": table.representative_frame.tolist(),
    }
    return {"videos": [_video(clip, tracks) for clip in clips], "tracks": columns}


def answer(tracks: TrackSet, people: Clusters, names: Mapping[int, str | None], facts: Facts) -> dict[str, Any]:
    """Who is who: people, Unknown, and of each track its person, quality and threshold."""
    everyone = cast.cast(names)
    first = {number: person.numbers[0] for person in everyone for number in person.numbers}
    number = np.array([first.get(label, UNKNOWN) for label in people.labels.tolist()], np.int64)
    own = [np.flatnonzero(number == person.numbers[0]) for person in everyone]
    return {
        "method": people.method,
        "people": [_person(p, names) | facts(rows) for p, rows in zip(everyone, own, strict=True)],
        "unknown": [
            {"status": status, "reason": REASONS.get(status, status), "tracks": rows.tolist()}
            for status, rows in _unknown(tracks, people.labels)
        ],
        "tracks": {
            "person": number.tolist(),
            "quality": [round(q, 3) if math.isfinite(q) else None for q in tracks.tracks.quality.tolist()],
            "threshold": [round(t, 3) if math.isfinite(t) else None for t in people.thresholds.tolist()],
        },
    }


def facts_of(tracks: TrackSet, own: NDArray[np.int64]) -> dict[str, Any]:
    """Of the person with these tracks. own: (n,) track numbers. seconds: on screen, overlapping tracks once."""
    table = tracks.tracks[own]
    return {
        "seconds": screen_seconds(tracks.faces, own, [float(v.fps) for v in tracks.videos]),
        "tracks": len(own),
        "shots": len(set(zip(table.video.tolist(), table.shot.tolist(), strict=True))),
    }


def _video(clip: media.Media, tracks: TrackSet) -> dict[str, Any]:
    return {
        "id": clip.video.id,
        "name": clip.name,
        "path": clip.video.path,
        "frames": clip.video.frames,
        "fps": round(float(clip.video.fps), 3),
        "seconds": round(clip.video.seconds, 3),
        "width": clip.video.width,
        "height": clip.video.height,
        "codec": clip.video.codec,
        "start": clip.timecode(0),
        "shots": int((tracks.shots.video == clip.video.id).sum()),
        "notes": list(clip.notes),
    }


def _person(person: cast.Person, names: Mapping[int, str | None]) -> dict[str, Any]:
    red, green, blue = draw.colour_of(person.numbers[0])
    return {
        "number": person.numbers[0],
        "clusters": list(person.numbers),
        "name": person.name,
        "named": names[person.numbers[0]] is not None,
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
    }


def _unknown(tracks: TrackSet, labels: NDArray[np.int32]) -> list[tuple[str, NDArray[np.int64]]]:
    """The tracks of no one by status, the most frequent first."""
    rows = np.flatnonzero(labels == UNKNOWN)
    status = tracks.tracks.status[rows]
    groups = [(str(s), rows[status == s]) for s in np.unique(status)]
    return sorted(groups, key=lambda group: -len(group[1]))


def _lengths(faces: Faces, tracks: TrackSet) -> NDArray[np.float64]:
    """Seconds of each track, from its first frame to the end of its last. (n_tracks,)"""
    step = np.array([1 / float(v.fps) for v in tracks.videos])
    first = np.searchsorted(faces.track, tracks.tracks.track)
    last = np.searchsorted(faces.track, tracks.tracks.track, side="right") - 1
    return np.asarray(faces.seconds[last] - faces.seconds[first] + step[tracks.tracks.video])


def faceless_quality(record: Mapping[str, Any]) -> float:
    """The quality of pictures without a face, by run.json; NaN where it was not measured."""
    measured = record["stages"].get("embed", {}).get("faceless_quality")
    return float("nan") if measured is None else float(measured)


def run_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of how the run was made. record: finished, or of a run that is at its last stage."""
    stages: dict[str, dict[str, Any]] = record["stages"]
    ingest = stages.get("ingest", {})
    told = [w for facts in stages.values() for w in facts.get("warnings", [])]
    return {
        "device": record.get("device", ""),
        "started": record.get("started"),
        "versions": record.get("versions", {}),
        "config": record["config"],
        "sources": [Path(s["path"]).name for s in record["sources"]],
        "failed": record["failed"] or ingest.get("failed", []),
        "warnings": record.get("warnings", []) or told,
        "notes": record.get("notes", []) or ingest.get("notes", []),
        "frames": ingest.get("frames"),
        "stages": [
            {"name": name, "seconds": facts["seconds"], "counts": _counts(facts)} for name, facts in stages.items()
        ],
    }


def _counts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a stage, but for what is no one's to read, and for what is no number after all."""
    left_out = ("key", "seconds", "loaded", "resumed", "bytes")
    plain = {k: v for k, v in facts.items() if k not in left_out and isinstance(v, int | float | str)}
    return {k: v for k, v in plain.items() if not isinstance(v, float) or math.isfinite(v)}
