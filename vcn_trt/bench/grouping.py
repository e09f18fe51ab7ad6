"""Clustering of made tracks, beside SciPy's HAC and FINCH on the same tracks' mean vectors, with who was found: those
answer another question, so the seconds say what each costs and not that one is the better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.bench.bench import Bench
from vcn_trt.bench.measure import OURS, Call, Contestant, Figure, race
from vcn_trt.bench.tracks import TRACKS_A_PERSON, by_default, made_tracks
from vcn_trt.cluster import baselines
from vcn_trt.metrics import score
from vcn_trt.ragged import unit_rows

PEERS_UP_TO = 10_000
"""Tracks beyond which the peers, which hold all N^2 distances, would take minutes and gigabytes."""


def cluster(bench: Bench) -> Iterator[Figure]:
    """From profiles to clusters, one call a clustering."""
    n, ops = bench.tracks, bench.backend.ops
    made = made_tracks(n, max(4, n // TRACKS_A_PERSON), ops, seed=bench.config.seed)
    unit = np.asarray(unit_rows(made.middle), np.float64)
    answers: dict[str, NDArray[Any]] = {}

    def call_of(by: str, group: Any) -> Call:
        def call() -> float:
            answers[by] = group()
            return n

        return call

    groups = {
        OURS: (f"{bench.backend.name}, calibrated", lambda: by_default(made.profiles, ops)),
        "SciPy HAC": ("average linkage, float64", lambda: baselines.hac(unit, baselines.THRESHOLDS["hac"])[0]),
        "FINCH": ("finest partition", lambda: baselines.finch_partitions(unit)[0]),
    }
    contestants = [
        Contestant(by, how, lambda streams, by=by, group=group: [call_of(by, group)], warm=n <= 1000)  # type: ignore[misc]
        for by, (how, group) in groups.items()
        if by == OURS or n <= PEERS_UP_TO
    ]
    facts = {"people": len(np.unique(made.who))}
    for found in race(f"{n} tracks", "tracks", 1, contestants, bench.host_clock, bench.seconds, facts=facts, rounds=3):
        if found.by not in answers:
            yield found
            continue
        s = score(answers[found.by], made.who)
        yield replace(found, facts=found.facts | {"wcp": round(s.wcp, 4), "pcr": round(s.pcr, 3)})
