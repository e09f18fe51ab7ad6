"""Algorithm 1 on synthetic tracks: seconds and memory against their number, beside SciPy's HAC, HDBSCAN and FINCH; the
naive algorithm where it is feasible; and what each guard does about a track that bridges two people.

    python benchmarks/clustering_scale.py --out benchmarks/results/clustering_scale.json

The tracks are those of `vcn_trt/bench/tracks.py` (K = 1,024). Every measurement is a process of its own, so that its
peak memory is its own.
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
from vcn_trt.bench.tracks import TRACKS_A_PERSON, Made, by_default, made_tracks
from vcn_trt.cluster.merge import MergeRules, merge_tracks
from vcn_trt.metrics import score

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


def synthetic(n: int, people: int, **facts: Any) -> Made:
    return made_tracks(n, people, backends.open("cpu").ops, **facts)


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
        labels = by_default(profiles, backends.open("cpu").ops)
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
