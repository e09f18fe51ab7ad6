"""A bench of the fake backend: a film of 24 frames with two faces, measured in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made
import pytest
from fakes import Face, Studio, film

from vcn_trt.bench import measure
from vcn_trt.bench.bench import Bench
from vcn_trt.bench.film import Films
from vcn_trt.bench.limits import Rates
from vcn_trt.config import load


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that others use as well every round may take long, and all are wanted."""
    monkeypatch.setattr(measure, "PATIENCE", 1e9)


@pytest.fixture
def studio() -> Studio:
    return Studio({"film.mp4": film([[Face(20), Face(200)]] * 12, [[Face(100)]] * 12)})


@pytest.fixture
def bench(studio: Studio, tmp_path: Path) -> Bench:
    path = tmp_path / "film.mp4"
    path.write_text("scripted")
    return Bench(
        backend=studio.backend,
        config=load(None, ["device=cpu", "adapt.outputs=16", "adapt.batch=4", "adapt.steps=3"]),
        films=Films((path,), (path,), "made"),
        streams=(1, 2),
        seconds=0.02,
        tracks=40,
        folder=tmp_path,
        rates=Rates(1e9, 1e9, 1e9, 1e9),
    )


@pytest.fixture
def real_ops(bench: Bench) -> Bench:
    """The same with the CPU column's maths, for parts that see no frame of the film."""
    from vcn_trt.backends.cpu.ops import CpuOps

    return replace(bench, backend=replace(bench.backend, ops=CpuOps()))


@pytest.fixture
def small_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A base that needs no weights, in place of the config's."""
    from vcn_trt.bench import networks, training

    for module in (networks, training):
        monkeypatch.setattr(module, "load_base", lambda name: made.projection())
