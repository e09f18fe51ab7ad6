"""The parts of `gpu_check.sh` that are better said in Python. What runs before the setup imports the standard library
alone."""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = "vcn-trt/gpu-check/1"
STATES = {0: "passed", 3: "partial", 77: "skipped", 124: "timed out", 137: "timed out"}
"""By exit status: 3 is `vcn bench`'s word that something could not be measured, 77 automake's for a step skipped, and
124 and 137 what `timeout` ends with. Anything else failed."""

NO_TESTS = 5
"""pytest's: it selected none."""

FRAMES = 480
"""On which both ways of reading are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True, dest="verb")
    begins = verbs.add_parser("begin", help="a new record")
    begins.add_argument("out", type=Path)
    begins.add_argument("--device", required=True)
    adds = verbs.add_parser("add", help="a step into the record")
    adds.add_argument("out", type=Path)
    for name, kind in (("step", str), ("status", int), ("seconds", int), ("limit", int), ("reason", str)):
        adds.add_argument(f"--{name}", type=kind, required=True)
    for name in ("log", "result"):
        adds.add_argument(f"--{name}", type=Path, required=True)
    sets = verbs.add_parser("setup", help="what is missing, into an environment of its own")
    sets.add_argument("venv", type=Path)
    sets.add_argument("--wheels", default="")
    verbs.add_parser("libraries", help="whether the driver's libraries for video are there")
    reads = verbs.add_parser("streams", help="whether frames read at once and after waiting agree")
    reads.add_argument("device")
    shows = verbs.add_parser("show", help="the record as a table")
    shows.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.verb == "begin":
        write(given.out, begin(given.device))
    elif given.verb == "add":
        record = json.loads(given.out.read_text(encoding="utf-8"))
        write(
            given.out,
            add(record, given.step, given.status, given.seconds, given.limit, given.reason, given.log, given.result),
        )
    elif given.verb == "setup":
        setup(given.venv, given.wheels)
    elif given.verb == "libraries":
        libraries()
    elif given.verb == "streams":
        streams(given.device)
    else:
        record = json.loads(given.out.read_text(encoding="utf-8"))
        print(show(record))
        print(f"\n{given.out}")
        sys.exit(0 if all(s["state"] in ("passed", "skipped") for s in record["steps"]) else 3)


def begin(device: str) -> dict[str, Any]:
    """What the machine is, before anything was tried on it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        cards = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        cards = []
    packages = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "cards": cards,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "packages": dict(sorted(packages.items())),
        "steps": [],
        "results": {},
    }


def add(
    record: dict[str, Any], step: str, status: int, seconds: int, limit: int, reason: str, log: Path, result: Path
) -> dict[str, Any]:
    """The record with one step more. reason: by default the last line of its log, where it did not pass."""
    state = STATES.get(status, "skipped" if step == "tests" and status == NO_TESTS else "failed")
    if not reason and (state != "passed" or step == "tests"):
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
        reason = next((line.strip() for line in reversed(lines) if line.strip()), f"exit status {status}")[:300]
    if state == "timed out":
        reason = f"after {limit} seconds; its log ended with: {reason}"
    record["steps"].append(
        {"step": step, "state": state, "status": status, "seconds": seconds, "limit": limit, "reason": reason}
    )
    if result.is_file():
        record["results"][step] = json.loads(result.read_text(encoding="utf-8"))
    return record


def write(out: Path, record: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = out.with_name(out.name + ".tmp")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, out)


def show(record: dict[str, Any]) -> str:
    """The steps, a line each, then the tables of what was benched."""
    lines = [f"{record['date']}, {record['device']}: {'; '.join(record['cards']) or 'no card'}", ""]
    width = max((len(s["step"]) for s in record["steps"]), default=0)
    for s in record["steps"]:
        lines.append(f"{s['step']:{width}}  {s['state']:9}  {s['seconds']:4} s  {s['reason']}".rstrip())
    for step, bench in record["results"].items():
        try:
            from vcn_trt.bench import table

            lines += ["", f"## {step}", "", table.show([bench])]
        except Exception as error:  # without its packages, or of a bench that was cut off: the steps still show
            lines += ["", f"## {step}: no table ({type(error).__name__}: {error})"]
    return "\n".join(lines)


