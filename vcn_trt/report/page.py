"""`report.html`: the people of a run to look at, in one self-contained file that asks for nothing outside itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from vcn_trt import cast
from vcn_trt.answer import Answer
from vcn_trt.report.gather import faceless_quality, gather, run_facts
from vcn_trt.run import Desk, Run, Stage, write_text
from vcn_trt.store import find_embeddings
from vcn_trt.types import Clusters, Embeddings, TrackSet

if TYPE_CHECKING:  # it brings torch, and a correction has no time for that
    from vcn_trt.adapt.stage import Adaptation

FILE = "report.html"
KEEP = ".work/report.keep"
"""In a run directory: what the next report of the same vectors need not make again."""

SCRIPTS = ("elements", "bars", "cast", "person", "timeline", "checks", "unknown", "map", "run", "main")
"""The files of js/, in their order; each is plain JavaScript, and together they are one script."""


@dataclass(frozen=True)
class Told:
    """What the page says besides the answer. names: of the clusters. record: run.json, of a run that is finished or at
    its last stage. A report is made anew for other names, not for other times."""

    names: Mapping[int, str | None]
    record: Mapping[str, Any]

    @property
    def identity(self) -> list[tuple[int, str | None]]:
        return sorted(self.names.items())


def told(run: Run) -> Told:
    """Of a run whose people are there."""
    return Told(cast.names(run.folder), run.record)


def report(desk: Desk, tracks: TrackSet, adapted: Adaptation, people: Clusters, also: Told) -> dict[str, Any]:
    """Write the page. -> facts for the record"""
    write_text(desk.folder / FILE, document(tracks, people, adapted.vectors, also, desk.keep))
    return {"bytes": (desk.folder / FILE).stat().st_size}


def load(folder: Path, facts: dict[str, Any]) -> Path:
    return folder / FILE


REPORT = Stage(name="report", version=2, files=(FILE,), compute=report, load=load)


def document(
    tracks: TrackSet, people: Clusters, vectors: Embeddings | None, also: Told, keep: Path | None = None
) -> str:
    """The page as text. vectors: None where they are gone, which leaves out the map. keep: as of `embedding_map`."""
    data = gather(tracks, people, also.names, vectors, faceless_quality(also.record), keep)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vcn_trt", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html.j2").render(
        title=", ".join(video["name"] for video in data["videos"][:3]) + (", ..." if len(data["videos"]) > 3 else ""),
        style=style(),
        script=script(),
        style_hash=_hash(style()),
        script_hash=_hash(script()),
        data=embedded(data),
        run=embedded(run_facts(also.record)),
    )


def of_run(answer: Answer) -> str:
    """The page of a finished run as it is now; its folder is enough."""
    vectors = find_embeddings(answer.folder / "embeddings.npz")
    also = Told(cast.names(answer.folder), answer.record)
    return document(answer.tracks, answer.people, vectors, also, answer.folder / KEEP)


def style() -> str:
    """The stylesheet of the pages."""
    return _asset("report.css")


def script() -> str:
    """The script of the pages."""
    return '"use strict";\n' + "\n".join(_asset(f"js/{name}.js") for name in SCRIPTS)


def embedded(tree: Any) -> str:
    """A value as JSON that can stand in a <script>: nothing in it ends the element or begins a comment."""
    text = json.dumps(tree, separators=(",", ":"), default=_plain, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


def _asset(name: str) -> str:
    return resources.files("vcn_trt.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
