"""What deserves a look: the pairs that were joined, or kept apart, with the least margin, and what speaks against a
person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.adapt.weak import weak_tracks
from vcn_trt.cluster.people import of_one_person, seen_together
from vcn_trt.types import UNKNOWN, Clusters, TrackSet

SHOWN = 24
"""Pairs, or warnings, of a kind; what is left out is counted."""

HELD = 4
"""Tracks that are shown of those that a bridge holds."""


@dataclass(frozen=True)
class Checks:
    """tree: plain values for the page. tracks: those it wants to see."""

    tree: dict[str, Any]
    tracks: set[int]


def check(tracks: TrackSet, people: Clusters, faceless: float) -> Checks:
    """faceless: the quality of pictures without a face, NaN where it was not measured."""
    joined = sorted(
        ({**vars(m), "margin": m.threshold - m.similarity} for m in people.merges), key=lambda m: m["margin"]
    )
    apart = [{**vars(n), "margin": n.similarity - n.threshold} for n in people.apart]
    together = _twice(tracks, people.labels)
    weak = _weak(tracks, people.labels, faceless)
    tree = {
        "joined": [_rounded(m) for m in joined[:SHOWN]],
        "apart": [_rounded(n) for n in apart[:SHOWN]],
        "together": together[:SHOWN],
        "bridges": [{"track": b.track, "holds": b.holds[:HELD], "n": len(b.holds)} for b in people.bridges[:SHOWN]],
        "weak": weak[:SHOWN].tolist(),
        "left_out": {
            name: max(0, len(found) - SHOWN)
            for name, found in (("joined", joined), ("apart", apart), ("together", together), ("weak", weak))
        }
        | {"bridges": max(0, len(people.bridges) - SHOWN)},
    }
    pairs = [*tree["joined"], *tree["apart"], *tree["together"]]
    held = {track for bridge in tree["bridges"] for track in (bridge["track"], *bridge["holds"])}
    return Checks(tree, {pair[end] for pair in pairs for end in "ab"} | held | set(tree["weak"]))


def _twice(tracks: TrackSet, labels: NDArray[np.int32]) -> list[dict[str, int]]:
    """Tracks of one person that one frame shows at once: a mirror, a screen, a picture in the picture, or a mistake."""
    table = tracks.tracks
    a, b = of_one_person(seen_together(table), labels).T
    frames = np.maximum(table.start[a], table.start[b])
    return [{"a": x, "b": y, "frame": f} for x, y, f in zip(a.tolist(), b.tolist(), frames.tolist(), strict=True)]


def _weak(tracks: TrackSet, labels: NDArray[np.int32], faceless: float) -> NDArray[np.int64]:
    """Tracks of someone that are nearer in quality to pictures without a face than to the footage, worst first."""
    quality = tracks.tracks.quality
    found = np.flatnonzero(weak_tracks(quality, faceless) & (labels != UNKNOWN))
    return found[np.argsort(quality[found], kind="stable")]


def _rounded(pair: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in pair.items()}
