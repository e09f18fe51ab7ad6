"""Ingest over the films of a studio, for tests of many videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fakes import Face, Film, Studio, write_files

from vcn_trt.config import Config
from vcn_trt.ingest.production import INGEST
from vcn_trt.run import Run, hold, silent
from vcn_trt.sources import Source, find
from vcn_trt.types import TrackSet
from vcn_trt.zoo import manifest
from vcn_trt.zoo.models import Model

MODEL = Model("fake", manifest.load("retinaface_mnet025"), Path("fake.onnx"), "identity of the fake")


def walk(n: int, *lefts: float) -> list[list[Face]]:
    return [[Face(left + 0.5 * i) for left in lefts] for i in range(n)]


class Production:
    """A run's ingest over the films of a studio."""

    def __init__(self, folder: Path, films: dict[str, Film]) -> None:
        self.folder = folder
        self.studio = Studio(films)
        folder.mkdir(exist_ok=True)
        self.paths = write_files(folder, self.studio)
        self.failed: list[dict[str, str]] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def ingest(self, config: Config | None = None, sources: Sequence[Source] | None = None) -> TrackSet:
        config, sources = config or Config(), sources if sources is not None else find(self.paths)
        with hold(self.folder / "run", config, sources, update=True):
            run = Run(self.folder / "run", config, sources, "fake", silent)
            run.begin()
            found = run.stage(INGEST, sources, MODEL, self.studio.backend, config.ingest)
            self.failed = run.record["stages"]["ingest"]["failed"]
            self.warnings = run.record["stages"]["ingest"]["warnings"]
            self.notes = run.record["stages"]["ingest"]["notes"]
            return found

    def leaves(self) -> dict[str, bytes]:
        return {name: (self.folder / "run" / name).read_bytes() for name in INGEST.files}


class Crash(BaseException):
    """What a kill is to the code that runs."""
