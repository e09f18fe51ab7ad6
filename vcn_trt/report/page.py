"""`report.html`: the people of a run to look at, in one self-contained file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.cluster.people import screen_seconds
from vcn_trt.run import Desk, Stage, write_text
from vcn_trt.types import UNKNOWN, Clusters, TrackSet

FILE = "report.html"
SHEET = 24
"""Pictures a person: one a track, of the longest."""

REASONS = {
    "short": "seen in too few frames",
    "crops": "too small or too blurred",
    "quality": "the network is unsure of it",
    "no_face": "no face, as was said by hand",
    "rejected": "taken from a person by hand",
    "ok": "no face to compare",
}


@dataclass(frozen=True)
class Picture:
    """A crop as a data URI, and where it is from."""

    source: str
    caption: str


@dataclass(frozen=True)
class Bar:
    """A stretch on a video's timeline, in percent of its length."""

    left: float
    width: float
    title: str


@dataclass(frozen=True)
class Person:
    """One card. bars: a list a video."""

    number: int
    seconds: float
    n_tracks: int
    n_shots: int
    sheet: list[Picture]
    bars: list[list[Bar]]


def report(desk: Desk, tracks: TrackSet, people: Clusters) -> dict[str, Any]:
    """Write the page. -> facts for the record"""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vcn_trt", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    cast = [_person(n, tracks, people) for n in range(1, people.n_clusters + 1)]
    unknown = np.flatnonzero(people.labels == UNKNOWN)
    html = environment.get_template("report.html.j2").render(
        videos=[{"name": Path(v.path).name, "video": v, "clock": _clock(v.seconds)} for v in tracks.videos],
        cast=cast,
        method=people.method,
        n_tracks=tracks.n_tracks,
        unknown=[
            (REASONS[status], _pictures(tracks, unknown[tracks.tracks.status[unknown] == status]), int(count))
            for status, count in zip(*np.unique(tracks.tracks.status[unknown], return_counts=True), strict=True)
        ],
        n_unknown=len(unknown),
    )
    write_text(desk.folder / FILE, html)
    return {"bytes": (desk.folder / FILE).stat().st_size}


def load(folder: Path, facts: dict[str, Any]) -> Path:
    return folder / FILE


REPORT = Stage(name="report", version=1, files=(FILE,), compute=report, load=load)


def _person(number: int, tracks: TrackSet, people: Clusters) -> Person:
    own = np.flatnonzero(people.labels == number)
    table = tracks.tracks[own]
    longest = own[np.argsort(table.start - table.stop, kind="stable")]
    return Person(
        number=number,
        seconds=screen_seconds(tracks.faces, own, [float(v.fps) for v in tracks.videos]),
        n_tracks=len(own),
        n_shots=len(set(zip(table.video.tolist(), table.shot.tolist(), strict=True))),
        sheet=_pictures(tracks, longest),
        bars=[_bars(tracks, own[table.video == v.id], v.frames) for v in tracks.videos],
    )


def _bars(tracks: TrackSet, own: NDArray[np.integer[Any]], frames: int) -> list[Bar]:
    t = tracks.tracks[own]
    return [
        Bar(100 * a / frames, 100 * (b - a) / frames, f"shot {shot}, frames {a} to {b - 1}")
        for a, b, shot in zip(t.start.tolist(), t.stop.tolist(), t.shot.tolist(), strict=True)
    ]


def _pictures(tracks: TrackSet, own: Iterable[int]) -> list[Picture]:
    """The representative crop of each track that has one, the first SHEET of them."""
    pictures = []
    for track in list(own)[:SHEET]:
        rows = np.arange(*np.searchsorted(tracks.crops.track, [track, track + 1]))
        if not len(rows):
            continue
        frame = int(tracks.tracks.representative_frame[track])
        row = rows[np.abs(tracks.crops.frame[rows] - frame).argmin()]
        _, jpeg = cv2.imencode(".jpg", tracks.images[int(row)][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
        video = tracks.videos[int(tracks.tracks.video[track])]
        name = f"{Path(video.path).name}, " if len(tracks.videos) > 1 else ""
        seconds = tracks.faces.seconds[np.searchsorted(tracks.faces.track, track)]
        pictures.append(
            Picture(
                "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(),
                f"{name}{_clock(float(seconds))}, track {track}, frame {frame}",
            )
        )
    return pictures


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
