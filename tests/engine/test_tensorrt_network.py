"""Networks by TensorRT, whole: opened, built, kept, refitted, rebuilt, over every version of the fake. What goes wrong
is said with the next command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_networks import base_of, changed, cosine, exported, linear, weights_of
from fake_bindings import FULL, VERSIONS, Script
from fake_card import FakeCard
from numpy.typing import NDArray

from vcn_trt.backends.cuda.network import TensorrtNetwork, open_host
from vcn_trt.engine import compat, plans
from vcn_trt.engine.definition import define
from vcn_trt.engine.ready import built
from vcn_trt.errors import DeviceError, ModelError

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return linear(tmp_path / "net.onnx", W)


def answer(network: TensorrtNetwork, x: NDArray[np.float32] = X) -> NDArray[np.float32]:
    return np.asarray(network({"x": x})["y"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_network_is_built_once_and_then_loaded(host, said: list[str], net: Path, version: str) -> None:
    script = Script()
    first = TensorrtNetwork(net, host(version, script))
    np.testing.assert_allclose(answer(first), X @ W, atol=5e-3)
    assert first.facts["gate"]["passed"]
    assert "Building the engine of net.onnx in half precision for TensorRT" in said[0]
    said.clear()
    again = TensorrtNetwork(net, host(version, script))
    np.testing.assert_array_equal(answer(again), answer(first))
    assert (script.built, said) == (1, [])


@pytest.mark.parametrize("version", FULL)
@pytest.mark.parametrize("precision", ["half", "float32"])
def test_refitted_weights_are_those_of_torch(
    host, said: list[str], tmp_path: Path, version: str, precision: str
) -> None:
    script, base = Script(), base_of("small")
    path = exported(base, tmp_path)
    here = host(version, script)
    built(define(path, precision), here)
    network = TensorrtNetwork(path, here)
    assert network.facts["recipe"]["precision"] == precision
    x = torch.randn(5, 3, 16, 16)
    changed(base, seed=5)
    network.refit(weights_of(base))
    with torch.no_grad():
        expected = base(x).numpy()
    assert cosine(np.asarray(network({"input": x.numpy()})["embedding"]), expected) > 0.999
    assert (script.built, script.refits) == (1, 1)
    assert network.facts["how"] == "refitted"
    assert not [s for s in said if "anew" in s]


def test_the_second_output_is_what_enters_the_dropout(host, tmp_path: Path) -> None:
    base = base_of("small")
    network = TensorrtNetwork(exported(base, tmp_path), host())
    assert list(network.output_names) == ["embedding", "features"]
    x = torch.randn(3, 3, 16, 16)
    found = network({"input": x.numpy()})
    with torch.no_grad():
        features = base.features(x)
        assert found["features"].shape == tuple(features.shape)
        assert cosine(found["features"], features.numpy()) > 0.999
        assert cosine(found["embedding"], base.embed(torch.from_numpy(found["features"])).numpy()) > 0.999


def test_some_weights_are_refitted_and_the_others_stay(host, tmp_path: Path) -> None:
    base = base_of("small")
    network = TensorrtNetwork(exported(base, tmp_path), host())
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        for step in ("fc.weight", "bn.running_mean"):
            base.state_dict()[step].add_(0.3)
            network.refit({step: base.state_dict()[step].numpy().copy()})
            assert cosine(np.asarray(network({"input": x.numpy()})["embedding"]), base(x).numpy()) > 0.999


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (Script(fails={"refit"}), r"TensorRT 11\.4\.0\.106 refuses to refit net\.onnx \(refit failed\)"),
        (Script(fails={"weights"}), r"TensorRT 11\.4\.0\.106 refuses the weight 'w' \(w: 20 of float16"),
        (Script(fails={"names"}), r"the engine of net\.onnx has no weight 'w' to refit"),
        (Script(merged=("ghost",)), r"a refit of net\.onnx would need weight 'ghost' besides"),
        (
            Script(noise_after_refit=5.0),
            r"the refitted engine of net\.onnx fails the gate \(cosine -?0\.\d+ to the net",
        ),
    ],
)
def test_a_refit_that_fails_is_said_and_built_anew(host, said: list[str], net: Path, script: Script, says: str) -> None:
    network = TensorrtNetwork(net, host(script=script))
    said.clear()
    network.refit({"w": -W})
    np.testing.assert_allclose(answer(network), -X @ W, atol=5e-3)
    assert re.search(says + ".*; it is built anew", said[0])
    assert script.built == 2
    assert network.facts["how"] == "built"


def test_a_constant_that_tensorrt_merged_with_a_weight_is_given_again(host, said: list[str], tmp_path: Path) -> None:
    """QuickGELU's 1.702 beside the linear layer before it."""
    base = base_of("vit")
    path = exported(base, tmp_path)
    factors = [n.output[0] for n in define(path).graph.graph.node if n.op_type == "Constant" and "gelu" in n.output[0]]
    script = Script(merged=(factors[0],))
    network = TensorrtNetwork(path, host(script=script))
    changed(base, seed=5)
    network.refit(weights_of(base))
    assert (script.built, script.refits) == (1, 1)


