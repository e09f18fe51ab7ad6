"""The paper's Tables 4, 5 and 6 on labelled footage (`vcn ablate`): every setting, over several seeds, through the same
pipeline as any run.

One run directory serves all: a setting recomputes there what it touches. What a setting answered is kept in a file of
its own, so a broken-off ablation goes on, and other labels cost nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vcn_trt import api, backends
from vcn_trt.adapt.match import MatchScore
from vcn_trt.adapt.stage import ADAPT
from vcn_trt.backends import Backend
from vcn_trt.cluster.stage import CLUSTER
from vcn_trt.config import Config, load, preset, to_dict, what_counts
from vcn_trt.embed import EMBED
from vcn_trt.errors import LabelError, RunError, UsageError, VideoError
from vcn_trt.ingest.production import INGEST
from vcn_trt.labels import Labels
from vcn_trt.matching import assign, match_tracks, renamed
from vcn_trt.metrics import Scores, score
from vcn_trt.ragged import Ragged
from vcn_trt.rounds import read_rounds, score_rounds
from vcn_trt.run import Hook, Run, hold, replace_text, silent, versions
from vcn_trt.sources import Source
from vcn_trt.types import UNKNOWN, TrackSet
from vcn_trt.zoo.models import open_model

BASES = ("sface", "mobilefacenet")

TRAINED = ("adapt.rounds=3",)

K_TOLD = ", told the number of people"

TABLES = (
    "Table 4: adapted or not, grouped by HAC on track means",
    "Table 5: the final clustering and its metric",
    "Table 6: face-ID bases, each against its own baseline",
    "Baselines on the base's vectors",
)


@dataclass(frozen=True)
class Setting:
    """A row of a table: the config of the ablation with `overrides`."""

    table: str
    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """A setting with one seed. with_unknown: Unknown tracks as errors; coverage: the share of labelled tracks that are
    not Unknown; both None where the setting cannot be had, with the reason in `problem`. rounds: the matches before
    each round of training, then the finished model's; empty without adaptation. adapt_seconds: what the adaptation
    took, None without one. fell_back: why a training was given up for its start."""

    seed: int
    with_unknown: Scores | None = None
    without_unknown: Scores | None = None
    coverage: float | None = None
    rounds: tuple[MatchScore, ...] = ()
    adapt_seconds: float | None = None
    fell_back: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Row:
    """A setting over all seeds; over one where nothing in it hangs on the seed."""

    setting: Setting
    config: Config
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Ablation:
    """people: how many of the labelled appear in the tracks; tracks: found; labelled: of them, that are a labelled
    person. notes: what a reader should know before trusting the numbers."""

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    tracks: int
    labelled: int
    people: int
    seeds: tuple[int, ...]
    device: str
    versions: dict[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def ablate(
    sources: Sequence[Source],
    labels: Sequence[Labels],
    folder: Path,
    *,
    seeds: int = 5,
    bases: Sequence[str] = BASES,
    configure: Callable[[Iterable[str]], Config] = lambda overrides: load(None, overrides),
    hook: Hook = silent,
    say: Callable[[str], None] = lambda sentence: None,
) -> Ablation:
    """Every setting on this footage. bases: Tables 4 and 5 take the first, Table 6 all. configure: the config to start
    from, with these overrides. folder: run/ and cells/; the same call after a kill goes on there. say: is told what is
    worked on.

    Raises UsageError for options that cannot be meant, LabelError where the labels do not fit (before any video is
    read through, as far as can be told) or no track is a labelled person, VideoError where a video cannot be read,
    RunError where `folder` holds something else.
    """
    if seeds < 1 or not bases:
        raise UsageError(f"an ablation needs a seed and a base at least; found {seeds} seeds, {len(bases)} bases")
    plain = configure([f"embed.model={bases[0]}"])
    backend = backends.open(plain.device, plain.gpu_memory)
    _check_fit(sources, labels, backend, plain)
    if folder.exists() and any(folder.iterdir()) and not (folder / "cells").is_dir():
        raise RunError(f"{folder} is not empty and holds no ablation: give a new folder with --out")
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    tracks = find_tracks(sources, folder / "run", plain, backend, hook)
    by_video = assign(labels, tracks.videos)
    identity = match_tracks(tracks.faces, by_video, tracks.n_tracks, tracks.tracks.video).identity
    people = {name for name in identity if name is not None}
    if not people:
        raise LabelError(
            f"none of the {tracks.n_tracks} tracks is a labelled person: expected labels of this footage, with boxes "
            "in pixels of its displayed picture; `vcn run` and its report.html show what was found"
        )
    rows = [(s, configure(s.overrides)) for s in settings(bases, len(people))]
    numbers = tuple(range(plain.seed, plain.seed + seeds))
    # Nothing but the adaptation is random.
    every = [[replace(c, seed=n) for n in (numbers if c.cluster.adapts else numbers[:1])] for _, c in rows]
    models = {name: open_model(name, "base").identity for name in bases}
    found: dict[Config, Cell] = {}
    order = in_order(config for configs in every for config in configs)
    for done, config in enumerate(order):
        say(f"{done + 1} of {len(order)}: {told(config)}")
        parts = [models[config.embed.model], open_model(config.detect.model, "detector").identity]
        path = folder / "cells" / f"{_key(config, sources, parts)}.json"
        found[config] = _cell(config, sources, folder / "run", path, identity, hook)
    return Ablation(
        videos=tuple(str(s.path) for s in sources),
        labels=tuple(str(one.path) for one in labels),
        tracks=tracks.n_tracks,
        labelled=sum(name is not None for name in identity),
        people=len(people),
        seeds=numbers,
        device=backend.description,
        versions=versions(),
        rows=tuple(
            Row(s, c, tuple(found[one] for one in configs)) for (s, c), configs in zip(rows, every, strict=True)
        ),
        notes=tuple(renamed(by_video, tracks.videos)),
    )


def settings(bases: Sequence[str], people: int) -> list[Setting]:
    """The rows of all tables. people: the true number, for what is told it."""

    def own(base: str, *overrides: str) -> tuple[str, ...]:
        return (f"embed.model={base}", "cluster.vectors=base", "cluster.threshold=none", "cluster.k=0", *overrides)

    base, hac, ours = bases[0], "cluster.method=hac", "cluster.method=vcn"
    adapted, paper = (hac, "cluster.vectors=adapted"), ("adapt.model=", *preset("paper"))
    vectors = {
        "base vectors": (hac,),
        "adapted": adapted,
        "adapted, trained in 3 rounds": ("adapt.model=", *TRAINED, *adapted),
        "adapted as the paper words it": (*paper, *adapted),
    }
    rows = []
    for name, more in vectors.items():
        rows.append(Setting(TABLES[0], name, own(base, *more)))
        rows.append(Setting(TABLES[0], name + K_TOLD, own(base, *more, f"cluster.k={people}")))
    rows.append(Setting(TABLES[1], "baseline (HAC), cosine", own(base, hac)))
    for metric, name in (("cosine", "cosine"), ("euclidean", "Euclidean"), ("loss", "loss")):
        rows.append(Setting(TABLES[1], f"ours, {name}", own(base, ours, f"cluster.metric={metric}")))
    rows.append(
        Setting(TABLES[1], "ours as the paper words it, loss", own(base, "adapt.model=", *preset("paper"), ours))
    )
    for one in bases:
        rows.append(Setting(TABLES[2], f"{one}, baseline (HAC)", own(one, hac)))
        rows.append(Setting(TABLES[2], f"{one}, ours", own(one, ours)))
    for method in ("hac", "dbscan", "hdbscan", "finch"):
        rows.append(Setting(TABLES[3], method.upper(), own(base, f"cluster.method={method}")))
    return rows


def in_order(configs: Iterable[Config]) -> list[Config]:
    """Each once, those side by side that share the vectors, then the seed, then the adaptation: all are made once."""
    seen: tuple[dict[Any, int], ...] = ({}, {}, {})

    def place(c: Config) -> tuple[int, ...]:
        parts = (c.embed, c.quality), c.seed, (c.cluster.adapts, c.adapt, c.match)
        return tuple(first.setdefault(part, len(first)) for first, part in zip(seen, parts, strict=True))

    return sorted(dict.fromkeys(configs), key=place)


def find_tracks(sources: Sequence[Source], folder: Path, config: Config, backend: Backend, hook: Hook) -> TrackSet:
    """The ingest stage alone, so that a broken-off adaptation in the run directory stays."""
    with hold(folder, config, sources, update=True):
        run = Run(folder, config, sources, backend.description, hook, backend.memory)
        tracks = run.stage(INGEST, sources, open_model(config.detect.model, "detector"), backend, config.ingest)
        if failed := run.record["stages"]["ingest"]["failed"]:
            lines = "\n".join(f"  {f['path']}: {f['reason']}" for f in failed)
            raise VideoError(f"an ablation stands on whole footage, and this could not be read; leave it out:\n{lines}")
        return tracks


def _check_fit(sources: Sequence[Source], labels: Sequence[Labels], backend: Backend, config: Config) -> None:
    """Raise LabelError or VideoError for what opening the files tells, before hours of reading them."""
    videos = []
    for number, source in enumerate(sources):
        decoder = backend.open_decoder(source.path, number, config.decode)
        videos.append(decoder.video)
        decoder.close()
    assign([replace(one, frames=None) for one in labels], videos)  # how many frames there are only reading tells


def told(config: Config) -> str:
    """A config in a few words."""
    c = config.cluster
    how = f"{c.method}, {c.metric}" if c.method == "vcn" else f"{c.method} on {c.vectors} vectors"
    trained = f", {config.adapt.head} head, {config.adapt.rounds} rounds, seed {config.seed}" if c.adapts else ""
    return f"{config.embed.model}, {how}{trained}"


def _cell(
    config: Config, sources: Sequence[Source], folder: Path, path: Path, identity: Sequence[str | None], hook: Hook
) -> Cell:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        try:
            answer = _answer(config, sources, folder, hook)
        except UsageError as error:  # the config is sound, so the footage is not: fewer tracks than people, say
            return Cell(config.seed, problem=str(error))
        replace_text(path, json.dumps(answer))
    labels = np.array(answer["labels"], np.int32)
    rounds = [
        Ragged.from_group_ids(np.array(match, np.int64), np.array(track, np.int64), len(labels))
        for track, match in answer["rounds"]
    ]
    matched = np.array([name is not None for name in identity], bool)
    predicted, true = labels[matched], np.array([name for name in identity if name is not None], np.str_)
    known = predicted != UNKNOWN
    return Cell(
        seed=config.seed,
        with_unknown=score(predicted, true),
        without_unknown=score(predicted[known], true[known]),
        coverage=float(known.mean()),
        rounds=tuple(score_rounds(rounds, identity)),
        adapt_seconds=answer["adapt_seconds"],
        fell_back=answer["fell_back"],
    )


def _answer(config: Config, sources: Sequence[Source], folder: Path, hook: Hook) -> dict[str, Any]:
    """What a run of this config answers, without the labels, as plain JSON."""
    found = api.cluster_sources(sources, folder, config, update=True, hook=hook)
    rounds = read_rounds(folder, found.record, found.tracks.n_tracks)
    adapted = found.record["stages"]["adapt"]
    return {
        "config": to_dict(config),
        "labels": found.people.labels.tolist(),
        "rounds": [[r.group_ids.tolist(), np.asarray(r.values).tolist()] for r in rounds],
        "adapt_seconds": adapted["seconds"] if config.cluster.adapts else None,
        "fell_back": adapted.get("fell_back"),
    }


def _key(config: Config, sources: Sequence[Source], models: Sequence[str]) -> str:
    """What the answer of a setting hangs on."""
    stages = [[s.name, s.version] for s in (INGEST, EMBED, ADAPT, CLUSTER)]
    parts = [what_counts(config), [s.fingerprint for s in sources], models, stages, versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
