"""What makes a documented command one of seconds: the same path through the program, with smaller numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from made import Projection
from torch import Tensor
from torch.nn import functional

from vcn_trt import cli, cli_bench
from vcn_trt.bench import film, parts
from vcn_trt.bench.decoding import decode
from vcn_trt.config import load
from vcn_trt.errors import VcnError
from vcn_trt.zoo import bases, fetch, manifest
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.export import export_onnx

SMALL = ("detect.size=320", "quality.rule=off", "adapt.views=0", "adapt.outputs=128", "adapt.steps=1")
BASES = ("sface", "mobilefacenet")

Films = Callable[..., None]
"""The fixture `films`."""


def runs(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The bases that can be fetched are one matrix each, whose weights are in the folder. Where a command says nothing
    else, a run looks at small pictures and hardly adapts."""
    weights = {}
    for name in BASES:
        known = manifest.load(name)
        monkeypatch.setitem(bases._ARCHITECTURES, known.architecture, (partial(small, known.dim), None))
        weights[name] = export_onnx(bases.build(known), folder / f"{name}.onnx")
    verify, to_fetch = fetch.verify, fetch.to_fetch
    monkeypatch.setattr(fetch, "verify", lambda name: weights.get(name) or verify(name))
    monkeypatch.setattr(fetch, "to_fetch", lambda name: name not in weights and to_fetch(name))
    monkeypatch.setattr(cli, "load", lambda path=None, overrides=(): load(path, [*SMALL, *overrides]))


class Edges(Projection):
    """What differs from its surroundings: by these the three people of the tests' film are told apart."""

    def features(self, x: Tensor) -> Tensor:
        y = super().features(x)
        return y - functional.avg_pool2d(y, 3, 1, 1)


def small(dim: int, dropout: float) -> FaceBase:
    torch.manual_seed(0)
    return Edges(dim)


def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part of a bench only decodes, for a thousandth of a second; its own film is made, short
    and small."""

    def offline(*given: Any) -> Path:
        raise VcnError("no network")

    opened, make = cli_bench._open, film.made
    monkeypatch.setattr(cli_bench, "_open", lambda *given: replace(opened(*given), seconds=0.001))
    for name in parts.PARTS:
        monkeypatch.setitem(parts.PARTS, name, decode)
    monkeypatch.setattr(film, "build", offline)
    monkeypatch.setattr(film, "MADE_WIDTH", 64)
    monkeypatch.setattr(film, "MADE_HEIGHT", 48)
    monkeypatch.setattr(film, "made", lambda path: make(path, frames=6))
