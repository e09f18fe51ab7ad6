"""The method on labelled films, from video and on the labelled tracks: five seeds, beside the unadapted base.

    python benchmarks/method.py --footage data/episodes --runs runs --out benchmarks/results/method.json

Also the two halves of `sitcom.mp4` as one production. "ours" is the default; "base" the same clustering on the base as
it comes (a head that is all sphere whitens nothing); "trained" three rounds of teacher and student. On the labelled
tracks detection and tracking are the labels', only landmarks are looked for. What is in --runs already goes on; how
long the stages take is measured by `stage_seconds.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import record
from episodes import EPISODES, HALVES, halves
from labelled import labelled_run

from vcn_trt import api, config, labels, matching
from vcn_trt.evaluate import evaluate
from vcn_trt.labels import Labels
from vcn_trt.rounds import read_rounds, score_rounds

SETTINGS: dict[str, tuple[tuple[str, ...], int]] = {
    "ours": ((), 5),
    "base": (("adapt.shrink=1",), 5),
    "trained": (("adapt.rounds=3",), 1),
    "ours, together allowed": (("cluster.cannot_link=off",), 1),
}
"""What differs from the defaults, and how many seeds it is run with."""

TARGETS = {
    "sitcom": (0.98, 0.9, 1.3),
    "sitcom_180p": (0.95, 0.8, 1.5),
    "dev_episode": (1.0, 1.0, 1.0),
    "cc_episode": (1.0, 1.0, 1.0),
    HALVES: (0.98, 0.9, 1.3),
}
"""Least WCP, least and largest PCR, for every seed."""

Runs = Callable[[Path, config.Config], api.Answer]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--footage", type=Path, required=True, help="the folder of the episodes and their labels")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--runs", type=Path, required=True, help="where the run directories are")
    given = arguments.parse_args()
    results: dict[str, Any] = {"from video": {}, "labelled tracks": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for name in (*EPISODES, HALVES):
            videos, truths = [given.footage / f"{name}.mp4"], []
            if name == HALVES:
                sitcom = labels.read(given.footage / "sitcom.gt.json")
                videos, truths = halves(given.footage / "sitcom.mp4", sitcom, Path(scratch))
            else:
                truths = [labels.read(given.footage / f"{name}.gt.json")]

            def from_video(folder: Path, chosen: config.Config, videos: Sequence[Path] = videos) -> api.Answer:
                return api.cluster(videos, folder, chosen, update=True)

            results["from video"][name] = measure(from_video, truths, given.runs / name.replace(" ", "_"))
            say(name, results["from video"][name])
            keep(given.out, results)
        for name in reversed(EPISODES):
            truths = [labels.read(given.footage / f"{name}.gt.json")]

            def on_labels(folder: Path, chosen: config.Config, truth: Labels = truths[0]) -> api.Answer:
                return labelled_run([truth], [given.footage / truth.video], folder, chosen)

            results["labelled tracks"][name] = measure(on_labels, truths, given.runs / f"{name}_labelled")
            say(f"{name}, labelled tracks", results["labelled tracks"][name])
            keep(given.out, results)
    misses = missed_targets(results)
    print("\n" + ("\n".join(f"MISSED: {m}" for m in misses) or "Every target is met."))


def keep(out: Path, results: dict[str, Any]) -> None:
    """What is known so far: hours of seeds are not for one crash at the end."""
    record.write(out, __doc__.split("\n")[0], {**results, "missed_targets": missed_targets(results)})


def measure(run: Runs, truths: Sequence[Labels], folder: Path) -> dict[str, Any]:
    """Every setting with its seeds on one production. Seeds outside: their views are made once."""
    found: dict[str, Any] = {title: [] for title in SETTINGS}
    for seed in range(max(n for _, n in SETTINGS.values())):
        for title, (overrides, seeds) in SETTINGS.items():
            if seed >= seeds:
                continue
            answer = run(folder, config.load(None, [*overrides, f"seed={seed}"]))
            found[title].append(scores(answer, truths))
    return {"settings": found}


def scores(answer: api.Answer, truths: Sequence[Labels]) -> dict[str, Any]:
    found = evaluate(answer.tracks, answer.people, list(truths))
    by_video = matching.assign(truths, answer.tracks.videos)
    who = matching.match_tracks(answer.tracks.faces, by_video, answer.tracks.n_tracks, answer.tracks.tracks.video)
    rounds = read_rounds(answer.folder, answer.record, answer.tracks.n_tracks)
    matched = vars(score_rounds(rounds, who.identity)[-1]) if rounds else {}
    mixed = max((1 - max(m.people.values()) / sum(m.people.values()) for m in found.mixed_clusters), default=0.0)
    people = found.people
    missing = [p.name for p in people if p.tracks >= 2 and not any(_owns(p.name, c, people) for c in p.clusters)]
    plain = found.with_unknown
    return {
        "wcp": round(plain.wcp, 4),
        "pcr": round(plain.pcr, 4),
        "bcubed_f": round(plain.bcubed_f, 4),
        "wcp_without_unknown": round(found.without_unknown.wcp, 4),
        "coverage": round(found.coverage, 4),
        "largest_mix": round(mixed, 4),
        "people_without_cluster": missing,
        "match": {key: round(float(value), 4) for key, value in matched.items()},
    }


def _owns(name: str, cluster: int, people: Sequence[Any]) -> bool:
    """Whether most of a cluster is this person."""
    return max(people, key=lambda p: p.clusters.get(cluster, 0)).name == name


def missed_targets(results: dict[str, Any]) -> list[str]:
    """Each figure of "ours" that falls short of what it should be."""
    missed = []
    for kind, films in results.items():
        for name, film in films.items():
            least, low, high = TARGETS[name]
            ours, base = film["settings"]["ours"], film["settings"]["base"]
            for seed, (s, b) in enumerate(zip(ours, base, strict=True)):
                where = f"{kind}, {name}, seed {seed}"
                if s["wcp"] < least or not low <= s["pcr"] <= high:
                    missed.append(f"{where}: WCP {s['wcp']} at PCR {s['pcr']}, expected {least} at {low} to {high}")
                if s["wcp"] < b["wcp"]:
                    missed.append(f"{where}: WCP {s['wcp']}, the unadapted base has {b['wcp']} (at PCR {b['pcr']})")
                if s["largest_mix"] > 0.03:
                    missed.append(f"{where}: a cluster mixes two people in {s['largest_mix']:.0%} of its tracks")
                if s["people_without_cluster"]:
                    missed.append(f"{where}: no cluster of {', '.join(s['people_without_cluster'])}")
                if name == "sitcom_180p" and s["match"]["precision"] < 0.95:
                    missed.append(f"{where}: match precision {s['match']['precision']}, expected 0.95")
    return missed


def say(name: str, film: dict[str, Any]) -> None:
    print(name)
    rows = []
    for title, found in film["settings"].items():
        at = ", ".join(f"{s['wcp']:.3f} @ {s['pcr']:.2f}" for s in found)
        precision = min(s["match"]["precision"] for s in found)
        rows.append([title, at, max(s["largest_mix"] for s in found), precision])
    print(
        record.markdown(["setting", "WCP @ PCR, a seed each", "largest mix", "least match precision"], rows), flush=True
    )


if __name__ == "__main__":
    main()
