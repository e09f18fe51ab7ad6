"""One process that does the ingest stage alone and says what it took, as JSON on its last line. `speed.py` and
`memory.py` start it afresh for every measurement.

    python benchmarks/ingest_only.py film.mp4 RUN [section.key=value ...]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from vcn_trt import backends, config
from vcn_trt.ingest.production import INGEST
from vcn_trt.run import Run, hold
from vcn_trt.sources import find
from vcn_trt.zoo.models import open_model


def main() -> None:
    video, folder, *overrides = sys.argv[1:]
    chosen, sources = config.load(None, overrides), find([Path(video)])
    backend, detector = backends.open(chosen.device), open_model(chosen.detect.model, "detector")
    before = streaming = peak_rss()

    def hook(stage: str, completed: int, total: int, unit: str) -> None:
        nonlocal streaming
        streaming = peak_rss()

    with hold(Path(folder), chosen, sources, update=False):
        run = Run(Path(folder), chosen, sources, backend.description, hook)
        started, cpu = time.perf_counter(), time.process_time()
        tracks = run.stage(INGEST, sources, detector, backend, chosen.ingest)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    facts = run.record["stages"]["ingest"]
    print(
        json.dumps(
            {
                "frames": facts["frames"],
                "seconds": seconds,
                "cpu_seconds": cpu,
                "peak_rss": peak_rss(),
                "peak_rss_streaming": streaming,  # up to the last frame: before the tables are joined and read back
                "rss_before": before,
                "busy_seconds": facts["busy_seconds"],
                "tracks": tracks.n_tracks,
                "faces": len(tracks.faces),
                "crops": len(tracks.crops),
            }
        )
    )


def peak_rss() -> int:
    """Bytes, of this process alone: getrusage would start from its parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
