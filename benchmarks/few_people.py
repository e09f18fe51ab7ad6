"""Parts of the labelled films: one person's tracks alone, two and three people's, half of all tracks, and two films as
one. Each is adapted and clustered anew from the views that `method.py` left in its run directories, so hundreds of
productions take minutes.

    OMP_NUM_THREADS=1 python benchmarks/few_people.py --footage data/episodes --runs runs --out few_people.json
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import record
import torch
from episodes import EPISODES
from numpy.typing import NDArray
from torch.nn import functional

from vcn_trt import api, backends, labels, matching, store
from vcn_trt.adapt.heads import whitened_head
from vcn_trt.adapt.model import MetricHead
from vcn_trt.adapt.stage import VIEWS
from vcn_trt.adapt.weak import track_quality, weak_tracks
from vcn_trt.cluster.people import seen_together
from vcn_trt.cluster.stage import adapted_people
from vcn_trt.config import AdaptConfig, ClusterConfig
from vcn_trt.embed import FILE as BASE
from vcn_trt.ingest.join import TRACKS_FILE
from vcn_trt.metrics import Scores, score
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.types import PLAIN, Embeddings, Tracks

SETTINGS: dict[str, dict[str, Any]] = {"default": {}, "quantile 0.3, cap 0.1": {"quantile": 0.3, "cap": 0.1}}
"""What differs from the default clustering; the second is better here and worse on `sitcom_180p` whole."""

KINDS = ("one person", "two people", "three people", "half of the tracks", "all")
SEEDS = 3


@dataclass(frozen=True, eq=False)
class Film:
    """views: (n_views, n_kept, d) of the base, of the crops whose tracks are `of`. who: each track's person, "" for
    none. table: the tracks, with their quality."""

    name: str
    views: NDArray[np.float32]
    of: NDArray[np.int64]
    table: Tracks
    who: NDArray[Any]
    faceless: float

    def __add__(self, other: Film) -> Film:
        n, videos = len(self.table), int(self.table.video.max()) + 1
        more = other.table.with_columns(track=other.table.track + n, video=other.table.video + videos)
        return Film(
            f"{self.name} + {other.name}",
            np.concatenate([self.views, other.views], 1),
            np.concatenate([self.of, other.of + n]),
            Tracks.concatenate([self.table, more]),
            np.concatenate([self.who, other.who]),
            (self.faceless + other.faceless) / 2,
        )


def asked_of_runs(doc: str) -> argparse.Namespace:
    """The arguments of a script that works on method.py's runs. doc: what it says of itself."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, required=True, help="the folder of the episodes and their labels")
    parser.add_argument("--runs", type=Path, required=True, help="where method.py left its runs")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    given = asked_of_runs(__doc__)
    sitcom, small, dev, cc = films = [open_film(given.footage, given.runs, name) for name in EPISODES]
    films += [sitcom + dev, small + cc, dev + cc, small + dev + cc]
    results: dict[str, Any] = {}
    for title, changed in SETTINGS.items():
        rows = {film.name: measure(film, replace(ClusterConfig(), **changed)) for film in films}
        over = {k: mean([row[k] for row in rows.values() if k in row]) for k in KINDS}
        results[title] = {"films": rows, "over all": over}
        print(title, record.markdown(["", *over["all"]], [[k, *over[k].values()] for k in KINDS]), sep="\n", flush=True)
    record.write(given.out, __doc__.split("\n")[0], {"settings": results})


