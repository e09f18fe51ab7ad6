"""Files that leave the run: written whole or not at all, never over one that was there, unless that is asked for."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vcn_trt.errors import RunError
from vcn_trt.export.text import one_line


def write_all(documents: Mapping[Path, str | bytes], force: bool) -> None:
    """All of them, or none where one of them is there already. Raises RunError."""
    for path in documents:
        refuse_existing(path, force)
    for path, content in documents.items():
        with replacing(path) as scratch:
            scratch.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))


def refuse_existing(path: Path, force: bool) -> None:
    """Raise RunError where something would be overwritten that no one gave up."""
    if path.is_dir():
        raise RunError(f"{path} is a folder; expected the name of a file: give another --out")
    if path.exists() and not force:
        raise RunError(f"{path} is there already and was left as it is: --force replaces it, or give another --out")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write under, which becomes `path` when all went well and goes when not. It keeps the
    suffix. Raises RunError where the folder or the disk does not take it."""
    scratch = path.with_name(f".{os.getpid()}-{threading.get_ident()}.new{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        where = error.filename if error.filename and Path(error.filename) != scratch else path
        raise RunError(f"cannot write {where} ({error.strerror or error}): give another place with --out") from error
    finally:
        with suppress(OSError):
            scratch.unlink()


def places(out: Path, tags: Sequence[str]) -> list[Path]:
    """Where documents go: one alone to `out`, else each to a name beside it that ends in its tag."""
    return [out] if len(tags) == 1 else beside(out, tags)


def beside(out: Path, tags: Sequence[str]) -> list[Path]:
    """Names beside `out` that end in these tags, each its own: `film.mp4` and "A 1" make `film-A_1.mp4`."""
    suffix = "".join(out.suffixes[-2:]) if out.name.endswith(".labels.json") else out.suffix
    stem = out.name.removesuffix(suffix)
    taken: list[Path] = []
    for tag in tags:
        safe = re.sub(r"[^\w.-]", "_", one_line(tag))[:80]
        path = out.with_name(f"{stem}-{safe}{suffix}")
        number = 2
        while path in taken:
            path = out.with_name(f"{stem}-{safe}-{number}{suffix}")
            number += 1
        taken.append(path)
    return taken
