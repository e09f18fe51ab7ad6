"""What a card must reach, read off the record of its bench."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from vcn_trt.bench.measure import OURS

Json = dict[str, Any]


class Target(NamedTuple):
    """found: None where the bench has no such figure. least: whether `found` must be `wanted` or more, or less."""

    what: str
    wanted: float
    found: float | None
    least: bool = True

    @property
    def reached(self) -> bool:
        if self.found is None:
            return False
        return self.found >= self.wanted if self.least else self.found < self.wanted


def targets(bench: Json) -> list[Target]:
    """End to end, networks, refit and clustering; kernels have no target but their share."""
    both = [_best(bench, "decode", "file to frames"), _best(bench, "detect", "frames to faces")]
    ingest = _best(bench, "whole", "ingest: frames to tracks")
    bound = None if None in both else min(rate for rate in both if rate is not None)
    found = [Target("ingest over the smaller of decoding and detecting", 0.8, _quotient(ingest, bound))]
    for part in ("detect", "embed"):
        times = [f["over"]["torch"]["median"] for f in _ours(bench, part) if "torch" in f["over"]]
        found.append(Target(f"{part}: network over compiled half torch, the least", 1.5, min(times, default=None)))
    refits = [f["seconds"]["median"] for f in _ours(bench, "refit")]
    found.append(Target("seconds of a refit", 1.0, refits[0] if refits else None, least=False))
    grouped = [f["seconds"]["median"] for f in _ours(bench, "cluster") if f["what"] == "100000 tracks"]
    found.append(Target("seconds to cluster 100,000 tracks", 5.0, grouped[0] if grouped else None, least=False))
    return found


def _ours(bench: Json, part: str) -> Iterator[Json]:
    for measured in bench["parts"]:
        if measured["part"] == part:
            yield from (f for f in measured["figures"] if f["by"] == OURS and not f["failed"])


def _best(bench: Json, part: str, what: str) -> float | None:
    """The greatest rate over all numbers of streams."""
    return max((f["rate"]["median"] for f in _ours(bench, part) if f["what"] == what), default=None)


def _quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b
