"""What a Python program calls: `cluster` runs the main job, `open_run` reads what one left."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from vcn_trt import backends, pipeline
from vcn_trt.answer import Answer, open_run
from vcn_trt.card_errors import as_device_error
from vcn_trt.config import Config, load, what_counts
from vcn_trt.errors import UsageError, VcnError
from vcn_trt.run import Hook, Run, hold, read_record, silent
from vcn_trt.sources import Source, find


def cluster(
    videos: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    config: Config | None = None,
    *,
    update: bool = False,
    hook: Hook = silent,
) -> Answer:
    """Find every face of these videos (files or folders, one production with one cast) and group them by person.

    out: the run directory, by default `runs/<stem>-<hash8>`. A run that was broken off goes on; `update` allows
    another config or other videos in an existing one. Videos that cannot be read are left out and named in `failed`.
    Raises VcnError.
    """
    config = config or Config()
    sources = find([videos] if isinstance(videos, str | Path) else videos)
    folder = Path(out) if out is not None else default_folder(sources, config)
    return cluster_sources(sources, folder, config, update=update, hook=hook)


def cluster_sources(
    sources: Sequence[Source], folder: Path, config: Config, *, update: bool = False, hook: Hook = silent
) -> Answer:
    """`cluster` on videos that were found already."""
    backend = backends.open(config.device, config.gpu_memory)
    with hold(folder, config, sources, update=update):
        run = Run(folder, config, sources, backend.description, hook, backend.memory)
        run.begin()
        try:
            pipeline.cluster_videos(run, sources, backend)
            conclude(run)
        except KeyboardInterrupt:
            run.finish("interrupted")
            raise
        except Exception as error:
            known = as_device_error(error) or error
            # A full disk must not hide the reason it gave.
            try:
                run.finish("failed", str(known))
            except VcnError as second:
                raise known from second
            if known is not error:
                raise known from error
            raise
    return open_run(folder)


def recompute(folder: Path, sections: Sequence[str], overrides: Iterable[str], *, hook: Hook = silent) -> Answer:
    """An existing run with some of its config changed: only the stages that the change touches are computed.

    sections: those of the config that may change, so that no slip of the pen decodes a season again. overrides:
    "section.key=value". The videos need not be there while ingest stands. Raises UsageError, RunError.
    """
    record = read_record(folder)
    before = load(folder / "config.toml")
    config = load(folder / "config.toml", overrides)
    changed = [f.name for f in fields(config) if getattr(config, f.name) != getattr(before, f.name)]
    other = [name for name in changed if name not in (*sections, "gpu_memory")]  # which changes no answer
    if other:
        raise UsageError(
            f"this changes {', '.join(sections)} alone; found {other[0]}: for anything else run `vcn run VIDEO... "
            f"--out {folder} --update --set {other[0]}...`"
        )
    sources = [Source(Path(s["path"]), s["fingerprint"]) for s in record["sources"]]
    return cluster_sources(sources, folder, config, update=True, hook=hook)


def conclude(run: Run) -> None:
    """The record of a run whose stages are all there. Its speed is that of one undisturbed try, else it has none."""
    stages = run.record["stages"]
    ingested = stages["ingest"]
    failed = ingested.pop("failed")
    run.record["videos"] = ingested.pop("videos")
    run.record["failed"] = failed
    run.record["warnings"] = [w for facts in stages.values() for w in facts.pop("warnings", [])]
    run.record["notes"] = ingested.pop("notes", [])
    run.record["frames"] = ingested["frames"]
    run.record["fps"] = None if ingested["resumed"] else round(ingested["frames"] / ingested["seconds"], 2)
    run.finish("partial" if failed else "done")


def default_folder(sources: Sequence[Source], config: Config) -> Path:
    """`runs/<stem>-<hash8>`: the same videos and config come back to the same folder."""
    parts = [[s.fingerprint for s in sources], {k: v for k, v in what_counts(config).items() if k != "device"}]
    hash8 = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    stem = re.sub(r"[^\w.-]+", "_", sources[0].path.stem).strip("._") or "video"
    return Path("runs") / f"{stem[:60]}-{hash8}"


__all__ = ["Answer", "VcnError", "cluster", "cluster_sources", "default_folder", "open_run", "recompute"]
