"""An ablation as Markdown and as JSON: over the seeds, the mean and the worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vcn_trt.ablate import K_TOLD, TABLES, Ablation, Cell, Row
from vcn_trt.adapt.match import MatchScore
from vcn_trt.evaluate import plain

SCHEMA = "vcn-trt/ablation/1"

NOTES = (
    "WCP@PCR: weighted cluster purity at predicted over true people, means over the seeds. Worst: the seed of the "
    "lowest WCP. Tracks that are Unknown count as errors; coverage is the share of labelled tracks that are not.",
    "What hangs on no seed ran once. Seconds of adaptation do not count views of the crops that an earlier adaptation "
    "of the same seed had left.",
    "HAC and DBSCAN stand at their default thresholds, which are set for the base's vectors. HAC that is told the "
    "number of people knows those of the labels; faces that are not labelled are among its tracks all the same.",
)


def markdown(ablation: Ablation) -> str:
    """The tables for a person."""
    a = ablation
    lines = [
        "# Ablation",
        "",
        f"{', '.join(a.videos)}: {a.tracks} tracks, {a.labelled} of them of {a.people} labelled people. "
        f"{_count(len(a.seeds), 'seed')}, {a.device}.",
        "",
        *(f"- {note}" for note in (*NOTES, *a.notes)),
    ]
    for title in TABLES:
        lines += ["", f"## {title}", "", *_table([row for row in a.rows if row.setting.table == title])]
    if adapted := _adaptations(a.rows):
        lines += ["", "## Coarse matches against the labels", "", *_rounds(adapted)]
    lines += ["", "## Versions", "", ", ".join(f"{name} {version}" for name, version in a.versions.items())]
    return "\n".join(lines) + "\n"


def to_json(ablation: Ablation) -> dict[str, Any]:
    """All of it in plain values, each row with its config, its seeds one by one, and `over_seeds`; None for NaN."""
    tree: dict[str, Any] = {"schema": SCHEMA, **plain(ablation)}
    for found, row in zip(tree["rows"], ablation.rows, strict=True):
        found["over_seeds"] = plain(over_seeds(row.cells))
    return tree


def over_seeds(cells: Sequence[Cell]) -> dict[str, Any] | None:
    """Mean and worst; None where no seed has an answer."""
    told = [(c, c.with_unknown, c.coverage) for c in cells if c.with_unknown is not None and c.coverage is not None]
    if not told:
        return None
    scores = [s for _, s, _ in told]
    worst = min(scores, key=lambda s: s.wcp)
    seconds = [c.adapt_seconds for c, _, _ in told if c.adapt_seconds is not None]
    return {
        "seeds": len(told),
        "clusters": _mean([s.clusters for s in scores]),
        "identities": scores[0].identities,
        "wcp": _mean([s.wcp for s in scores]),
        "pcr": _mean([s.pcr for s in scores]),
        "wcp_worst": worst.wcp,
        "pcr_at_worst": worst.pcr,
        "pcr_least": min(s.pcr for s in scores),
        "pcr_most": max(s.pcr for s in scores),
        "coverage": _mean([coverage for *_, coverage in told]),
        "coverage_least": min(coverage for *_, coverage in told),
        "bcubed_f": _mean([s.bcubed_f for s in scores]),
        "adapt_seconds": _mean(seconds) if seconds else None,
        "fell_back": sum(c.fell_back is not None for c, _, _ in told),
    }


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| Setting | WCP@PCR | worst | PCR | people | coverage | seeds | adaptation |"
    yield "|---|---|---|---|---|---|---|---|"
    footnotes = []
    for row in rows:
        name, f = row.setting.name, over_seeds(row.cells)
        footnotes += [f"{name}, seed {c.seed}: {why}." for c in row.cells if (why := c.problem or c.fell_back)]
        if f is None:
            yield f"| {name} | - | - | - | - | - | 0 | - |"
            continue
        pcr = f"{f['pcr_least']:.2f}" + (f" to {f['pcr_most']:.2f}" if f["pcr_most"] > f["pcr_least"] else "")
        seconds = "-" if f["adapt_seconds"] is None else f"{f['adapt_seconds']:.1f} s"
        yield (
            f"| {name} | {f['wcp']:.3f}@{f['pcr']:.2f} | {f['wcp_worst']:.3f}@{f['pcr_at_worst']:.2f} | {pcr} "
            f"| {_short(f['clusters'])}/{f['identities']} | {f['coverage']:.3f} | {f['seeds']} | {seconds} |"
        )
    if footnotes:
        yield ""
        yield from (f"- {note}" for note in footnotes)


def _adaptations(rows: Sequence[Row]) -> dict[str, Row]:
    """The first row of every adaptation, by its name."""
    found: dict[Any, tuple[str, Row]] = {}
    for row in rows:
        c = row.config
        if c.cluster.adapts and any(cell.rounds for cell in row.cells):
            name = row.setting.name.removesuffix(K_TOLD)
            found.setdefault((c.embed, c.quality, c.adapt, c.match), (name, row))
    return dict(found.values())


def _rounds(adapted: dict[str, Row]) -> Iterator[str]:
    yield "| Adaptation | matches of | pairs | precision | worst | recall | worst |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in adapted.items():
        seeds = [cell.rounds for cell in row.cells if cell.rounds]
        for number in range(max(map(len, seeds)) - 1):
            yield _matches(name, f"round {number + 1}", [r[number] for r in seeds if number < len(r) - 1])
        yield _matches(name, "the finished model", [r[-1] for r in seeds])


def _matches(name: str, when: str, scores: Sequence[MatchScore]) -> str:
    pairs = _mean([m.matches for m in scores])
    return f"| {name} | {when} | {_short(pairs)} | {_both(scores, _precision)} | {_both(scores, _recall)} |"


def _precision(m: MatchScore) -> float:
    return m.precision


def _recall(m: MatchScore) -> float:
    return m.recall


def _both(scores: Sequence[MatchScore], of: Callable[[MatchScore], float]) -> str:
    """Mean and worst, in two columns, of the seeds that have one: without a match there is no precision."""
    values = [of(m) for m in scores if not math.isnan(of(m))]
    return f"{_mean(values):.3f} | {min(values):.3f}" if values else "- | -"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _short(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
