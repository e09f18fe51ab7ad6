"""The whole pipeline, as `vcn run` does it: from files to people, for one film and for several at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vcn_trt import api, pipeline
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.film import copies
from vcn_trt.bench.measure import OURS, Contestant, Figure, Measured, figure
from vcn_trt.run import Run, hold, silent
from vcn_trt.sources import find


def whole(bench: Bench) -> Iterator[Figure]:
    """Each number of streams is that many films of one production, run once; its first stage, from frames to tracks, is
    a figure of its own, which decoding and detection bound."""
    by = Contestant(OURS, f"{bench.backend.name}, as vcn run", lambda n: [])
    if bench.on_card:  # a first run compiles kernels and may build engines
        _run(bench, 1)
    for streams in bench.streams:
        seconds, record = _run(bench, streams)
        stages, frames = record["stages"], record["frames"]
        facts: dict[str, Any] = {f"{name}_seconds": round(facts["seconds"], 2) for name, facts in stages.items()}
        ingest = Measured([(frames, stages["ingest"]["seconds"])], [])
        yield figure("ingest: frames to tracks", "frames", streams, by, ingest)
        run = figure("whole run", "frames", streams, by, Measured([(frames, seconds)], []))
        yield replace(run, facts=facts | {"frames": frames})


def _run(bench: Bench, streams: int) -> tuple[float, dict[str, Any]]:
    """Seconds of a run from nothing, models opened included, and its record."""
    folder = bench.folder / "whole"
    folder.mkdir()
    try:
        sources = find(copies(bench.films.whole, streams, folder))
        out, config = folder / "run", bench.config
        start = time.perf_counter()
        with hold(out, config, sources, update=False):
            run = Run(out, config, sources, bench.backend.description, silent)
            run.begin()
            pipeline.cluster_videos(run, sources, bench.backend)
            api.conclude(run)
        return time.perf_counter() - start, run.record
    finally:
        shutil.rmtree(folder)
