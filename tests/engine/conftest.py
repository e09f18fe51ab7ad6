"""A folder of its own for the engines of a test, and the small networks that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from engine_networks import base_of, exported
from fake_bindings import Script
from fake_card import FakeCard
from fake_trt import FakeTrt

from vcn_trt.engine.definition import Definition, define
from vcn_trt.engine.plans import Machine
from vcn_trt.engine.ready import Host

MakeHost = Callable[..., Host]


@pytest.fixture(scope="session")
def definition_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Definition]:
    """A base of `engine_networks`, exported once."""
    folder = tmp_path_factory.mktemp("exports")
    return cache(lambda kind: define(exported(base_of(kind), folder, f"{kind}.onnx")))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def said() -> list[str]:
    """What was said aloud."""
    return []


@pytest.fixture
def host(said: list[str]) -> MakeHost:
    """A host with a fake TensorRT of a version and script."""

    def make(
        version: str = "11.4.0.106", script: Script | None = None, card: FakeCard | None = None, name: str = "Fake 9000"
    ) -> Host:
        trt = FakeTrt(version, script)
        title = "TensorRT-RTX" if version.startswith("rtx") else "TensorRT"
        return Host(trt, card or FakeCard(), Machine(f"{title} {trt.__version__}", name, "9.0"), said.append)

    return make
