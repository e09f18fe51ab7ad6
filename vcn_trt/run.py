"""The run directory: stages that are computed once, saved whole or not at all, and found again by what they were made
of.

A stage's key is a hash of its name and version, its slice of the config, the content of its videos and models, and
the keys of the stages it reads. Same key: load. Another key or none: compute in a folder aside, move the files into
place, stamp them last. So a run killed at any moment goes on where it stood.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from vcn_trt.config import Config, to_dict, to_toml, what_counts
from vcn_trt.errors import RunError
from vcn_trt.sources import Source

SCHEMA = "vcn-trt/run/1"
FINISHED = ("done", "partial")
"""The states of a record whose run has an answer."""

T = TypeVar("T")


class Hook(Protocol):
    """Called with a stage's progress: how many of its units are done, of how many (0: not known)."""

    def __call__(self, stage: str, completed: int, total: int, unit: str) -> None: ...


def silent(stage: str, completed: int, total: int, unit: str) -> None:
    """The hook that says nothing."""


@dataclass(frozen=True)
class Desk:
    """What a stage is given to work with. folder: empty, for the files it leaves. unfinished: for what a try after a
    kill need not repeat; it goes when the stage is done. keep: for what even another config can use; it stays.
    progress: completed, total, unit."""

    folder: Path
    unfinished: Path
    keep: Path
    progress: Callable[[int, int, str], None]


@dataclass(frozen=True)
class Stage(Generic[T]):
    """compute(desk, *inputs) writes `files` into desk.folder and returns facts for the record (plain JSON; a true
    "again" asks the next run to compute anew); load(run folder, facts) reads them back. Raise `version` when the answer
    of the same inputs changes."""

    name: str
    version: int
    files: tuple[str, ...]
    compute: Callable[..., dict[str, Any]]
    load: Callable[[Path, dict[str, Any]], T]


class Run:
    """One run directory, held by one process at a time."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        sources: Sequence[Source],
        device: str,
        hook: Hook,
        memory: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.folder, self.config = folder, config
        self._hook, self._inside, self._memory = hook, folder / ".work", memory
        self._keys: dict[int, tuple[Any, str]] = {}
        self._claimed = False
        self.record: dict[str, Any] = {
            "schema": SCHEMA,
            "versions": versions(),
            "device": device,
            "config": to_dict(config),
            "sources": [{"path": str(s.path), "fingerprint": s.fingerprint} for s in sources],
            "stages": {},
            "videos": [],
            "failed": [],
            "warnings": [],
            "state": "running",
            "started": _now(),
        }

    def stage(self, stage: Stage[T], *inputs: Any) -> T:
        """The stage's answer: loaded where its key is the one on disk, else computed. Raises RunError where the disk
        is full; what was computed before stays."""
        key = self._key(stage, inputs)
        stamp = self._stamp(stage, key)
        loaded = stamp is not None
        if stamp is None:
            with _writing(self.folder, stage.name):
                stamp = self._compute(stage, key, inputs)
        else:
            self._clear(stage)
        answer = stage.load(self.folder, stamp["facts"])
        # An answer that is to be computed again is no one's input twice: what is made of it is made anew too.
        self._keys[id(answer)] = answer, key if stamp["key"] == key else f"{key} {time.time_ns()}"
        made_with = {} if stamp["versions"] == self.record["versions"] else {"versions": stamp["versions"]}
        self.record["stages"][stage.name] = {
            "key": key,
            "loaded": loaded,
            "seconds": stamp["seconds"],
            **stamp["facts"],
            **made_with,
        }
        return answer

    def begin(self) -> None:
        """Write config.toml and run.json where there is no run yet: an earlier one's stay until its files are
        replaced, so that what goes wrong before that takes nothing away."""
        if not (self.folder / "run.json").exists():
            self._claim()

    def finish(self, state: str, error: str | None = None) -> None:
        """The exit state ("done", "partial", "failed", "interrupted") into the record. An earlier run's record stays
        where this one failed before it changed anything."""
        self.record.update({"state": state, "finished": _now()} | ({"error": error} if error else {}))
        if self._claimed or state in FINISHED:
            self._claim()

    def _claim(self) -> None:
        self._claimed = True
        with _writing(self.folder, "the record of the run"):
            replace_text(self.folder / "config.toml", to_toml(self.config))
            replace_text(self.folder / "run.json", json.dumps(self.record, indent=1, ensure_ascii=False) + "\n")

    def _stamp(self, stage: Stage[Any], key: str) -> dict[str, Any] | None:
        try:
            stamp: dict[str, Any] = json.loads((self._inside / f"{stage.name}.json").read_text(encoding="utf-8"))
            whole = all((self.folder / name).stat().st_size == size for name, size in stamp["files"].items())
            complete = {"facts", "seconds", "versions"} <= set(stamp)
            return stamp if stamp["key"] == key and whole and complete else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _compute(self, stage: Stage[Any], key: str, inputs: Sequence[Any]) -> dict[str, Any]:
        aside, unfinished, keep = (self._inside / f"{stage.name}.{name}" for name in ("new", "unfinished", "keep"))
        shutil.rmtree(aside, ignore_errors=True)
        for path in (aside, unfinished, keep):
            path.mkdir(parents=True, exist_ok=True)

        def progress(completed: int, total: int, unit: str) -> None:
            self._hook(stage.name, completed, total, unit)

        self._memory()  # counts from here
        started = time.perf_counter()
        facts = stage.compute(Desk(aside, unfinished, keep, progress), *inputs) | self._memory()
        stamp = {
            "key": "" if facts.pop("again", False) else key,
            "files": {name: (aside / name).stat().st_size for name in stage.files},
            "seconds": round(time.perf_counter() - started, 3),
            "versions": self.record["versions"],
            "facts": facts,
        }
        path = self._inside / f"{stage.name}.json"
        path.unlink(missing_ok=True)
        self._claim()
        for name in stage.files:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / name, self.folder / name)
        replace_text(path, json.dumps(stamp))
        self._clear(stage)
        return stamp

    def _clear(self, stage: Stage[Any]) -> None:
        """Remove what only a broken-off try needs."""
        for name in ("new", "unfinished"):
            shutil.rmtree(self._inside / f"{stage.name}.{name}", ignore_errors=True)

    def _key(self, stage: Stage[Any], inputs: Sequence[Any]) -> str:
        parts = [stage.name, stage.version, [self._identity(value) for value in inputs]]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _identity(self, value: Any) -> Any:
        if id(value) in self._keys:
            return self._keys[id(value)][1]
        if isinstance(value, Source):
            return [value.fingerprint, str(value.path)]  # the path is part of the answer
        if hasattr(value, "identity"):
            return value.identity
        if isinstance(value, list | tuple):
            return [self._identity(item) for item in value]
        if dataclasses.is_dataclass(value):
            return what_counts(value)
        if isinstance(value, str | int | float | None):
            return value
        raise TypeError(f"a stage's input needs an identity; {type(value).__name__} has none")


@contextmanager
def hold(folder: Path, config: Config, sources: Sequence[Source], *, update: bool) -> Iterator[None]:
    """Claim a run directory for this process.

    Raises RunError where the folder holds something else than a run, a run of another config or of other videos
    (unless `update`), of a newer version, or where another process works in it. Nothing in it is touched then.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the output folder {folder} ({error.strerror}): give another with --out") from error
    marker, inside = folder / "run.json", folder / ".work"
    with _writing(folder, "its beginning"):
        # A run killed at its very beginning has left its lock, but no run.json yet.
        if marker.exists():
            read_record(folder) if update else check_same(folder, config, sources)
        elif any(f != inside for f in folder.iterdir()) and not (inside / "lock").exists():
            raise RunError(f"{folder} is not empty and holds no run.json: give a new folder with --out")
        inside.mkdir(exist_ok=True)
        lock = (inside / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"another process works in {folder}: wait for it, or give another --out") from error
        except OSError as error:
            raise RunError(
                f"{folder} is on a disk that cannot lock files ({error.strerror}): give an --out on another"
            ) from error
        yield


