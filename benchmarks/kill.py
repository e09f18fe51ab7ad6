"""A run killed by SIGKILL at random moments, and started again each time: does it end with the same bytes?

    python benchmarks/kill.py --video film.mp4 --times 10 --seed 0 --out benchmarks/results/kill.json

Two ways: ten runs that are killed once each, and one run that is killed ten times before it may end. Every file of the
run directory is compared by sha256 with an undisturbed run's, but for what holds times: run.json, and `.work`, the
run's own notes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

TIMED = ("run.json",)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--video", type=Path, required=True)
    arguments.add_argument("--times", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    rng = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "undisturbed"
        length, work = finish(given.video, whole)
        expected = hashes(whole)
        _, start = finish(given.video, whole)  # everything is there: what is left is to start and to load
        print(
            f"undisturbed: {length:.1f} s, {work:.1f} CPU s ({start:.1f} to start), {len(expected)} files", flush=True
        )
        again = Path(scratch) / "undisturbed_again"
        finish(given.video, again)
        if different(expected, hashes(again)):
            sys.exit(f"two undisturbed runs differ in {different(expected, hashes(again))}: nothing can be compared")

        singles = []
        for number in range(given.times):
            folder = Path(scratch) / f"killed_{number}"
            entry = killed(given.video, folder, float(rng.uniform(0, length)))
            while entry["ended_before"]:  # the draw came too late: another
                shutil.rmtree(folder)
                entry = killed(given.video, folder, float(rng.uniform(0, length)))
            took, cpu = finish(given.video, folder)
            entry |= {"resumed_seconds": round(took, 2), "different": different(expected, hashes(folder))}
            repeated = entry["cpu_seconds"] + cpu - work
            entry["repeated_cpu_seconds"] = round(repeated, 2)
            entry["repeated_share"] = round(max(0.0, repeated - start) / (work - start), 3)
            singles.append(entry)
            print(f"killed once, {number + 1} of {given.times}: {entry}", flush=True)

        folder, kills = Path(scratch) / "killed_often", []
        for number in range(given.times):
            # Each try has less left to do than the one before: half the time leaves most of them work to do.
            kills.append(killed(given.video, folder, float(rng.uniform(0, length / 2))))
            print(f"killed often, {number + 1} of {given.times}: {kills[-1]}", flush=True)
        took, _ = finish(given.video, folder)
        often = {"kills": kills, "resumed_seconds": round(took, 2), "different": different(expected, hashes(folder))}

    wrong = [entry for entry in (*singles, often) if entry["different"]]
    results = {
        "video": given.video.name,
        "seed": given.seed,
        "undisturbed_seconds": round(length, 2),
        "undisturbed_cpu_seconds": round(work, 2),
        "start_cpu_seconds": round(start, 2),
        "files": expected,
        "killed_once": singles,
        "killed_often": often,
        "same_bytes": not wrong,
        "repeated_share_median": round(float(np.median([entry["repeated_share"] for entry in singles])), 3),
        "repeated_share_max": max(entry["repeated_share"] for entry in singles),
    }
    record.write(given.out, __doc__.split("\n")[0], results)
    print(f"{len(singles) + 1 - len(wrong)} of {len(singles) + 1} runs ended with the same bytes in every file.")
    print(
        f"Besides starting anew, a run killed once repeated {100 * results['repeated_share_median']:.0f} % of its work "
        f"(median; at most {100 * results['repeated_share_max']:.0f} %)."
    )
    if wrong:
        sys.exit(f"different: {json.dumps(wrong, indent=1)}")


def command(video: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "vcn_trt", "run", str(video), "--out", str(folder), "--device", "cpu", "--quiet"]


def finish(video: Path, folder: Path) -> tuple[float, float]:
    """Run to the end; -> seconds on the wall and of CPU. The process start counts: it is what a person waits."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command(video, folder), stdout=subprocess.DEVNULL, stderr=said)
        state, cpu = wait(process)
        if state:
            said.seek(0)
            sys.exit(f"the run failed with {state}:\n{said.read()}")
    return time.perf_counter() - started, cpu


def killed(video: Path, folder: Path, after: float) -> dict[str, Any]:
    """Start, SIGKILL after so many seconds (unless it ended before), and say where it stood."""
    started = time.perf_counter()
    process = subprocess.Popen(command(video, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    timer = threading.Timer(after, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    state, cpu = wait(process, timer)
    return {
        "killed_after_seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(cpu, 2),
        "ended_before": state != -signal.SIGKILL,
        "standing": standing(folder),
    }


def wait(process: subprocess.Popen[bytes], timer: threading.Timer | None = None) -> tuple[int, float]:
    """The exit state and CPU seconds of a process. It is reaped only once the timer can no longer hit its number."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if timer:
        timer.cancel()
        timer.join()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def standing(folder: Path) -> str:
    """The last stage that was done, or what there is of the first."""
    inside = folder / ".work"
    done = [name for name in ("ingest", "embed", "cluster", "report") if (inside / f"{name}.json").exists()]
    if done:
        return f"{done[-1]} done"
    chunks = len(list((inside / "ingest.keep").rglob("detections-*.npz"))) if inside.exists() else 0
    return f"{chunks} chunks of detections"


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file that a run leaves, by its name in the folder."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and ".work" not in f.relative_to(folder).parts)
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.name not in TIMED
    }


def different(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Files that are missing, too many, or of other bytes."""
    return sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))


if __name__ == "__main__":
    main()