def open_film(footage: Path, runs: Path, name: str) -> Film:
    folder, truth = runs / name, labels.read(footage / f"{name}.gt.json")
    answer = api.open_run(folder)
    by_video = matching.assign([truth], answer.tracks.videos)
    faces, n = answer.tracks.faces, answer.tracks.n_tracks
    who = matching.match_tracks(faces, by_video, n, answer.tracks.tracks.video).identity
    tracks = store.read_track_set(folder, TRACKS_FILE, answer.tracks.videos)
    base = store.read_base_vectors(folder / BASE)
    (cached,) = (folder / VIEWS).parent.glob("adapt.keep/views-*.npz")
    kept = tracks.kept_by_track()
    quality = track_quality(Ragged(base.quality[kept.values], kept.offsets))
    return Film(
        name,
        np.load(cached)["values"].astype(np.float32),
        tracks.crops.track[np.flatnonzero(tracks.crops.kept)],
        tracks.tracks.with_columns(quality=quality),
        np.array([person or "" for person in who], object),
        base.faceless,
    )


def parts(film: Film) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The tracks of each production, drawn by the same seed for every setting."""
    rng = np.random.default_rng(1)
    people = [p for p in dict.fromkeys(film.who) if p and (film.who == p).sum() > 1]
    for person in people:
        yield KINDS[0], film.who == person
    pairs = list(itertools.combinations(people, 2))
    for i in rng.permutation(len(pairs))[:10]:
        yield KINDS[1], np.isin(film.who, pairs[i])
    for _ in range(8):
        yield KINDS[2], np.isin(film.who, rng.choice(people, 3, replace=False))
    for _ in range(6):
        yield KINDS[3], rng.random(len(film.who)) < 0.5


def measure(film: Film, config: ClusterConfig) -> dict[str, Any]:
    found: dict[str, list[Scores]] = {}
    for kind, some in parts(film):
        found.setdefault(kind, []).append(cluster(film, some, config, 0))
    every = np.ones(len(film.who), bool)
    found[KINDS[4]] = [cluster(film, every, config, seed) for seed in range(SEEDS)]
    return {kind: summary(scores) for kind, scores in found.items()}


def cluster(film: Film, some: NDArray[np.bool_], config: ClusterConfig, seed: int) -> Scores:
    """The head's start and section 3.7 on some of the tracks."""
    ok, adapt = some & (film.table.status == "ok"), AdaptConfig()
    rows = np.flatnonzero(ok[film.of])
    groups = Ragged.from_group_ids(rows, film.of[rows], len(film.who))
    views, generator = torch.from_numpy(film.views), torch.Generator().manual_seed(seed)
    head = whitened_head(views, groups, adapt.outputs, adapt.shrink, generator)
    with torch.no_grad():
        z = head.bottleneck(views).numpy()
        prototypes = functional.normalize(head.prototypes, dim=-1).numpy()
    metric = MetricHead(prototypes, prototypes, np.zeros(len(prototypes), np.float32))
    vectors = Embeddings(film.views[0], unit_rows(z[:PLAIN].mean(0)), None)
    adapted: Any = SimpleNamespace(vectors=vectors, views=z.astype(np.float16), head=lambda: metric)
    weak = weak_tracks(np.where(ok, film.table.quality, np.nan), film.faceless)
    pairs = seen_together(film.table)
    people, _ = adapted_people(groups, weak, pairs[some[pairs].all(1)], adapted, backends.open("cpu").ops, config)
    known = some & (film.who != "")
    return score(people.labels[known], film.who[known])


def summary(scores: list[Scores]) -> dict[str, float]:
    return {
        "wcp": round(float(np.mean([s.wcp for s in scores])), 4),
        "pcr": round(float(np.mean([s.pcr for s in scores])), 3),
        "bcubed_f": round(float(np.mean([s.bcubed_f for s in scores])), 4),
        "worst_bcubed_f": round(min(s.bcubed_f for s in scores), 4),
        "productions": len(scores),
    }


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    found = {k: round(float(np.mean([row[k] for row in rows])), 4) for k in ("wcp", "pcr", "bcubed_f")}
    return found | {
        "worst_bcubed_f": min(row["worst_bcubed_f"] for row in rows),
        "productions": int(sum(row["productions"] for row in rows)),
    }


if __name__ == "__main__":
    main()
