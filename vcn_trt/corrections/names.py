"""Which cluster bears which name: the one that holds most of the tracks that the name belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vcn_trt.corrections.fold import Naming
from vcn_trt.types import UNKNOWN


def names_of(labels: NDArray[np.int32], namings: Sequence[Naming]) -> tuple[dict[int, str], list[str]]:
    """labels: (n_tracks,) clusters. -> the name of each cluster that has one, and what
    to tell: two names that meet in a cluster, a name whose tracks are in several or in none."""
    claims: dict[int, list[tuple[int, int, Naming]]] = {}
    told = []
    for place, naming in enumerate(namings):
        where = Counter(c for t in sorted(naming.tracks) if (c := int(labels[t])) != UNKNOWN)
        if not where:
            told.append(f"no one is {naming.name!r} any more: the tracks of that name are Unknown")
            continue
        (best, most), *others = sorted(where.items(), key=lambda item: (-item[1], item[0]))
        claims.setdefault(best, []).append((most, place, naming))
        if others and 2 * most <= where.total():
            there = ", ".join(f"person {c} ({n})" for c, n in others)
            told.append(f"{naming.name!r} is person {best} ({most} tracks of that name); others are in {there}")
    names: dict[int, str] = {}
    for cluster, claimed in sorted(claims.items()):
        claimed.sort(key=lambda claim: claim[:2])
        names[cluster] = claimed[-1][2].name
        losers = {naming.name for *_, naming in claimed[:-1]} - {names[cluster]}
        if losers:
            lost = ", ".join(map(repr, sorted(losers)))
            told.append(f"person {cluster} is called {names[cluster]!r}, and holds the tracks of {lost} as well")
    return names, told
