"""Ingest against a plain loop on the same cores: frames a second, where the time goes, how near the machine's limit.

    python benchmarks/speed.py --video sitcom.mp4 --labels sitcom.gt.json --out benchmarks/results/speed.json

Ours and `plain_loop.py` (at the picture's own size, and at our working size) take turns, each time in a process of its
own; a ratio compares the runs of one turn. The floor is the network alone: what its calls cost one core, spread over
all cores. Give it a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import record
from episodes import part
from numpy.typing import NDArray

from vcn_trt import backends, config, labels, store
from vcn_trt.backends.base import FrameBatch
from vcn_trt.ingest.detect import CLOSE_UP_SHRINK, OUTGROWN, working_size
from vcn_trt.matching import match_tracks
from vcn_trt.types import Faces
from vcn_trt.zoo.models import open_model

HERE = Path(__file__).parent
OURS, AS_IT_IS, SAME_SIZE = "ours", "plain loop, the picture's own size", "plain loop, our working size"
FLOOR_SECONDS = 3.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--video", type=Path, required=True)
    arguments.add_argument("--labels", type=Path, help="to compare the labelled faces that each finds")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for ours")
    given = arguments.parse_args()
    chosen = config.load(None, given.set)
    backend, model = backends.open("cpu"), open_model(chosen.detect.model, "detector")
    batch = first_batch(given.video, chosen)
    size = chosen.detect.size or working_size(batch)
    plain = [sys.executable, str(HERE / "plain_loop.py"), str(given.video)]
    weights = ["--weights", str(model.path)]
    commands: dict[str, Callable[[str], list[str]]] = {
        OURS: lambda out: [sys.executable, str(HERE / "ingest_only.py"), str(given.video), out, *given.set],
        AS_IT_IS: lambda out: [*plain, out, *weights],
        SAME_SIZE: lambda out: [*plain, out, *weights, "--size", str(size)],
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    recall: dict[str, float] = {}
    for turn in range(given.repeats):
        # Each begins a turn once, so that none always finds the machine as the same other left it.
        for name in np.roll(list(commands), turn).tolist():
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "run"
                runs[name].append(measured(commands[name](str(out))))
                if given.labels and name not in recall:
                    truth = part(labels.read(given.labels), given.video.name, 0, runs[name][-1]["frames"])
                    recall[name] = covered(faces(name, out), truth)
            fps = runs[name][-1]["frames"] / runs[name][-1]["seconds"]
            print(f"turn {turn + 1} of {given.repeats}, {name}: {fps:.1f} frames a second", flush=True)

    ratios = {name: spread(ratio(runs[OURS], runs[name])) for name in (AS_IT_IS, SAME_SIZE)}
    picture = batch.pixels[0]
    height = size * min(picture.width, picture.height) / max(picture.width, picture.height)
    sides = [size, size // CLOSE_UP_SHRINK] if chosen.detect.close_up and height > OUTGROWN else [size]
    floor = network_floor(backend, model, batch, sides, chosen.detect.stride, runs[OURS])
    results = {
        "video": {"name": given.video.name, "frames": runs[OURS][0]["frames"], "working_size": size},
        "summary": {name: summary(of) | {"recall": recall.get(name)} for name, of in runs.items()},
        "ours_over_peer": ratios,
        "busy_seconds": {
            key: median(r["busy_seconds"][key] for r in runs[OURS]) for key in runs[OURS][0]["busy_seconds"]
        },
        "floor": floor,
        "runs": runs,
    }
    record.write(given.out, __doc__.split("\n")[0], results)
    show(results)


def measured(command: list[str]) -> dict[str, Any]:
    """What a fresh process says of itself on its last line."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def ratio(ours: Sequence[dict[str, Any]], peer: Sequence[dict[str, Any]]) -> list[float]:
    """How many times faster ours is, turn by turn. Both must have seen the same frames."""
    frames = {r["frames"] for r in (*ours, *peer)}
    if len(frames) > 1:
        sys.exit(f"the loops decoded different numbers of frames: {sorted(frames)}; compare on another film")
    return [b["seconds"] / a["seconds"] for a, b in zip(ours, peer, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "frames_per_second": spread([r["frames"] / r["seconds"] for r in runs]),
        "cpu_ms_per_frame": spread([1000 * r["cpu_seconds"] / r["frames"] for r in runs]),
        "peak_rss_mib": spread([r["peak_rss"] / 2**20 for r in runs]),
        "faces": runs[0]["faces"],
        "tracks": runs[0]["tracks"],
        "crops": runs[0]["crops"],
    }


def faces(name: str, out: Path) -> Faces:
    """The tracked faces of one run, of ours or of the plain loop."""
    if name == OURS:
        return store.read_table(out / "faces.parquet", Faces)
    with np.load(out / "faces.npz") as arrays:
        track, frame, box = arrays["track"], arrays["frame"], arrays["box"]
    order = np.lexsort([frame, track])
    return Faces.empty(len(track)).with_columns(track=track[order], frame=frame[order], box=box[order])


def covered(found: Faces, truth: labels.Labels) -> float:
    """The share of labelled faces that a tracked face covers."""
    n_tracks = int(found.track.max(initial=-1)) + 1
    matches = match_tracks(found, {0: truth}, n_tracks, np.zeros(n_tracks, np.int32))
    return round(len(matches.face_track) / matches.boxes, 4)


def first_batch(video: Path, chosen: config.Config) -> FrameBatch:
    decoder = backends.open("cpu").open_decoder(video, 0, chosen.decode)
    try:
        return next(iter(decoder))
    finally:
        decoder.close()


def network_floor(
    backend: backends.Backend,
    model: Any,
    batch: FrameBatch,
    sides: Sequence[int],
    stride: int,
    ours: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The cost of the network's calls alone, one core busy and all of them, and what share of our time that is."""
    network, m = backend.open_network(model.path), model.manifest
    inputs = [backend.ops.letterbox(batch, side, m.mean, m.scale, m.rgb)[0] for side in sides]

    def look() -> None:
        for pixels in inputs:
            network({network.input_names[0]: pixels})

    cores = record.machine()["cores"]
    alone = core_ms(look, 1) / len(batch) / stride
    together = core_ms(look, cores) / len(batch) / stride
    frames = ours[0]["frames"]
    wall = median(r["seconds"] for r in ours)
    seconds = together * frames / cores / 1000
    return {
        "inputs": [list(pixels.shape) for pixels in inputs],
        "core_ms_per_frame_one_core_busy": round(alone, 3),
        "core_ms_per_frame_all_cores_busy": round(together, 3),
        "cores": cores,
        "floor_seconds": round(seconds, 3),
        "most_frames_per_second": round(frames / seconds, 1),
        "our_seconds": round(wall, 3),
        "share_of_our_time": round(seconds / wall, 3),
    }


def core_ms(call: Callable[[], None], threads: int) -> float:
    """Milliseconds of a core that one call costs while `threads` of them run side by side: the median. By the thread's
    own clock, so that other programs do not count; the network runs in the thread that calls it."""
    call()
    took: list[list[float]] = [[] for _ in range(threads)]
    end = time.perf_counter() + FLOOR_SECONDS

    def work(mine: list[float]) -> None:
        while time.perf_counter() < end:
            start = time.thread_time()
            call()
            mine.append(time.thread_time() - start)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in took]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    every: NDArray[np.float64] = np.concatenate([np.array(mine) for mine in took])
    return 1000 * float(np.median(every))


def show(results: dict[str, Any]) -> None:
    rows = []
    for name, of in results["summary"].items():
        times = results["ours_over_peer"].get(name)
        rows.append(
            [
                name,
                round(of["frames_per_second"]["median"], 1),
                f"{times['median']:.2f} ({times['min']:.2f} to {times['max']:.2f})" if times else "",
                round(of["cpu_ms_per_frame"]["median"], 1),
                round(of["peak_rss_mib"]["median"]),
                of["recall"] if of["recall"] is not None else "",
            ]
        )
    header = ["", "frames a second", "ours is so many times faster", "CPU ms a frame", "peak RSS MiB", "faces found"]
    print("\n" + record.markdown(header, rows))
    busy = ", ".join(f"{key} {value:.1f}" for key, value in results["busy_seconds"].items())
    floor = results["floor"]
    print(f"\nBusy seconds of ours, over all threads: {busy}.")
    print(
        f"The network alone: {floor['core_ms_per_frame_all_cores_busy']:.1f} ms of a core a frame, so at most "
        f"{floor['most_frames_per_second']:.0f} frames a second on {floor['cores']} cores; that floor is "
        f"{100 * floor['share_of_our_time']:.0f} % of our {floor['our_seconds']:.1f} s."
    )


if __name__ == "__main__":
    main()
