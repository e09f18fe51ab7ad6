"""Algorithm 1 on synthetic tracks: seconds and memory against their number, beside SciPy's HAC, HDBSCAN and FINCH; the
naive algorithm where it is feasible; and what each guard does about a track that bridges two people.

    python benchmarks/clustering_scale.py --out benchmarks/results/clustering_scale.json

Tracks are made as an adapted head leaves them (K = 1,024): each person owns a few prototypes, a track's crops spread
their softmax over them, and some tracks are poor: flat, or half another person's. Every measurement is a process of its
own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from numpy.typing import NDArray

from vcn_trt import backends
from vcn_trt.cluster.calibrated import group_tracks
from vcn_trt.cluster.limits import Alike, calibrate
from vcn_trt.cluster.merge import MergeRules, merge_tracks
from vcn_trt.cluster.metric import Profiles, row_dots
from vcn_trt.config import ClusterConfig
from vcn_trt.metrics import score

K = 1024
SIZES = (1000, 3000, 10_000, 30_000, 100_000)
METHODS = ("default", "ours", "ours exact", "ours mutual", "ours average", "hac", "hdbscan", "finch")
LIMITS = {
    "ours exact": 30_000,
    "ours average": 30_000,
    "ours mutual": 3000,
    "hac": 10_000,
    "hdbscan": 3000,
    "finch": 10_000,
}
"""Beyond: N^2 in memory, or minutes to hours; "mutual" has hundreds of rounds, one a nearest neighbour of a hub."""
TRACKS_A_PERSON = 250
SEED = 0


def synthetic(n: int, people: int, crops: int = 6, poor: float = 0.02, bridges: int = 0, seed: int = SEED) -> Any:
    """Profiles of n tracks, who each is (-1 for a bridge), and their mean logits (n, K)."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.arange(n) % people)
    logits = rng.normal(0, 0.08, (people, K)).astype(np.float32)  # a crop's logits are cosines
    own = rng.random((people, K)).argpartition(3, axis=1)[:, :3]
    np.put_along_axis(logits, own, rng.uniform(0.55, 0.75, own.shape).astype(np.float32), 1)
    flat = rng.random(n) < poor
    partner = np.full(n, -1)
    if bridges:
        at = rng.choice(n, bridges, replace=False)
        partner[at] = (who[at] + 1 + rng.integers(0, people - 1, bridges)) % people
    p, l, mean_p, mean_l, middle = (np.empty((n, K), np.float32) for _ in range(5))  # noqa: E741
    sums = np.empty(n)
    ops = backends.open("cpu").ops
    for start in range(0, n, 2000):
        rows = np.arange(start, min(n, start + 2000))
        track = logits[who[rows]] + rng.normal(0, 0.03, (len(rows), K)).astype(np.float32)
        seen = np.repeat(track[:, None], crops, 1)
        half = partner[rows] >= 0
        seen[half, ::2] = logits[partner[rows][half], None]
        seen += rng.normal(0, 0.04, seen.shape).astype(np.float32)
        seen[flat[rows]] *= 0.5
        ragged = _ragged(seen)
        means = ops.softmax_means(ragged, ragged, np.zeros(K), 0.04, 0.1)
        one = ops.softmax_means(_ragged(seen.mean(1)[:, None]), _ragged(seen.mean(1)[:, None]), np.zeros(K), 0.04, 0.1)
        p[rows], l[rows], sums[rows] = means
        mean_p[rows], mean_l[rows] = one.p, one.l
        middle[rows] = seen.mean(1)
    who[partner >= 0] = -1
    return Profiles(p, l, sums, np.full(n, crops), mean_p, mean_l), who, middle


def _ragged(crops: NDArray[np.float32]) -> Any:
    from vcn_trt.ragged import Ragged

    n, each, k = crops.shape
    return Ragged(crops.reshape(-1, k), np.arange(0, n * each + 1, each))


def rules_of(method: str) -> MergeRules:
    guard = method.removeprefix("ours").strip()
    if guard in ("", "exact"):
        return MergeRules(later="exact" if guard else "paper_means")
    return MergeRules(later="exact", guard=guard)  # type: ignore[arg-type]


