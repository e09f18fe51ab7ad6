"""The videos of a production: which files are meant, and what tells one from another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vcn_trt.errors import UsageError

SUFFIXES = frozenset(
    {".3gp", ".avi", ".dv", ".flv", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"}
    | {".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What is taken from a folder. A file named outright is tried whatever its name."""

SAMPLES, SAMPLE_BYTES = 16, 1 << 16


@dataclass(frozen=True)
class Source:
    """A file and what it holds: `fingerprint` changes with its content, not with its name or place."""

    path: Path
    fingerprint: str


def find(paths: Iterable[str | Path]) -> list[Source]:
    """Files and the videos of folders (and their subfolders), in the order given, folders in natural order, each file
    once, where it is first named.

    A missing file is kept: the run reports it and does the others. Raises UsageError for a folder without videos, for
    an empty name, and for nothing.
    """
    files: dict[Path, Path] = {}  # what a path leads to: the path
    for name in paths:
        if name == "":  # Path("") would be the current folder: a variable that a script left unset would name it.
            raise UsageError("a video's name is empty; expected a file or a folder ('.' for the current one)")
        path = Path(name)
        if path.is_dir():
            found = [
                f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file() and not _hidden(f, path)
            ]
            if not found:
                raise UsageError(f"no video in {path}: looked for {' '.join(sorted(SUFFIXES))}")
        else:
            found = [path]
        for file in sorted(found, key=_natural):
            files.setdefault(file.resolve(), file)
    if not files:
        raise UsageError("no video given: name one file or folder at least")
    return [Source(file, fingerprint(file)) for file in files.values()]


def fingerprint(path: Path) -> str:
    """Hex digest of a file's size and of sixteen blocks spread over it, first and last among them: a film of 100 GB
    is not read whole to know it again. Of its path, where it cannot be read."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for i in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * i // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    except OSError:
        return hashlib.sha256(f"unreadable {path}".encode(errors="surrogateescape")).hexdigest()
    return digest.hexdigest()


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A2 before A10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in re.split(r"(\d+)", str(path)) if part
    ]
