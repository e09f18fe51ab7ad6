"""Does ingest need more memory for a longer film? Its peak and its course over the film, for films of growing length.

    python benchmarks/memory.py --out benchmarks/results/memory.json [--minutes 1 5 20 60] [--video film.mp4]

The films repeat one short film (the sample film, or --video) by copying its packets, so only the length differs. Each
is ingested in a process of its own, whose resident memory is read ten times a second. Detection runs at a small size
and at every fourth frame, so that an hour passes in minutes: what is held per frame, face, track and crop is the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import record

from vcn_trt import sample
from vcn_trt.zoo import fetch

HERE = Path(__file__).parent
SETTINGS = ("detect.size=160", "detect.stride=4")
SECONDS_BETWEEN = 0.1


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 20, 60])
    arguments.add_argument("--video", type=Path, help="what is repeated (default: the sample film)")
    arguments.add_argument("--set", action="append", metavar="SECTION.KEY=VALUE", help=f"default: {SETTINGS}")
    given = arguments.parse_args()
    settings = list(given.set or SETTINGS)
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        source = given.video or sample.build(Path(scratch) / "sample", fetch.home() / "sample")
        for minutes in given.minutes:
            film = Path(scratch) / "film.mp4"
            repeat(source, film, 60 * minutes)
            runs.append({"minutes": minutes, "film_bytes": film.stat().st_size})
            runs[-1] |= ingest(film, Path(scratch) / f"run_{minutes:g}", settings)
            print(f"{minutes:g} minutes: peak {runs[-1]['peak_rss'] / 2**20:.0f} MiB", flush=True)
    longest, shortest = runs[-1], runs[0]
    between = longest["minutes"] - shortest["minutes"]
    growth = {
        key: round((longest[key] - shortest[key]) / between) if between else None
        for key in ("peak_rss_streaming", "peak_rss", "film_bytes")
    }
    results = {"source": source.name, "settings": settings, "runs": runs, "bytes_per_minute": growth}
    record.write(given.out, __doc__.split("\n")[0], results)
    show(results)


def repeat(source: Path, out: Path, seconds: float) -> None:
    """The packets of `source` over and over, until the film is so long (to the end of a round)."""
    with av.open(source) as container:
        stream = container.streams.video[0]
        if stream.time_base is None or stream.average_rate is None:
            sys.exit(f"{source} tells no rate: give another --video")
        length = round(stream.frames / stream.average_rate / stream.time_base)
        rounds = max(1, round(seconds / float(length * stream.time_base)))
        with av.open(out, "w") as film:
            copy = film.add_stream_from_template(stream)
            for turn in range(rounds):
                container.seek(0)
                for packet in container.demux(stream):
                    if packet.dts is None:  # the demuxer's flush
                        continue
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = copy
                    film.mux(packet)


def ingest(film: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    """What a fresh process took, and its resident memory over time: (seconds, bytes)."""
    command = [sys.executable, str(HERE / "ingest_only.py"), str(film), str(folder), *settings]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as failed:
        process = subprocess.Popen(command, stdout=said, stderr=failed, text=True)
        started, course = time.perf_counter(), []
        while process.poll() is None:
            if resident := rss(process.pid):
                course.append((time.perf_counter() - started, resident))
            time.sleep(SECONDS_BETWEEN)
        said.seek(0)
        failed.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{failed.read()}")
        took = json.loads(said.read().strip().splitlines()[-1])
    times, resident_bytes = np.array(course).T
    return took | {"course": thinned(times, resident_bytes), "quarters": quarters(resident_bytes)}


def rss(pid: int) -> int:
    """Bytes resident now; 0 where the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)


def quarters(resident: Any) -> list[float]:
    """The median over each quarter of the run: flat, or still rising at its end."""
    return [round(float(np.median(part))) for part in np.array_split(resident, 4)]


def thinned(times: Any, resident: Any) -> list[list[float]]:
    """Some fifty points of the course: seconds, MiB."""
    rows = np.unique(np.linspace(0, len(times) - 1, 50).astype(int))
    return [[round(float(times[i]), 1), round(float(resident[i]) / 2**20, 1)] for i in rows]


def show(results: dict[str, Any]) -> None:
    rows = []
    for run in results["runs"]:
        mib = [round(q / 2**20) for q in run["quarters"]]
        rows.append(
            [
                f"{run['minutes']:g} min",
                run["frames"],
                run["tracks"],
                run["crops"],
                round(run["peak_rss_streaming"] / 2**20),
                round(run["peak_rss"] / 2**20),
                " ".join(map(str, mib)),
                round(run["seconds"]),
            ]
        )
    header = [
        "film",
        "frames",
        "tracks",
        "crops",
        "peak MiB while streaming",
        "peak MiB in all",
        "median of each quarter",
        "seconds",
    ]
    print("\n" + record.markdown(header, rows))
    growth = results["bytes_per_minute"]
    if growth["peak_rss"] is not None:
        print(
            f"\nFrom the shortest film to the longest the peak grows by {growth['peak_rss_streaming'] / 1024:.0f} KiB "
            f"a minute while streaming, {growth['peak_rss'] / 1024:.0f} KiB with the tables read back at the end."
        )


if __name__ == "__main__":
    main()
