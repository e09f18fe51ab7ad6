"""The method where it is hard: the labelled films shrunk, dark, noisy and soft, cut down to few people or a part of
their length, mixed with each other, and films of still photographs. On labelled tracks, so that clustering alone is
measured.

    python benchmarks/stress.py --footage data --out benchmarks/results/stress.json

"ours" is the default, "base" the same clustering on the base as it comes, "trained" three rounds of teacher and
student; HAC, HDBSCAN and FINCH stand on the base's vectors. Films that are made for it stay in --scratch, and
cases that are in --out already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import record
from episodes import EPISODES
from labelled import labelled_run
from method import scores
from numpy.typing import NDArray

from vcn_trt import backends, config, labels
from vcn_trt.backends.base import FrameBatch
from vcn_trt.backends.cpu.frame import CpuFrame
from vcn_trt.ingest.detect import FaceDetector
from vcn_trt.labels import LabelledShot, LabelledTrack, Labels
from vcn_trt.zoo import fetch

SETTINGS: dict[str, tuple[str, ...]] = {
    "ours": (),
    "base": ("adapt.shrink=1",),
    "trained": ("adapt.rounds=3",),
    "hac": ("cluster.method=hac",),
    "hdbscan": ("cluster.method=hdbscan",),
    "finch": ("cluster.method=finch",),
}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """A production and its truth."""

    name: str
    videos: Sequence[Path]
    truths: Sequence[Labels]


@dataclass(frozen=True)
class Spoilt:
    """A film as a worse camera would have made it. change: of a frame (BGR) and a generator; factor: of its size."""

    name: str
    change: Callable[[Picture, np.random.Generator], Picture]
    factor: float = 1.0


def _dark(picture: Picture, rng: np.random.Generator) -> Picture:
    grain = rng.normal(0, 5, picture.shape[:2])[..., None]
    return (picture * 0.22 + grain).clip(0, 255).astype(np.uint8)


def _noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    return (picture + rng.normal(0, 22, picture.shape)).clip(0, 255).astype(np.uint8)


def _soft(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), picture.shape[0] / 240), np.uint8)


def _small(height: int) -> Callable[[Picture, np.random.Generator], Picture]:
    def shrink(picture: Picture, rng: np.random.Generator) -> Picture:
        width = round(picture.shape[1] * height / picture.shape[0] / 2) * 2
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    return shrink


SPOILT = (
    Spoilt("dark", _dark),
    Spoilt("noisy", _noisy),
    Spoilt("soft", _soft),
    Spoilt("360p", _small(360), 1 / 2),
    Spoilt("240p", _small(240), 1 / 3),
    Spoilt("180p", _small(180), 1 / 4),
)
LARGE = ("sitcom", "dev_episode", "cc_episode")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=Path, required=True, help="the folder of episodes/ and faces/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, help="where made films stay")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], dest="sets", help="SECTION.KEY=VALUE, for every setting")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = given.scratch or Path(temporary)
        scratch.mkdir(parents=True, exist_ok=True)
        rows: dict[str, Any] = json.loads(given.out.read_text())["cases"] if given.out.exists() else {}
        for case in cases(given.footage, scratch):
            if given.only not in case.name or case.name in rows:
                continue
            rows[case.name] = measure(case, given.settings, given.seeds, given.sets)
            told = [f"{s} {w:.3f} @ {p:.2f}" for s, r in rows[case.name]["settings"].items() for w, p in [_worst(r)]]
            people, tracks = rows[case.name]["people"], rows[case.name]["tracks"]
            print(f"{case.name} ({people} people, {tracks} tracks): {'; '.join(told)}", flush=True)
            record.write(given.out, __doc__.split("\n")[0], {"cases": rows, "summary": summary(rows, given.settings)})
    print(table(rows, given.settings))


def cases(footage: Path, scratch: Path) -> Iterator[Case]:
    """Every production, made as it is asked for."""
    paths = {name: footage / "episodes" / f"{name}.mp4" for name in EPISODES}
    truths = {name: labels.read(footage / "episodes" / f"{name}.gt.json") for name in EPISODES}
    for name in EPISODES:
        yield Case(name, [paths[name]], [truths[name]])
    for name in EPISODES:
        for part in range(2):
            yield Case(f"{name}, half {part + 1}", [paths[name]], [half(truths[name], part)])
        most = [person for person, _ in Counter(t.identity for t in truths[name].tracks).most_common(3)]
        for number, person in enumerate(most[:2]):
            yield Case(f"{name}, one person ({number + 1})", [paths[name]], [only(truths[name], [person])])
        yield Case(f"{name}, two people", [paths[name]], [only(truths[name], most[:2])])
        yield Case(f"{name}, three people", [paths[name]], [only(truths[name], most)])
    for some in (("sitcom", "dev_episode"), ("sitcom_180p", "cc_episode"), ("dev_episode", "cc_episode"), EPISODES[1:]):
        yield Case(" + ".join(some), [paths[n] for n in some], [truths[n] for n in some])
    for kind in ("lfw10", "orl"):
        yield Case(f"photographs, {kind}", *photographs(footage / "faces" / kind, scratch))
    for name in LARGE:
        for spoilt in SPOILT:
            if name != "sitcom" or spoilt.name != "180p":  # which is there already
                yield Case(f"{name}, {spoilt.name}", *spoil(paths[name], truths[name], spoilt, scratch))
    for spoilt in SPOILT[:2]:
        name = "sitcom_180p"
        yield Case(f"{name}, {spoilt.name}", *spoil(paths[name], truths[name], spoilt, scratch))


def measure(case: Case, settings: Sequence[str], seeds: int, sets: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {title: [] for title in settings}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            for title in settings:
                if seed and "cluster.method" in str(SETTINGS[title]):
                    continue  # nothing in a baseline is random
                chosen = config.load(None, [*sets, *SETTINGS[title], f"seed={seed}"])
                answer = labelled_run(case.truths, case.videos, Path(folder) / "run", chosen)
                found[title].append(scores(answer, case.truths))
    people = {t.identity for truth in case.truths for t in truth.tracks}
    return {"people": len(people), "tracks": sum(len(t.tracks) for t in case.truths), "settings": found}


def spoil(video: Path, truth: Labels, spoilt: Spoilt, scratch: Path) -> tuple[list[Path], list[Labels]]:
    """The film and its labels, spoilt."""
    out = scratch / f"{video.stem}_{spoilt.name}.mp4"
    if not out.exists():
        rng = np.random.default_rng(0)
        with av.open(str(video)) as source:
            frames = (spoilt.change(f.to_ndarray(format="bgr24"), rng) for f in source.decode(video=0))
            film(frames, out, Fraction(source.streams.video[0].average_rate or 24))
    assert truth.width is not None
    assert truth.height is not None
    size = round(truth.width * spoilt.factor / 2) * 2, round(truth.height * spoilt.factor)
    factor = np.array([size[0] / truth.width, size[1] / truth.height] * 2, np.float32)
    tracks = tuple(replace(t, boxes=t.boxes * factor) for t in truth.tracks)
    return [out], [replace(truth, video=out.name, width=size[0], height=size[1], tracks=tracks, ignore_tracks=())]


def film(pictures: Iterator[Picture], out: Path, rate: Fraction) -> None:
    """BGR pictures of one size as H.264."""
    unfinished = out.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")))
        assert stream is not None
        container.mux(stream.encode())
    shutil.move(unfinished, out)


def half(truth: Labels, part: int) -> Labels:
    """The first or second half of the tracks, in order of time."""
    ordered = sorted(truth.tracks, key=lambda t: int(t.frames[0]))
    middle = len(ordered) // 2
    return replace(truth, tracks=tuple(ordered[middle:] if part else ordered[:middle]))


def only(truth: Labels, people: Sequence[str | None]) -> Labels:
    return replace(truth, tracks=tuple(t for t in truth.tracks if t.identity in people))


PHOTOGRAPHS = 100
"""Of a folder: ten people."""

STILL = 36
"""Frames for which a photograph is shown, at 24 a second: three crops of the same face."""


def photographs(folder: Path, scratch: Path) -> tuple[list[Path], list[Labels]]:
    """A film in which each photograph of a folder of people stands still for a while; boxes by the detector."""
    manifest, weights = fetch.resolve("retinaface_mnet025")
    backend = backends.open("cpu")
    detector = FaceDetector(backend.open_network(weights), manifest, backend, config.DetectConfig())
    out = scratch / f"photographs_{folder.name}.mp4"
    stills: list[Picture] = []
    tracks: list[LabelledTrack] = []
    for path in sorted(folder.glob("*/*"))[:PHOTOGRAPHS]:
        loaded = cv2.imread(str(path))
        if loaded is None:
            continue
        scale = min(200 / loaded.shape[0], 280 / loaded.shape[1])
        small = cv2.resize(loaded, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.full((240, 320, 3), 90, np.uint8)
        top, left = (240 - small.shape[0]) // 2, (320 - small.shape[1]) // 2
        picture[top : top + small.shape[0], left : left + small.shape[1]] = small
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        faces = detector(FrameBatch([CpuFrame(frame)], np.zeros(1, np.int64), np.zeros(1)))[0]
        if not len(faces.scores) or faces.scores[0] < 0.8:
            continue
        start = len(stills) * STILL
        frames = np.arange(start, start + STILL)
        boxes = np.repeat(faces.boxes[:1], STILL, 0)
        tracks.append(LabelledTrack(len(stills), len(stills), path.parent.name, frames, boxes))
        stills.append(picture)
    if not out.exists():
        film((p for p in stills for _ in range(STILL)), out, Fraction(24))
    shots = tuple(LabelledShot(i, i * STILL, (i + 1) * STILL) for i in range(len(stills)))
    n = len(stills) * STILL
    return [out], [Labels(out, out.name, Fraction(24), 320, 240, n, shots, tuple(tracks))]


def _worst(found: Sequence[dict[str, Any]]) -> tuple[float, float]:
    worst = min(found, key=lambda s: s["bcubed_f"])
    return worst["wcp"], worst["pcr"]


def summary(rows: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Over the cases, each by its worst seed."""
    found: dict[str, Any] = {}
    for title in settings:
        worst = [min(r["settings"][title], key=lambda s: s["bcubed_f"]) for r in rows.values()]
        found[title] = {
            "mean_wcp": round(float(np.mean([s["wcp"] for s in worst])), 4),
            "worst_wcp": min(s["wcp"] for s in worst),
            "mean_pcr": round(float(np.mean([s["pcr"] for s in worst])), 3),
            "mean_bcubed_f": round(float(np.mean([s["bcubed_f"] for s in worst])), 4),
            "worst_bcubed_f": min(s["bcubed_f"] for s in worst),
            "cases_with_a_mixed_cluster": sum(s["largest_mix"] > 0.03 for s in worst),
        }
    return found


def table(rows: dict[str, Any], settings: Sequence[str]) -> str:
    """WCP @ PCR of the worst seed, a row a case; then the summary."""
    cells = [
        [name, *[f"{w:.3f} @ {p:.2f}" for t in settings for w, p in [_worst(r["settings"][t])]]]
        for name, r in rows.items()
    ]
    over = [[title, *facts.values()] for title, facts in summary(rows, settings).items()]
    heads = list(summary(rows, settings)[settings[0]])
    return record.markdown(["case", *settings], cells) + "\n\n" + record.markdown(["setting", *heads], over)


if __name__ == "__main__":
    main()