def measure(method: str, n: int) -> dict[str, Any]:
    """One method on n tracks, in this process."""
    profiles, who, middle = synthetic(n, max(4, n // TRACKS_A_PERSON))
    made = _peak_gib()
    start, cpu = time.perf_counter(), time.process_time()
    facts: dict[str, Any] = {}
    if method == "default":
        labels = by_default(profiles)
    elif method.startswith("ours"):
        found = merge_tracks(profiles, backends.open("cpu").ops, rules_of(method))
        labels = found.labels
        facts = {"rounds": found.rounds, "merges": len(found.merges)}
    else:
        labels = _baseline(method, middle)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    s = score(labels, who)
    return facts | {
        "method": method,
        "tracks": n,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_gib": round(_peak_gib(), 2),
        "peak_gib_before": round(made, 2),
        "wcp": round(s.wcp, 4),
        "pcr": round(s.pcr, 3),
    }


def by_default(made: Profiles) -> NDArray[np.int64]:
    """Calibrated limits, average linkage and what stands out, on the tracks' mean embeddings."""
    assert made.mean_p is not None
    assert made.mean_l is not None
    one_each = Profiles(made.mean_p, made.mean_l, row_dots(made.mean_p, made.mean_l), np.ones(len(made), np.int64))
    zero = one_each.l.mean(1, dtype=np.float64)
    tracks = Alike(one_each, zero, -made.thresholds() - zero, np.zeros(len(made), bool))
    config = ClusterConfig()
    scale = calibrate(tracks, config.quantile, config.cap)
    nobody, good = np.zeros((0, 2), np.int64), np.zeros(len(made), bool)
    return group_tracks(tracks, scale, nobody, good, backends.open("cpu").ops, config)[0]


def _baseline(method: str, middle: NDArray[np.float32]) -> NDArray[Any]:
    from vcn_trt.cluster import baselines

    unit = middle.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    if method == "hac":
        return baselines.hac(unit, baselines.THRESHOLDS["hac"])[0]
    if method == "hdbscan":
        return baselines.hdbscan(unit)
    return baselines.finch_partitions(unit)[0]


def naive_equal(n: int) -> dict[str, Any]:
    """Round by round with all N^2 similarities in one array, float64: the same clusters?"""
    profiles, _, _ = synthetic(n, max(4, n // 100), bridges=2)
    answer: dict[str, Any] = {"tracks": n}
    start = time.perf_counter()
    found = merge_tracks(profiles, backends.open("cpu").ops, MergeRules(later="exact"))
    answer["seconds"] = round(time.perf_counter() - start, 2)
    start = time.perf_counter()
    p, l = profiles.p.astype(np.float64), profiles.l.astype(np.float64)  # noqa: E741
    of = np.arange(n)
    while True:
        count = of.max() + 1
        member = np.zeros((count, n))
        member[of, np.arange(n)] = profiles.counts
        size = member.sum(1)
        cp, cl, own = member @ p, member @ l, np.bincount(of, profiles.own)
        limit = -((cp * cl).sum(1) - own) / (size * (size - 1))
        similar = -(cp @ cl.T + cl @ cp.T) / 2 / np.outer(size, size)
        near = similar < np.maximum.outer(limit, limit) * (1 - 1e-5)
        np.fill_diagonal(near, False)
        from scipy.sparse.csgraph import connected_components

        merged, group = connected_components(near, directed=False)
        if merged == count:
            break
        of = group[of]
    answer["naive_seconds"] = round(time.perf_counter() - start, 2)
    pairs = np.unique(np.stack([of, found.labels]), axis=1)
    answer["equal"] = bool(pairs.shape[1] == of.max() + 1 == found.labels.max() + 1)
    return answer


def bridge_study() -> list[dict[str, Any]]:
    """600 tracks of 12 people with bridges planted: half of their crops are another person's."""
    table = []
    for bridges in (0, 1, 20):
        made = [synthetic(600, 12, poor=poor, bridges=bridges, seed=seed) for poor in (0.0, 0.02) for seed in range(3)]
        for rule in ("or", "mean", "and"):
            for later in ("paper_means", "exact"):
                for guard in ("none", "mutual", "average"):
                    scores = []
                    for profiles, who, _ in made:
                        rules = MergeRules(rule=rule, later=later, guard=guard)  # type: ignore[arg-type]
                        found = merge_tracks(profiles, backends.open("cpu").ops, rules).labels
                        scores.append(score(found[who >= 0], who[who >= 0]))
                    table.append(
                        {
                            "bridges": bridges,
                            "rule": rule,
                            "later": later,
                            "guard": guard,
                            "wcp_mean": round(float(np.mean([s.wcp for s in scores])), 4),
                            "wcp_worst": round(min(s.wcp for s in scores), 4),
                            "pcr_mean": round(float(np.mean([s.pcr for s in scores])), 3),
                        }
                    )
                    print(table[-1], flush=True)
    return table


def _peak_gib() -> float:
    """VmHWM: ru_maxrss would begin with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "N"), help="one measurement in this process")
    parser.add_argument("--bridges", action="store_true", help="only the study of bridges")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]))))
        return
    results: dict[str, Any] = {}

    def keep(part: str, value: Any) -> None:
        results[part] = value
        if args.out:
            record.write(args.out, "Algorithm 1 on synthetic tracks, K = 1,024", results)

    if not args.bridges:
        keep("naive", [naive_equal(n) for n in (300, 1000, 3000)])
        print(results["naive"], flush=True)
        runs: list[dict[str, Any]] = []
        for method in args.methods:
            for n in (n for n in args.sizes if n <= LIMITS.get(method, n)):
                command = [sys.executable, __file__, "--one", method, str(n)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs.append(json.loads(done.stdout))
                keep("runs", runs)
                print(runs[-1], flush=True)
    keep("bridges", bridge_study())


if __name__ == "__main__":
    main()
