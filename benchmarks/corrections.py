"""What corrections are worth: a simulated user puts the labelled films right, one correction at a time, with the ranked
suggestions and without them, applied at once or with a new grouping after each.

    OMP_NUM_THREADS=1 python benchmarks/corrections.py --footage data/episodes --runs runs --out corrections.json

The user knows who everyone is, and corrects until every labelled track is with all of its person and with no one else.

- tracks at random: takes track after track in an order by the seed; one that is wrong is moved to its person.
- people by screen time: takes cluster after cluster, the longest on screen first, Unknown last; whom a cluster holds
  besides its own person is taken out together, and a cluster whose person was seen before is merged with that one.
- pairs in any order, suggested pairs: is asked of two clusters at a time whether they are one person, in an order by
  the seed or the likeliest first, until no two of them are; each answer is a correction, no as well as yes. Then goes
  through people by screen time.

Who goes through people knows at sight where else a person is; that search is what the pairs spare, and is not counted.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import record
from episodes import EPISODES
from numpy.typing import NDArray

from vcn_trt import api, labels, matching
from vcn_trt.corrections.edit import append, open_run
from vcn_trt.corrections.fold import Edit
from vcn_trt.corrections.suggest import Suggestion, suggestions
from vcn_trt.metrics import score
from vcn_trt.types import UNKNOWN

SEED, SEEDS = 0, 5
MOST = 1000


@dataclass(frozen=True, eq=False)
class Film:
    """A run to correct. who: each track's person, "" for one that the labels do not tell."""

    folder: Path
    who: NDArray[Any]

    @property
    def clusters(self) -> NDArray[np.int32]:
        return open_run(self.folder).tracks.tracks.cluster

    def tracks(self, cluster: int) -> list[int]:
        return np.flatnonzero(self.clusters == cluster).tolist()

    def person(self, tracks: list[int]) -> str:
        """Whom most of these are."""
        told = Counter(p for t in tracks if (p := self.who[t]))
        return told.most_common(1)[0][0] if told else ""

    def home(self, person: str) -> int:
        """The cluster with most of a person's tracks among those that are mostly his; UNKNOWN where there is none."""
        own = Counter(c for c in self.clusters[self.who == person].tolist() if c != UNKNOWN)
        return next((c for c, _ in own.most_common() if self.person(self.tracks(c)) == person), UNKNOWN)

    def scores(self) -> dict[str, float]:
        told = self.who != ""
        found = score(self.clusters[told], self.who[told].astype(str))
        return {"wcp": found.wcp, "pcr": found.pcr, "bcubed_f": found.bcubed_f}

    @property
    def right(self) -> bool:
        told = np.flatnonzero(self.who != "")
        pairs = set(zip(self.clusters[told].tolist(), self.who[told].tolist(), strict=True))
        return UNKNOWN not in {c for c, _ in pairs} and len(pairs) == len({c for c, _ in pairs}) == len(
            {p for _, p in pairs}
        )


Strategy = Callable[[Film], Iterator[Edit]]
"""Gives one edit after the other; each is applied before the next is asked for."""


def to_whom_they_are(film: Film, tracks: list[int], person: str) -> Edit:
    home = film.home(person)
    if home != UNKNOWN:
        return Edit("move", tuple(tracks), (tuple(t for t in film.tracks(home) if t not in tracks),))
    rest = [t for c in {int(film.clusters[t]) for t in tracks} - {UNKNOWN} for t in film.tracks(c) if t not in tracks]
    return Edit("split", tuple(tracks), (tuple(rest),) if rest else ())


def tracks_at_random(film: Film) -> Iterator[Edit]:
    for track in np.random.default_rng(SEED).permutation(np.flatnonzero(film.who != "")).tolist():
        if film.clusters[track] == UNKNOWN or film.clusters[track] != film.home(film.who[track]):
            yield to_whom_they_are(film, [track], film.who[track])


def people_by_screen_time(film: Film) -> Iterator[Edit]:
    while (edit := next_by_screen_time(film)) is not None:
        yield edit


