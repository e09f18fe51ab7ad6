"""`vcn engines`, on a machine with a card (a fake one) and on one without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_networks import Small, base_of
from fake_bindings import Script
from fake_card import FakeCard
from fake_trt import FakeTrt
from typer.testing import CliRunner

from vcn_trt import cli_engines
from vcn_trt.adapt import model as adapted_models
from vcn_trt.adapt.heads import whitened_head
from vcn_trt.adapt.model import Adapted
from vcn_trt.cli import app
from vcn_trt.config import AdaptConfig
from vcn_trt.engine import plans
from vcn_trt.engine.plans import Machine
from vcn_trt.engine.ready import Host
from vcn_trt.errors import DeviceError, ModelError, UsageError, VcnError
from vcn_trt.ragged import Ragged
from vcn_trt.zoo import bases, manifest
from vcn_trt.zoo.export import cached_onnx, export_onnx
from vcn_trt.zoo.models import open_model

HERE = Machine("TensorRT 11.4.0.106", "Fake 9000", "9.0")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "home"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(FakeTrt(script=Script()), FakeCard(), HERE)
    monkeypatch.setattr(cli_engines, "_host", lambda device: host)
    return host


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> Host:
        raise DeviceError("there is no NVIDIA driver")

    monkeypatch.setattr(cli_engines, "_host", refuse)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A base with random weights, as a run exports it."""
    return export_onnx(base_of("small"), tmp_path / "my base.onnx")


def vcn(*arguments: Any) -> str:
    """stdout; raises what the command raises."""
    done = CliRunner().invoke(app, ["engines", *map(str, arguments)])
    if isinstance(done.exception, VcnError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_engine_is_built_listed_inspected_and_cleaned(card: Host, network: Path) -> None:
    assert f"{network}: cosine " in vcn("build", network, "--quiet")
    assert f"{network}: cosine " in vcn("build", network)
    assert card.trt.script.built == 1
    vcn("build", network, "--again", "--quiet")
    assert card.trt.script.built == 2
    vcn("build", network, "--precision", "float32")
    listed = vcn("list")
    assert "my base.onnx" in listed
    assert "TensorRT 11.4.0.106 on Fake 9000 (9.0)" in listed
    assert "passed, cosine " in listed
    assert {(e["network"], e["recipe"]["precision"], e["here"]) for e in json.loads(vcn("list", "--json"))} == {
        ("my base.onnx", "half", True),
        ("my base.onnx", "float32", True),
    }
    for name in (network, "my_base"):
        assert {e["recipe"]["name"] for e in json.loads(vcn("inspect", name))} == {"base"}
    assert "/conv/Conv" in json.loads(vcn("inspect", "my_base", "--layers"))[0]["Layers"]
    assert "nothing to remove" in vcn("clean")
    assert vcn("clean", "--all").count("removed") >= 3
    assert list(plans.folder().iterdir()) == []


def test_the_base_takes_an_adapted_run_s_weights_by_refit(
    card: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bases._ARCHITECTURES, "mobilefacenet", (lambda dropout: Small(112), None))
    weights = export_onnx(bases.build(manifest.load("mobilefacenet")), tmp_path / "mobilefacenet.onnx")
    named = f"mobilefacenet={weights}"
    with pytest.raises(
        ModelError, match=r"no engine of mobilefacenet=.* to refit for TensorRT .*; run `vcn engines bui"
    ):
        vcn("refit", named, weights)
    vcn("build", named)
    identity = open_model(named, "base").identity
    trained = bases.load_base(named)
    with torch.no_grad():
        trained.get_parameter("fc.weight").mul_(1.5).add_(0.01)
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(1, np.int64))
    head = whitened_head(torch.zeros(1, 0, trained.dim), nothing, 8, 0.1, torch.Generator())
    run = tmp_path / "run"
    adapted = Adapted(trained, head, trained, head, torch.zeros(8), 0.1, 0.05)
    path = run / "model" / adapted_models.WEIGHTS
    adapted_models.save(path, adapted, bases.load_base(named), identity, AdaptConfig())
    assert "refitted, cosine " in vcn("refit", named, run)
    assert (card.trt.script.built, card.trt.script.refits) == (1, 1)
    assert cached_onnx(trained).name in {p.facts["network"] for p in plans.every()}


def test_engines_of_other_machines_are_cleaned(card: Host, network: Path) -> None:
    vcn("build", network)
    mine = plans.every()[0]
    other = {**mine.facts, "card": "Fake 8000"}
    (plans.folder() / "other-123.json").write_text(json.dumps({**other, "plan": "other-123-1.plan"}))
    (plans.folder() / "other-123-1.plan").write_bytes(b"x")
    (plans.folder() / ".writing-abc").write_bytes(b"half a file")
    assert "not this machine" in vcn("list")
    assert vcn("clean").count("removed") == 2
    assert [p.path for p in plans.every()] == [mine.path]
    assert sorted(p.suffix for p in plans.folder().iterdir()) == [".cache", ".json", ".plan"]


def test_a_network_that_failed_its_gate_is_listed_as_such(card: Host, network: Path) -> None:
    card.trt.script.noise = 100.0
    with pytest.raises(
        ModelError, match=r"fails the gate .*; `vcn engines build '.*my base.onnx' --precision float32`"
    ):
        vcn("build", network)
    assert "FAILED, cosine" in vcn("list")


@pytest.mark.usefixtures("no_card")
def test_without_a_card_what_is_there_is_shown_and_the_rest_says_why(network: Path) -> None:
    assert "no engines in" in vcn("list")
    assert json.loads(vcn("list", "--json")) == []
    assert "nothing to remove" in vcn("clean")
    with pytest.raises(DeviceError, match="there is no NVIDIA driver"):
        vcn("build", network)
    for name in (network, "nothing"):
        with pytest.raises(ModelError, match=f"there is no engine of {name} in .*; run `vcn engines build"):
            vcn("inspect", name)


def test_wrong_arguments_are_refused(card: Host, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--precision is half or float32, found 'int8'"):
        vcn("build", "x.onnx", "--precision", "int8")
    with pytest.raises(ModelError, match=r"gone.onnx is not a network"):
        vcn("build", tmp_path / "gone.onnx")