def test_a_refit_that_can_neither_be_done_nor_built_leaves_the_network_as_it_was(host, net: Path) -> None:
    script = Script()
    network = TensorrtNetwork(net, host(script=script))
    script.fails = {"refit", "build"}
    with pytest.raises(ModelError, match=r"cannot build net\.onnx \(Could not find any implementation"):
        network.refit({"w": -W})
    np.testing.assert_allclose(answer(network), X @ W, atol=5e-3)


def test_without_refit_new_weights_mean_a_new_engine(host, said: list[str], net: Path) -> None:
    script = Script()
    network = TensorrtNetwork(net, host("rtx 1.7.1.116", script))
    network.refit({"w": -W})
    np.testing.assert_allclose(answer(network), -X @ W, atol=5e-3)
    assert (script.built, script.refits) == (2, 0)
    assert "was not built to be refitted; it is built anew" in " ".join(said)


def test_another_day_s_weights_take_the_engine_that_is_there(host, said: list[str], tmp_path: Path) -> None:
    script, base = Script(), base_of("small")
    TensorrtNetwork(exported(base, tmp_path, "monday.onnx"), host(script=script))
    adapted = exported(changed(base, seed=3), tmp_path, "tuesday.onnx")
    network = TensorrtNetwork(adapted, host(script=script))
    assert (script.built, script.refits) == (1, 1)
    assert "tuesday.onnx takes the engine of monday.onnx by refit: cosine" in said[-1]
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert cosine(np.asarray(network({"input": x.numpy()})["embedding"]), base(x).numpy()) > 0.999
    TensorrtNetwork(adapted, host(script=script))
    assert (script.built, script.refits) == (1, 1)
    script.fails = {"refit"}
    TensorrtNetwork(exported(changed(base, seed=9), tmp_path, "wednesday.onnx"), host(script=script))
    assert script.built == 2


def test_an_adapted_network_is_saved_with_its_engine(host, tmp_path: Path) -> None:
    script, base = Script(), base_of("small")
    network = TensorrtNetwork(exported(base, tmp_path), host(script=script))
    changed(base, seed=3)
    network.refit(weights_of(base))
    network.save(tmp_path / "adapted" / "base.onnx")
    reopened = TensorrtNetwork(tmp_path / "adapted" / "base.onnx", host(script=script))
    assert (script.built, script.refits) == (1, 1)
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(reopened({"input": x})["embedding"], network({"input": x})["embedding"])
    assert reopened.facts["how"] == "refitted"


def test_an_engine_that_fails_the_gate_is_not_used_and_the_next_command_helps(host, said: list[str], net: Path) -> None:
    script = Script(noise=5.0)
    with pytest.raises(ModelError) as error:
        TensorrtNetwork(net, host(script=script))
    assert re.search(
        r"the engine of net.onnx in half precision fails the gate and is not used \(cosine -?0\.\d+ to the network in "
        r"float32, expected 0.999 or more\); `vcn engines build .*net.onnx --precision float32` makes one",
        str(error.value),
    )
    with pytest.raises(ModelError, match="fails the gate and is not used"):
        TensorrtNetwork(net, host(script=script))
    assert script.built == 1  # it is not tried again every time
    script.noise = 0.0
    built(define(net, "float32"), host(script=script))
    network = TensorrtNetwork(net, host(script=script))
    assert network.facts["recipe"]["precision"] == "float32"
    assert said[-1] == "net.onnx runs on its engine in float32: there is none in half precision that passed"


NEAR = np.stack([W[0], W[0] + 1e-5 * W[2], W[2], W[3]])
"""Weights of which half precision makes the first two rows one."""

CLOSE = np.array([[1, -1, 0, 0]], np.float32)
"""What tells those rows apart."""


def test_an_engine_that_fails_on_the_footage_gives_way_to_one_in_float32(host, said: list[str], tmp_path: Path) -> None:
    script, net = Script(), linear(tmp_path / "net.onnx", NEAR)
    network = TensorrtNetwork(net, host(script=script))
    assert network.proven_on({"x": X})
    assert network.facts["recipe"]["precision"] == "half"
    assert "cosine" in network.facts["footage"]
    said.clear()
    assert not network.proven_on({"x": CLOSE})
    assert re.match(
        r"the engine of net\.onnx in half precision fails the gate on this footage and is not used \(cosine .*\); "
        "one in float32 takes its place",
        said[0],
    )
    np.testing.assert_allclose(answer(network, CLOSE), CLOSE @ NEAR, rtol=1e-3)
    assert network.proven_on({"x": CLOSE})
    said.clear()
    again = TensorrtNetwork(net, host(script=script))  # the next run begins with what passed
    assert again.facts["recipe"]["precision"] == "float32"
    assert (script.built, len(said)) == (2, 1)


