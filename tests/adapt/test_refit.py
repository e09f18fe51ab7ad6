"""The weights of a base that has trained, in the backend's network: by refit where that holds to torch, else by another
export, and never unsaid."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from card import OnCard, a_card
from made import TorchNetwork, base_from, pictures_of, projection, track_set

from vcn_trt import backends
from vcn_trt.adapt import refit
from vcn_trt.adapt.refit import fitted, running
from vcn_trt.adapt.stage import Adaptation, adapt_run, load, open_given
from vcn_trt.backends.cpu.network import OnnxNetwork
from vcn_trt.config import AdaptConfig, MatchConfig
from vcn_trt.embed import Base
from vcn_trt.errors import ModelError
from vcn_trt.run import Desk
from vcn_trt.types import BaseVectors
from vcn_trt.zoo.base import FaceBase, prepare
from vcn_trt.zoo.export import export_onnx

CPU = torch.device("cpu")
CROPS = pictures_of(0, 5)


class Refusing(TorchNetwork):
    def refit(self, weights: Any) -> None:
        raise ModelError("this plan was built without refit")


class Wrong(TorchNetwork):
    """Takes the weights and computes something else, as an engine that dropped a bias would."""

    def refit(self, weights: Any) -> None:
        super().refit({k: torch.randn(v.shape) for k, v in weights.items()})


class Hopeless(TorchNetwork):
    def __call__(self, inputs: Any) -> dict[str, Any]:
        return {k: np.full_like(v, np.nan) for k, v in super().__call__(inputs).items()}


def changed(base: FaceBase) -> FaceBase:
    other = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.5 * parameter.std() * torch.randn(parameter.shape)
    return other


def opening(base: FaceBase, network: type[TorchNetwork]) -> tuple[Base, list[FaceBase]]:
    """A base whose networks are of this kind, and those it was asked to open."""
    opened: list[FaceBase] = []

    def open_(of: FaceBase) -> TorchNetwork:
        opened.append(of)
        return network(of)

    return replace(base_from(base), network=network(base), open=open_), opened


def embedded(network: Any, base: FaceBase) -> torch.Tensor:
    with running(network, "embedding", CPU) as run:
        return run(prepare(torch.from_numpy(CROPS), base.manifest))


@torch.no_grad()
def by_torch(base: FaceBase) -> torch.Tensor:
    return base(prepare(torch.from_numpy(CROPS), base.manifest))


def test_the_bases_network_takes_the_weights() -> None:
    plain, after = projection(), changed(projection())
    base, opened = opening(plain, TorchNetwork)
    network, facts = fitted(after, base, CROPS, CPU)
    assert opened == [plain], "nothing was exported again"
    assert facts["warnings"] == []
    assert facts["refit"]["cosine"] == pytest.approx(1)
    torch.testing.assert_close(embedded(network, plain), by_torch(after))
    torch.testing.assert_close(embedded(base.network, plain), by_torch(plain)), "the base's own stays as it was"


def test_onnx_runtime_takes_the_weights_of_a_bases_state_dict(tmp_path: Path) -> None:
    plain, after = projection(), changed(projection())
    path = export_onnx(plain, tmp_path / "base.onnx")
    base = replace(base_from(plain), open=lambda of: OnnxNetwork(path))
    network, facts = fitted(after, base, CROPS, CPU)
    assert facts["refit"]["cosine"] > 0.99999
    torch.testing.assert_close(embedded(network, plain), by_torch(after), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "why"), [(Refusing, "built without refit"), (Wrong, r"cosine -?0\.\d+ with torch")])
def test_what_cannot_be_refitted_is_opened_anew_and_said(kind: type[TorchNetwork], why: str) -> None:
    plain, after = projection(), changed(projection())
    base, opened = opening(plain, kind)
    network, facts = fitted(after, base, CROPS, CPU)
    assert len(opened) == 2
    torch.testing.assert_close(embedded(network, plain), by_torch(after))
    (warning,) = facts["warnings"]
    assert re.search(f"did not take the adapted weights .*{why}.*exported and opened anew", warning)
    assert "refit" not in facts


def test_a_network_that_is_far_from_torch_is_not_used() -> None:
    network, facts = fitted(changed(projection()), opening(projection(), Hopeless)[0], CROPS, CPU)
    assert network is None
    assert "torch itself looked at the crops" in facts["warnings"][0]


def test_weights_that_did_not_change_need_no_refit() -> None:
    base, opened = opening(projection(), TorchNetwork)
    network, facts = fitted(copy.deepcopy(base.torch), base, CROPS, CPU)
    assert network is base.network
    assert (opened, facts) == ([], {"warnings": []})


# In a run -----------------------------------------------------------------------------------------------------------

TRACKS = [pictures_of(i % 2, 3, track=i) for i in range(4)]
ALL = AdaptConfig(trains="all", rounds=1, steps=3, batch=4, views=1, outputs=64, warm_up=0.0, base_lr=1.0, lr=0.01)


def adapted(
    folder: Path, base: Base, config: AdaptConfig, torch_device: str = "cpu"
) -> tuple[Adaptation, dict[str, Any]]:
    desk = Desk(folder, folder / "unfinished", folder / "keep", lambda *told: None)
    for path in (desk.folder, desk.unfinished, desk.keep):
        path.mkdir(parents=True)
    tracks = track_set(TRACKS)
    nothing = np.full((len(tracks.crops), base.torch.dim), np.nan, np.float32)
    vectors = BaseVectors(nothing, nothing[:, 0], np.nan)
    given = open_given(config.model)
    backend = replace(backends.open("cpu"), torch_device=torch_device)
    facts = adapt_run(desk, tracks, base, given, vectors, backend, config, MatchConfig(), 0)
    return load(folder, facts), facts


@pytest.mark.parametrize("kind", [TorchNetwork, Refusing, Hopeless])
def test_after_a_training_of_the_whole_base_the_crops_pass_its_network(
    tmp_path: Path, kind: type[TorchNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TorchNetwork, "__call__", counted := Counted(TorchNetwork.__call__))
    found, facts = adapted(tmp_path / kind.__name__, opening(projection(), kind)[0], ALL)
    monkeypatch.undo()
    expected, _ = adapted(tmp_path / "again", opening(projection(), Hopeless)[0], ALL)  # by torch
    assert counted.calls
    assert ("refit" in facts) == (kind is TorchNetwork)
    np.testing.assert_allclose(found.vectors.adapted, expected.vectors.adapted, atol=1e-4)
    np.testing.assert_allclose(found.vectors.student, expected.vectors.student, atol=1e-4)


class Counted:
    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __get__(self, network: Any, owner: Any) -> Any:
        self.calls += 1
        return lambda inputs: self.function(network, inputs)


@pytest.mark.parametrize("trains", ["last", "all"])
def test_a_given_model_passes_the_refitted_network(tmp_path: Path, trains) -> None:
    config = replace(ALL, trains=trains)
    first, _ = adapted(tmp_path / "first", opening(projection(), TorchNetwork)[0], config)
    base, opened = opening(projection(), TorchNetwork)
    found, facts = adapted(tmp_path / "next", base, AdaptConfig(model=str(tmp_path / "first"), views=1))
    assert facts["refit"]["cosine"] >= refit.COSINE
    assert all(of is base.torch for of in opened), "nothing was exported again"
    np.testing.assert_allclose(found.vectors.adapted, first.vectors.adapted, atol=2e-3)  # half precision of "last"


class OfCards(TorchNetwork):
    """Takes and gives arrays of the stand-in for a card."""

    def __call__(self, inputs: Any) -> dict[str, Any]:
        assert isinstance(inputs["input"], OnCard)
        return {k: OnCard(torch.from_numpy(v)) for k, v in super().__call__({"input": inputs["input"].held}).items()}

    def refit(self, weights: Any) -> None:
        super().refit({k: v.cpu() for k, v in weights.items()})


@pytest.mark.parametrize("trains", ["head", "last", "all"])
def test_the_stage_runs_on_a_card_and_leaves_what_it_leaves_on_the_host(
    tmp_path: Path, trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(ALL, trains=trains)
    expected, _ = adapted(tmp_path / "host", opening(projection(), TorchNetwork)[0], config)
    monkeypatch.setattr(refit, "from_dlpack", lambda array: array)
    base = opening(projection(), OfCards)[0]
    with a_card(monkeypatch):
        found, facts = adapted(tmp_path / "card", base, config, "cuda")
        taken, _ = adapted(tmp_path / "next", base, AdaptConfig(model=str(tmp_path / "card"), views=1), "cuda")
    assert ("refit" in facts) == (trains == "all")
    assert not any(isinstance(p, OnCard) for p in base.torch.parameters())
    for of in (found, taken):
        np.testing.assert_allclose(of.vectors.adapted, expected.vectors.adapted, atol=2e-3)