def next_by_screen_time(film: Film) -> Edit | None:
    tracks = open_run(film.folder).tracks
    length = np.bincount(film.clusters.clip(0), tracks.tracks.stop - tracks.tracks.start)
    order = [c for c in np.argsort(-length, kind="stable").tolist() if c > 0 and film.tracks(c)]
    seen: dict[str, int] = {}
    for cluster in [*order, UNKNOWN]:
        own = film.tracks(cluster)
        main = film.person(own) if cluster != UNKNOWN else ""
        for person in sorted({film.who[t] for t in own} - {main, ""}):
            return to_whom_they_are(film, [t for t in own if film.who[t] == person], person)
        if main and main in seen:
            return Edit("merge", people=(tuple(film.tracks(seen[main])), tuple(own)))
        if main:
            seen[main] = cluster
    return None


def pairs_in_any_order(seed: int) -> Strategy:
    def strategy(film: Film) -> Iterator[Edit]:
        rng = np.random.default_rng(seed)
        yield from asked(film, lambda pairs: pairs[int(rng.integers(len(pairs)))])

    return strategy


def suggested_pairs(film: Film) -> Iterator[Edit]:
    yield from asked(film, lambda pairs: pairs[0])


def asked(film: Film, choose: Callable[[list[Suggestion]], Suggestion]) -> Iterator[Edit]:
    while split_people(film) and (pairs := suggestions(film.folder, most=MOST)):
        pair = choose(pairs)
        one, other = film.tracks(pair.a), film.tracks(pair.b)
        same = film.person(one) == film.person(other) != ""
        yield Edit("same" if same else "different", people=(tuple(one), tuple(other)))
    yield from people_by_screen_time(film)


def split_people(film: Film) -> bool:
    """Whether two clusters are mostly one person."""
    clusters = set(film.clusters.tolist()) - {UNKNOWN}
    people = [p for c in clusters if (p := film.person(film.tracks(c)))]
    return len(set(people)) < len(people)


STRATEGIES: dict[str, Strategy] = {
    "tracks at random": tracks_at_random,
    "people by screen time": people_by_screen_time,
    "suggested pairs": suggested_pairs,
}


def correct(film: Film, strategy: Strategy, again: bool) -> dict[str, Any]:
    """The scores after each correction, until every track is right."""
    curve, answers = [film.scores()], Counter[str]()
    edits = strategy(film)
    while not film.right and len(curve) <= MOST and (edit := next(edits, None)) is not None:
        append(film.folder, edit)
        answers[edit.kind] += 1
        if again:
            api.recompute(film.folder, ("cluster",), [])
        curve.append(film.scores())
    return {"corrections": len(curve) - 1, "all_right": film.right, "kinds": dict(answers), "curve": curve}


def open_film(footage: Path, runs: Path, name: str, place: Path) -> Film:
    folder = Path(shutil.copytree(runs / name, place / name))
    truth = labels.read(footage / f"{name}.gt.json")
    api.recompute(folder, ("cluster",), [])
    answer = api.open_run(folder)
    faces, n = answer.tracks.faces, answer.tracks.n_tracks
    by_video = matching.assign([truth], answer.tracks.videos)
    who = matching.match_tracks(faces, by_video, n, answer.tracks.tracks.video).identity
    return Film(folder, np.array([person or "" for person in who], object))


def measure(footage: Path, runs: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for title, strategy in STRATEGIES.items():
        for again in (False, True):
            with tempfile.TemporaryDirectory() as place:
                film = open_film(footage, runs, name, Path(place))
                found[f"{title}, grouped anew after each" if again else title] = correct(film, strategy, again)
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as place:
            film = open_film(footage, runs, name, Path(place))
            found[f"pairs in any order, seed {seed}"] = correct(film, pairs_in_any_order(seed), False)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, required=True, help="the folder of the episodes and their labels")
    parser.add_argument("--runs", type=Path, required=True, help="finished runs of them, by name; they are copied")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--films", nargs="*", default=list(EPISODES))
    given = parser.parse_args()
    results = {}
    for name in given.films:
        results[name] = measure(given.footage, given.runs, name)
        rows = [
            [
                title,
                r["corrections"],
                r["all_right"],
                *(f"{r['curve'][min(k, len(r['curve']) - 1)]['bcubed_f']:.3f}" for k in (0, 2, 5, 10)),
            ]
            for title, r in results[name].items()
        ]
        head = [name, "corrections", "all right", "B-cubed F before", "after 2", "after 5", "after 10"]
        print(record.markdown(head, rows), flush=True)
        record.write(given.out, __doc__.split("\n\n")[0], {"films": results})


if __name__ == "__main__":
    main()