def setup(venv: Path, wheels: str) -> None:
    """Install what pyproject.toml asks for and this Python lacks: together, or one by one where that fails, since a
    step may do without."""
    missing = lacking()
    print("missing:", ", ".join(missing) or "nothing")
    if not missing:
        return
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    inside = str(venv / "bin" / "python")
    site = site_of(inside)
    # This Python may be of an environment itself, which --system-site-packages would not see.
    here = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    (site / "of_the_host.pth").write_text("".join(f"{p}\n" for p in here), encoding="utf-8")
    where = ["--no-index", "--find-links", wheels] if wheels else ["--retries", "1", "--timeout", "10"]
    install = [sys.executable, "-m", "pip", "--python", inside, "install", "--progress-bar", "off", *where]
    packages = [m for m in missing if m != "vcn-trt"]
    failed = []
    if packages and subprocess.run([*install, *packages]).returncode:
        failed = [p for p in packages if subprocess.run([*install, p]).returncode]
    if "vcn-trt" in missing:
        name_the_package(site)
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}")


def lacking() -> list[str]:
    """What this Python needs to run and test the package, as pip is told it. Torch and what comes with a card are the
    machine's own."""
    from pip._vendor.packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tests = [r for r in project["optional-dependencies"]["dev"] if r.startswith(("pytest", "hypothesis", "otio"))]
    found = []
    for text in [*project["dependencies"], *tests]:
        requirement = Requirement(text)
        try:
            there = requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
        except metadata.PackageNotFoundError:
            there = False
        if not there:
            found.append(text)
    try:
        metadata.version("vcn-trt")
    except metadata.PackageNotFoundError:
        found.append("vcn-trt")
    return found


def site_of(python: str) -> Path:
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    return Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def name_the_package(site: Path) -> None:
    """The package runs from the checkout and asks for its own version: its metadata alone, so that no build tool is
    needed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = site / f"vcn_trt-{project['version']}.dist-info"
    folder.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")


def libraries() -> None:
    """PyNvVideoCodec loads all three, the encoder's too. Each is tried in a process of its own: a driver can end it."""
    missing = []
    for name in ("libcuda.so.1", "libnvcuvid.so.1", "libnvidia-encode.so.1"):
        done = subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({name!r})"], capture_output=True)
        print(name, "is here" if done.returncode == 0 else "is missing")
        missing += [name] if done.returncode else []
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video")
    version = ctypes.c_int()
    ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    print(f"the driver supports CUDA {version.value // 1000}.{version.value % 1000 // 10}")


def streams(device: str) -> None:
    """Decode a film twice, its pictures read as soon as they are given and after all of the card's work is done: one
    that is read too early is another picture, now and then."""
    from vcn_trt import backends
    from vcn_trt.bench.clock import host_clock
    from vcn_trt.bench.film import open_films
    from vcn_trt.config import Config
    from vcn_trt.run import silent

    backend, film = backends.open(device), open_films((), silent).whole[0]
    clock = host_clock(backend.torch_device)

    def look(wait: bool) -> list[str]:
        decoder = backend.open_decoder(film, 0, Config().decode)
        digests: list[str] = []
        try:
            for batch in decoder:
                if wait:
                    clock.finish()
                small = backend.ops.thumbnails(batch, 256)
                large, _ = backend.ops.letterbox(batch, 640, (0.0, 0.0, 0.0), 1.0, True)
                pictures = small.tobytes() + backend.ops.to_numpy(large).tobytes()
                digests.append(hashlib.sha256(pictures).hexdigest())
                if len(digests) * len(batch) >= FRAMES:
                    break
        finally:
            decoder.close()
        return digests

    expected = look(wait=True)
    for turn in range(3):
        different = [i for i, (a, b) in enumerate(zip(expected, look(wait=False), strict=True)) if a != b]
        if different:
            sys.exit(f"turn {turn + 1}: {len(different)} of {len(expected)} batches differ, the first {different[0]}")
    print(f"{len(expected)} batches of {film.name} are the same, three times over")


if __name__ == "__main__":
    main()
