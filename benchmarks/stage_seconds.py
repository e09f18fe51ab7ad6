"""Seconds of each stage of a fresh run by the defaults, a process a film, and its peak memory: what adaptation takes
beside ingest.

    python benchmarks/stage_seconds.py --footage data/episodes --out benchmarks/results/stage_seconds.json

`method.py` goes on with what is in its run directories, so that stages of different days stand beside each other there;
here nothing is loaded. It wants a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import record
from episodes import EPISODES


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--footage", type=Path, required=True, help="the folder of the episodes")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--one", nargs=2, type=Path, metavar=("VIDEO", "FOLDER"), help="one film, in this process")
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    films: dict[str, Any] = {}
    for name in EPISODES:
        with tempfile.TemporaryDirectory() as scratch:
            video, out = given.footage / f"{name}.mp4", Path(scratch) / "run"
            same = ["--footage", str(given.footage), "--out", str(given.out)]
            command = [sys.executable, __file__, *same, "--one", str(video), str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        films[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, films[name], flush=True)
        record.write(given.out, __doc__.split("\n\n")[0], {"films": films})


def measure(video: Path, folder: Path) -> dict[str, Any]:
    from vcn_trt import api

    stages = api.cluster(video, folder).record["stages"]
    seconds = {name: round(stage["seconds"], 2) for name, stage in stages.items()}
    return {
        "seconds": seconds,
        "adapt_to_ingest": round(seconds["adapt"] / seconds["ingest"], 2),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