def test_where_float32_is_too_far_off_as_well_the_network_is_refused(host, tmp_path: Path) -> None:
    script, net = Script(), linear(tmp_path / "net.onnx", NEAR)
    network = TensorrtNetwork(net, host(script=script))
    script.noise = 5.0
    with pytest.raises(
        ModelError, match=r"in float32 fails the gate and is not used \(cosine .*; run with --device cpu"
    ):
        network.proven_on({"x": CLOSE})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: p.plan.write_bytes(p.plan.read_bytes()[:-1]), "is damaged: its sha256 is not"),
        (lambda p: p.plan.unlink(), r"cannot be read \(No such file or directory\)"),
        (lambda p: p.path.write_text("{"), "Building the engine"),
        (lambda p: p.path.write_text(json.dumps({**p.facts, "schema": "other"})), "Building the engine"),
    ],
)
def test_a_damaged_plan_is_put_away_and_built_anew(host, said: list[str], net: Path, damage, says: str) -> None:
    script = Script()
    TensorrtNetwork(net, host(script=script))
    damage(plans.every()[0])
    said.clear()
    np.testing.assert_allclose(answer(TensorrtNetwork(net, host(script=script))), X @ W, atol=5e-3)
    assert re.search(says, said[0])
    assert script.built == 2


def test_a_plan_that_tensorrt_does_not_load_is_built_anew(host, said: list[str], net: Path) -> None:
    script = Script()
    TensorrtNetwork(net, host(script=script))
    plan = plans.every()[0]
    content = plan.plan.read_bytes().replace(b"11.4.0.106", b"11.3.0.1")
    plans.store(define(net), plan.machine, content, {"gate": {}})
    said.clear()
    TensorrtNetwork(net, host(script=script))
    assert said[0] == (
        "TensorRT 11.4.0.106 cannot load the plan of net.onnx (the plan is of version 11.3.0.1); it is put away and "
        "built anew"
    )
    assert script.built == 2


def test_a_plan_of_another_version_or_card_is_not_taken_and_why_is_said(host, said: list[str], net: Path) -> None:
    TensorrtNetwork(net, host("10.0.1"))
    TensorrtNetwork(net, host("10.0.1", name="Other 1"))
    said.clear()
    TensorrtNetwork(net, host())
    assert "(what is kept is of TensorRT 10.0.1 on Fake 9000 (9.0), TensorRT 10.0.1 on Other 1 (9.0))" in said[0]
    assert len(plans.every()) == 3


@pytest.mark.parametrize("version", FULL)
def test_timings_are_kept_for_the_next_build(host, net: Path, tmp_path: Path, version: str) -> None:
    TensorrtNetwork(net, host(version))
    kept = plans.timings(host(version).machine)
    assert kept.read_bytes() == b"timings."
    kept.write_bytes(b"not a cache")
    TensorrtNetwork(linear(tmp_path / "other.onnx", 2 * W), host(version, Script(fails={"refit"})))
    assert kept.read_bytes() == b"timings."


@pytest.mark.parametrize(
    ("fails", "kind", "says"),
    [
        ("no card", DeviceError, r"finds no card to build for \(CUDA initialization .*35\); see that `nvidia-smi`"),
        ("parse", ModelError, r"cannot parse net.onnx: Cast: In node 0: unsupported padding. Run with --device cpu"),
        ("build", ModelError, r"cannot build net.onnx \(Could not .*; try `vcn engines build .* --precision float32`"),
        ("profile", ModelError, "takes no shapes of the recipe base for net.onnx"),
        ("deserialise", ModelError, "cannot load the plan of net.onnx"),
        ("context", DeviceError, "makes no execution context for net.onnx: is the card's memory full"),
        ("execute", DeviceError, "cannot run net.onnx: see that `nvidia-smi` still lists the card"),
    ],
)
def test_what_fails_is_said_with_the_next_step(host, net: Path, fails: str, kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        TensorrtNetwork(net, host(script=Script(fails={fails})))
    assert not [p for p in plans.every() if not p.failed]


@pytest.mark.parametrize("step", [0, 1])
def test_an_interrupt_during_the_build_ends_it(host, net: Path, step: int) -> None:
    here = host()

    def interrupted(phase: str, done: int, total: int) -> None:
        if total and done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(define(net), here, interrupted)
    assert plans.every() == []


def test_the_build_reports_the_steps_of_its_outermost_phase(host, net: Path) -> None:
    told: list[tuple[str, int, int]] = []
    built(define(net), host(), lambda *step: told.append(step))
    assert told == [
        ("Building net.onnx", 0, 0),
        *(("Building engine", i, 2) for i in range(3)),
    ]
    told.clear()
    built(define(net), host("8.6.1"), lambda *step: told.append(step))
    assert told == [("Building net.onnx", 0, 0)]


def test_a_card_that_tensorrt_rtx_does_not_serve_is_refused(host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "load", lambda: host("rtx 1.7.1.116").trt)
    with pytest.raises(
        DeviceError, match=r"GeForce RTX and RTX PRO cards, which H200 \(9\.0\) is not; run `.*tensorrt-cu"
    ):
        open_host(FakeCard(), "H200", "9.0")
    assert open_host(FakeCard(), "RTX 5090", "12.0").machine.capability == "12.0"
