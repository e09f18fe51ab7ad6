"""The parts of a bench, one after the other. One that fails is reported with its reason, and the others go on."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from vcn_trt.bench import record, sensors
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.decoding import decode
from vcn_trt.bench.grouping import cluster
from vcn_trt.bench.limits import sheet
from vcn_trt.bench.maths import kernels
from vcn_trt.bench.measure import OURS, Figure, reason_of
from vcn_trt.bench.networks import detect, embed
from vcn_trt.bench.training import adaptation, refit
from vcn_trt.bench.whole import whole
from vcn_trt.config import what_counts
from vcn_trt.errors import UsageError

SCHEMA = "vcn-trt/bench/1"

Part = Callable[[Bench], Iterator[Figure]]

PARTS: dict[str, Part] = {
    "decode": decode,
    "kernels": kernels,
    "detect": detect,
    "embed": embed,
    "adapt": adaptation,
    "refit": refit,
    "cluster": cluster,
    "whole": whole,
}


def chosen(only: str) -> tuple[str, ...]:
    """The parts of "decode,detect", or all of "". Raises UsageError for an unknown one."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in PARTS:
            raise UsageError(f"there is no part {name!r} of the bench; known: {', '.join(PARTS)}")
    return tuple(name for name in PARTS if not names or name in names)


def begin(bench: Bench, command: str, parts: Sequence[str]) -> dict[str, Any]:
    """The record of a bench before its first part: everything but figures."""
    backend = bench.backend
    return {
        "schema": SCHEMA,
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": record.device(backend.name, backend.torch_device, backend.description),
        "machine": record.machine(),
        "versions": record.versions(),
        "rates": bench.rates.to_json() if bench.rates else None,
        "sheet": sheet(bench.gpu),
        "settings": {
            "parts": list(parts),
            "streams": list(bench.streams),
            "seconds": bench.seconds,
            "tracks": bench.tracks,
            "config": what_counts(bench.config),
        },
        "input": bench.films.to_json(),
        "parts": [],
    }


def measure(name: str, bench: Bench) -> dict[str, Any]:
    """One part. state: "done", "partial" where a figure is missing, "failed" where it gave none of ours; reason: of the
    first that is missing."""
    figures: list[Figure] = []
    reason, start = "", time.perf_counter()
    with sensors.watch(bench.backend.torch_device) as readings:
        try:
            figures.extend(PARTS[name](bench))
        except Exception as error:
            reason = reason_of(error)
    _let_go(bench)
    reason = reason or next((f"{f.what}, {f.by}: {f.failed}" for f in figures if f.failed), "")
    ours = any(f.by == OURS and not f.failed for f in figures)
    return {
        "part": name,
        "state": "failed" if not ours else "partial" if reason else "done",
        "reason": reason,
        "seconds": round(time.perf_counter() - start, 2),
        "figures": [asdict(f) for f in figures],
        "sensors": readings.summary(),
    }


def _let_go(bench: Bench) -> None:
    """What one part held on the card is not the next one's to run out of."""
    gc.collect()
    if bench.on_card:
        import torch

        torch.cuda.empty_cache()
