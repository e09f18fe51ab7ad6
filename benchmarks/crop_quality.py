"""Are small and soft crops worse? Every crop of the labelled films, rejected or not, against its person's other tracks.

    python benchmarks/crop_quality.py --footage data/episodes --out benchmarks/results/crop_quality.json

A crop (or the mean of a track's crops) is right where its SFace vector is nearer to the mean of its own person's other
tracks than to any other person's. Sides in pixels of the picture, sharpness as `crops.min_sharpness` has it.
"unlabelled" are crops of tracks that meet no labelled face: false alarms and faces that the labels leave out.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record
from episodes import EPISODES
from numpy.typing import NDArray

from vcn_trt import api, config, labels
from vcn_trt.matching import assign, match_tracks
from vcn_trt.ragged import Ragged
from vcn_trt.store import read_embeddings

SIDES = (0, 12, 16, 20, 24, 32, 48, 72, 1e9)
SHARPNESS = (0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 1e9)
RULES = [(0, 0), (16, 4), (16, 2), (16, 1), (16, 0.5), (16, 0), (12, 0.5), (20, 0), (24, 0), (20, 1), (24, 4)]
"""min_side and min_sharpness, tried together."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--footage", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--runs", type=Path, help="where the run directories stay (default: nowhere)")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        films = {name: crops(name, given.footage, (given.runs or Path(scratch)) / name) for name in EPISODES}
    films["all"] = {key: np.concatenate([film[key] for film in films.values()]) for key in films["sitcom"]}
    results = {
        name: {
            "labelled_crops": int(film["labelled"].sum()),
            "unlabelled_crops": int((~film["labelled"]).sum()),
            "quantiles": {key: quantiles(film, key) for key in ("side", "sharpness")},
            "by_side": bins(film, "side", SIDES),
            "by_sharpness": bins(film, "sharpness", SHARPNESS),
            "rules": [rule(film, side, sharp) for side, sharp in RULES],
        }
        for name, film in films.items()
    }
    record.write(given.out, __doc__.split("\n")[0], {"films": results})
    print(tables(results))


def crops(name: str, footage: Path, folder: Path) -> dict[str, NDArray[Any]]:
    """Every crop of a film: side, sharpness, its track, whether that is a labelled person, and how its vector does."""
    keep_all = config.CropsConfig(min_side=0.0, min_sharpness=-1.0, max_rejected=1.0)
    answer = api.cluster([footage / f"{name}.mp4"], folder, replace(config.Config(), crops=keep_all), update=True)
    found, table = answer.tracks, answer.tracks.crops
    truth = assign([labels.read(footage / f"{name}.gt.json")], found.videos)
    matches = match_tracks(found.faces, truth, found.n_tracks, found.tracks.video)
    span = int(found.faces.frame.max()) + 1
    face = np.searchsorted(
        found.faces.track.astype(np.int64) * span + found.faces.frame, table.track * span + table.frame
    )
    box = found.faces.box[face]
    person = np.array([matches.identity[t] or "" for t in table.track])
    vectors = read_embeddings(folder / "embeddings.npz").base.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own, other = nearest(vectors, vectors, table.track, person)
    means = Ragged.from_group_ids(vectors, table.track, found.n_tracks).mean()
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    track_own, track_other = nearest(means[table.track], vectors, table.track, person)
    return {
        "side": (box[:, 2:] - box[:, :2]).min(1),
        "sharpness": found.faces.sharpness[face],
        "track": np.array([f"{name} {t}" for t in table.track]),
        "labelled": person != "",
        "own": own,
        "other": other,
        "track_margin": track_own - track_other,
    }


