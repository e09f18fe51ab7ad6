"""What pairs that are known by hand do for everyone else: the whitening with a share of each person's tracks taken as
one, measured on the tracks of which nothing is known.

    OMP_NUM_THREADS=1 python benchmarks/known_pairs.py --footage data/episodes --runs runs --out known_pairs.json

Half of each person's tracks are measured: the area under the curve of the cosine of their mean vectors, pairs of one
person against pairs of two. Of the other half, none, half and all are known to be one person. Means over the seeds.
"""

from __future__ import annotations

import numpy as np
import record
import torch
from episodes import EPISODES
from few_people import Film, asked_of_runs, open_film
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from vcn_trt.adapt.heads import whitening
from vcn_trt.config import AdaptConfig
from vcn_trt.known import Known
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.types import PLAIN

SHARES = (0.0, 0.5, 1.0)
SEEDS = 8


def main() -> None:
    given = asked_of_runs(__doc__)
    results = {}
    for name in EPISODES:
        film = open_film(given.footage, given.runs, name)
        found = np.array([[auc(film, seed, share) for share in SHARES] for seed in range(SEEDS)])
        results[name] = {f"{share:g} known": float(mean) for share, mean in zip(SHARES, found.mean(0), strict=True)}
        print(name, results[name], flush=True)
    rows = [[name, *(f"{x:.4f}" for x in row.values())] for name, row in results.items()]
    print(record.markdown(["film", *(f"{share:g} known" for share in SHARES)], rows))
    record.write(given.out, __doc__.split("\n\n")[0], {"auc": results})


def auc(film: Film, seed: int, share: float) -> float:
    """Of the tracks of which nothing is known, where a share of the others is known to be with their person."""
    good = film.table.status == "ok"
    place = np.flatnonzero(good[film.of])
    tracks = Ragged.from_group_ids(place, film.of[place], len(good))
    told = (film.who != "") & (tracks.counts > 0)
    measured, known = np.zeros(len(good), bool), Known.nothing(len(good))
    rng = np.random.default_rng(seed)
    for person in dict.fromkeys(film.who[told]):
        own = rng.permutation(np.flatnonzero(told & (film.who == person)))
        half = len(own) // 2
        measured[own[half:]] = True
        if len(one := own[: round(share * half)]):
            known.together[one] = one.min()
    z = adapted(film.views, known.joined(tracks))
    rows = np.flatnonzero(measured)
    means = unit_rows(np.asarray(Ragged(z[tracks.values], tracks.offsets).mean())[rows])
    i, j = np.triu_indices(len(rows), 1)
    return float(roc_auc_score(film.who[rows][i] == film.who[rows][j], (means @ means.T)[i, j]))


def adapted(views: NDArray[np.float32], groups: Ragged) -> NDArray[np.floating]:
    """The crops' vectors, whitened by what varies within the groups. (n_crops, d)"""
    whitened = unit_rows(views) @ whitening(torch.from_numpy(views), groups, AdaptConfig().shrink).numpy()
    return unit_rows(unit_rows(whitened)[:PLAIN].mean(0))


if __name__ == "__main__":
    main()
