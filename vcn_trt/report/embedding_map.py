"""The tracks on a plane, before and after adaptation: t-SNE (van der Maaten and Hinton 2008) of their mean vectors."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.spread import evenly
from vcn_trt.types import Embeddings, TrackSet

MAPPED = 1000
"""Tracks on a map, evenly spread over the footage: some five seconds a map on one core, and more would be a blot."""

FEWEST = 8
"""Below so many a plane tells nothing."""

_PERPLEXITY = 30.0


def embedding_map(tracks: TrackSet, vectors: Embeddings | None, keep: Path | None = None) -> dict[str, Any]:
    """keep: a folder where what takes seconds is kept, for the next report of the same vectors. -> tracks: those on the
    map; base, adapted: an [x, y] each, from 0 to 1000, None where there are no such vectors; note: why some or all are
    missing, or "". The same input gives the same map."""
    empty: dict[str, Any] = {"tracks": [], "base": None, "adapted": None}
    if vectors is None:
        return empty | {"note": "The run directory has no embeddings.npz, so there is no map."}
    kept = tracks.kept_by_track()
    usable = np.flatnonzero(kept.counts > 0)
    if len(usable) < FEWEST:
        return empty | {"note": f"A map needs {FEWEST} tracks with a good crop; there are {len(usable)}."}
    some = usable[evenly(len(usable), MAPPED)]
    rows = kept.take(some)
    note = f"{len(some)} of {len(usable)} tracks are on the map, evenly spread." if len(some) < len(usable) else ""

    def places(values: NDArray[np.float32]) -> Any:
        return _kept(unit_rows(Ragged(unit_rows(values[rows.values]), rows.offsets).mean()), keep).tolist()

    maps = {
        name: None if values is None else places(values)
        for name, values in (("base", vectors.base), ("adapted", vectors.adapted))
    }
    if maps["adapted"] is None:
        note = f"{note} The run was not adapted, so there is no map after adaptation.".strip()
    return {"tracks": some.tolist(), **maps, "note": note}


def _kept(unit: NDArray[np.floating[Any]], keep: Path | None) -> NDArray[np.int64]:
    """The plane of these vectors, as it was made before or made now."""
    if keep is None:
        return _plane(unit)
    maker = f"{metadata.version('scikit-learn')} {unit.shape} {unit.dtype}"
    path = keep / f"plane-{hashlib.sha256(maker.encode() + unit.tobytes()).hexdigest()[:16]}.npz"
    before = store.read_npz(path)
    if before is not None and set(before) == {"places"}:
        return before["places"]
    places = _plane(unit)
    with suppress(OSError):  # a run that is read-only has its report all the same
        keep.mkdir(parents=True, exist_ok=True)
        store.replace_npz(path, {"places": places})
    return places


def _plane(unit: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """unit: (n, dim) unit vectors. -> (n, 2)"""
    # A second to import, and only the report needs them.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n = len(unit)
    with threadpool_limits(1):  # several threads sum in any order, and t-SNE makes much of a last digit
        found = TSNE(
            init=_two_axes(np.asarray(unit, np.float64)).astype(np.float32),
            perplexity=min(_PERPLEXITY, (n - 1) / 3),
            max_iter=500,
            random_state=0,
            n_jobs=1,
        ).fit_transform(np.asarray(unit, np.float32))
    low, high = found.min(0), found.max(0)
    places = 1000 * (found - low) / max(float((high - low).max()), 1e-12)
    return np.asarray(places.round().astype(np.int64))


def _two_axes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) along the two principal axes, small, as t-SNE wants to begin; signs made definite."""
    centred = values - values.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(1)].diagonal())[:, None]
    along = centred @ axes.T
    return np.asarray(1e-4 * along / max(float(along.std(0).max()), 1e-12))