def nearest(
    judged: NDArray[np.float64], vectors: NDArray[np.float64], track: NDArray[np.integer], person: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cosine of each row of `judged` to the mean of its person's tracks, its own left out, and to the nearest other
    person's. NaN where the row's crop has no label or its person no other track. (n,), (n,)"""
    means = Ragged.from_group_ids(vectors, track, int(track.max()) + 1).mean()
    owner = np.full(len(means), "", person.dtype)
    owner[track] = person
    own, other = np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    centres = {name: unit(means[owner == name].mean(0)) for name in sorted(set(person) - {""})}
    for row in np.flatnonzero(person != ""):
        mine = (owner == person[row]) & (np.arange(len(means)) != track[row])
        if mine.any():
            own[row] = judged[row] @ unit(means[mine].mean(0))
            other[row] = max(judged[row] @ centre for name, centre in centres.items() if name != person[row])
    return own, other


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def quantiles(film: dict[str, NDArray[Any]], key: str) -> dict[str, list[float]]:
    """1, 5, 25, 50, 75 and 95 % of the labelled and the other crops."""
    at = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
    parts = {"labelled": film["labelled"], "unlabelled": ~film["labelled"]}
    return {name: np.quantile(film[key][rows], at).round(2).tolist() for name, rows in parts.items() if rows.any()}


def bins(film: dict[str, NDArray[Any]], key: str, edges: tuple[float, ...]) -> list[dict[str, Any]]:
    return [
        {"from": low, "to": None if high == 1e9 else high, **worth(film, (film[key] >= low) & (film[key] < high))}
        for low, high in itertools.pairwise(edges)
    ]


def worth(film: dict[str, NDArray[Any]], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """How many crops, and how well the labelled ones among them tell their person."""
    judged = rows & np.isfinite(film["own"])
    return {
        "labelled": int((rows & film["labelled"]).sum()),
        "unlabelled": int((rows & ~film["labelled"]).sum()),
        "right": share(film["own"][judged] > film["other"][judged]),
        "own": share(film["own"][judged]),
        "margin": share(film["own"][judged] - film["other"][judged]),
    }


def rule(film: dict[str, NDArray[Any]], side: float, sharpness: float) -> dict[str, Any]:
    """What the two limits reject, whether it is worse than what they keep, and which tracks become Unknown by it."""
    kept = (film["side"] >= side) & (film["sharpness"] >= sharpness)
    _, of = np.unique(film["track"], return_inverse=True)
    share_kept = np.bincount(of, kept) / np.bincount(of)
    labelled = np.bincount(of, film["labelled"]) > 0
    margin = np.full(len(share_kept), np.nan)
    margin[of] = film["track_margin"]
    lost = (share_kept < 1 - config.CropsConfig().max_rejected) | (share_kept == 0)
    return {
        "min_side": side,
        "min_sharpness": sharpness,
        "kept": worth(film, kept),
        "rejected": worth(film, ~kept),
        "labelled_tracks": int(labelled.sum()),
        "labelled_tracks_unknown": int((lost & labelled).sum()),
        "right_of_unknown_tracks": share(margin[lost & np.isfinite(margin)] > 0),
        "right_of_other_tracks": share(margin[~lost & np.isfinite(margin)] > 0),
        "unlabelled_tracks": int((~labelled).sum()),
        "unlabelled_tracks_unknown": int((lost & ~labelled).sum()),
    }


def share(values: NDArray[Any]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def tables(results: dict[str, Any]) -> str:
    parts = []
    for name, film in results.items():
        for key in ("by_side", "by_sharpness"):
            rows = [
                [
                    f"{b['from']:g} to {b['to'] or '-'}",
                    b["labelled"],
                    b["unlabelled"],
                    b["right"],
                    b["own"],
                    b["margin"],
                ]
                for b in film[key]
            ]
            parts.append(f"{name}\n" + record.markdown([key, "labelled", "unlabelled", "right", "own", "margin"], rows))
        rows = [
            [
                f"{r['min_side']:g} px, {r['min_sharpness']:g}",
                r["rejected"]["labelled"],
                r["rejected"]["right"],
                r["kept"]["right"],
                f"{r['labelled_tracks_unknown']} of {r['labelled_tracks']}",
                r["right_of_unknown_tracks"],
                f"{r['unlabelled_tracks_unknown']} of {r['unlabelled_tracks']}",
            ]
            for r in film["rules"]
        ]
        header = ["rule", "labelled crops rejected", "right of these", "right of the kept"]
        header += ["labelled tracks Unknown", "right of these", "unlabelled tracks Unknown"]
        parts.append(f"{name}\n" + record.markdown(header, rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