@contextmanager
def _writing(folder: Path, doing: str) -> Iterator[None]:
    """Turn what a full, forbidden or failing disk raises into what a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"no space left for {error.filename or folder} during {doing}. What was computed is kept: free some "
                "space (`vcn run --dry-run` estimates how much) and run the same command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise RunError(
                f"cannot write to {error.filename or folder} ({error.strerror}): make it writable or give another --out"
            ) from error
        raise RunError(
            f"{error.strerror or error} at {error.filename or folder} during {doing}. What was computed is kept: "
            "see to the disk and run the same command again"
        ) from error


def read_record(folder: Path) -> dict[str, Any]:
    """run.json. Raises RunError where the folder holds no run, or one of a newer version."""
    path = folder / "run.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = record["schema"]
        missing = {"config", "sources", "stages", "state", "videos", "failed"} - set(record)
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run directory (it has no run.json); `vcn run VIDEO --out DIR` makes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); remove it and run `vcn run` on this folder again") from error
    if schema != SCHEMA:
        raise RunError(
            f"{path} is of schema {schema!r}, this version reads {SCHEMA!r}: install the version that wrote it"
        )
    if missing:
        raise RunError(f"{path} has no {sorted(missing)[0]!r}; remove it and run `vcn run` on this folder again")
    return record


def replace_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    scratch = path.with_name(path.name + ".tmp")
    write_text(scratch, text)
    os.replace(scratch, path)


def write_text(path: Path, text: str) -> None:
    """UTF-8, whatever the names of the videos: a byte that is no UTF-8 in one becomes JSON's own escape, \\udcXX."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def versions() -> dict[str, str]:
    """What this run was made with."""
    packages = (
        "vcn-trt",
        "av",
        "numpy",
        "onnxruntime",
        "opencv-python-headless",
        "scenedetect-headless",
        "scipy",
        "torch",
    )
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def check_same(folder: Path, config: Config, sources: Sequence[Source]) -> None:
    """Raise RunError where a folder holds a run of another config or of other videos, saying what differs."""
    record = read_record(folder)
    if not record["stages"]:
        return  # it never came to anything
    before, now = record["config"], what_counts(config)
    changed = [
        f"{section}.{key} is {before.get(section, {}).get(key)!r} there, {value!r} here"
        for section, values in now.items()
        if isinstance(values, dict)
        for key, value in values.items()
        if before.get(section, {}).get(key) != value
    ]
    if before.get("seed") != now["seed"]:
        changed.append(f"seed is {before.get('seed')!r} there, {now['seed']!r} here")
    if [s["fingerprint"] for s in record["sources"]] != [s.fingerprint for s in sources]:
        changed.append(
            f"its videos are {', '.join(s['path'] for s in record['sources'])}; "
            f"these are {', '.join(str(s.path) for s in sources)} (or their content changed)"
        )
    if changed:
        raise RunError(
            f"{folder} holds a run made otherwise, and was left as it is: {'; '.join(changed)}. "
            "Give another --out, or --update to recompute there what the change touches"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = [
    "FINISHED",
    "Desk",
    "Hook",
    "Run",
    "Stage",
    "check_same",
    "hold",
    "read_record",
    "replace_text",
    "silent",
    "versions",
    "write_text",
]
