"""Plans on disk: what makes one another, whole files whoever else writes, what is left over, folders that fail."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from engine_networks import linear

from vcn_trt.engine import plans
from vcn_trt.engine.definition import Definition, define
from vcn_trt.engine.plans import Machine
from vcn_trt.errors import ModelError

HERE = Machine("TensorRT 11.4.0.106", "NVIDIA H200", "9.0")
GATE = {"gate": {"passed": True}}


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    return define(linear(tmp_path / "net work.onnx", np.ones((3, 4), np.float32)))


def test_network_recipe_tensorrt_and_card_each_make_another_plan(definition: Definition, tmp_path: Path) -> None:
    other = define(linear(tmp_path / "other.onnx", np.zeros((3, 4), np.float32)))
    keys = [
        plans.key(definition, HERE),
        plans.key(other, HERE),
        plans.key(definition.at("float32"), HERE),
        plans.key(definition, Machine("TensorRT 11.3", HERE.card, HERE.capability)),
        plans.key(definition, Machine(HERE.tensorrt, "NVIDIA H100", HERE.capability)),
        plans.key(definition, Machine(HERE.tensorrt, HERE.card, "10.0")),
    ]
    assert len(set(keys)) == len(keys)
    copied = tmp_path / "copy.onnx"
    copied.write_bytes(definition.path.read_bytes())
    assert plans.key(define(copied), HERE) == keys[0]  # a name is no content


def test_a_plan_is_found_with_what_is_known_of_it(definition: Definition) -> None:
    assert plans.find(definition, HERE) is None
    plans.store(definition, HERE, b"a plan", GATE | {"how": "built"})
    plan = plans.find(definition, HERE)
    assert plan is not None
    assert plan.read() == b"a plan"
    assert plan.machine == HERE
    assert (plan.facts["network"], plan.facts["how"], plan.facts["bytes"]) == ("net work.onnx", "built", 6)
    assert plan.plan.name.startswith("net_work-")
    assert plans.find(definition.at("float32"), HERE) is None


def test_a_relative_has_the_same_structure_and_can_be_refitted(definition: Definition, tmp_path: Path) -> None:
    other = define(linear(tmp_path / "other.onnx", 3 * np.ones((3, 4), np.float32)))
    wider = define(linear(tmp_path / "wider.onnx", np.ones((3, 5), np.float32)))
    plans.store(definition, HERE, b"", GATE)
    assert plans.relative(other, HERE) is None  # it failed its gate
    plans.store(definition, HERE, b"a plan", GATE)
    found = plans.relative(other, HERE)
    assert found is not None
    assert found.facts["network"] == "net work.onnx"
    assert plans.relative(wider, HERE) is None
    assert plans.relative(other.at("float32"), HERE) is None
    assert plans.relative(other, Machine("TensorRT 10.0.1", HERE.card, HERE.capability)) is None


def test_readers_see_whole_plans_while_others_write(definition: Definition) -> None:
    contents = [bytes([i]) * (100_000 + i) for i in range(8)]
    plans.store(definition, HERE, contents[0], GATE)

    def write(i: int) -> None:
        plans.store(definition, HERE, contents[i % 8], GATE)

    seen = 0
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, i) for i in range(40)]
        while not all(w.done() for w in writing):
            plan = plans.find(definition, HERE)
            assert plan is not None
            assert plan.read() in contents
            seen += 1
        for w in writing:
            w.result()
    last = plans.find(definition, HERE)
    assert last is not None
    assert last.read() in contents
    assert seen > 0
    hour_ago = time.time() - 2 * plans.SETTLED_SECONDS
    for path in plans.folder().glob("*.plan"):
        os.utime(path, (hour_ago, hour_ago))
    plans.store(definition, HERE, b"the last", GATE)
    assert len(list(plans.folder().glob("*.plan"))) == 1


def test_what_broken_off_builds_leave_is_found(definition: Definition) -> None:
    assert plans.orphans() == []
    plans.store(definition, HERE, b"a plan", GATE)
    for name in ("lost-1.plan", ".writing-xyz"):
        (plans.folder() / name).write_bytes(b"x")
    assert [p.name for p in plans.orphans()] == [".writing-xyz", "lost-1.plan"]
    plan = plans.every()[0]
    plans.remove(plan)
    assert plans.every() == []
    assert not plan.plan.exists()


def test_a_folder_that_cannot_be_written_is_named(definition: Definition, home: Path) -> None:
    home.mkdir()
    (home / "engines").write_text("in the way")
    with pytest.raises(ModelError, match=r"cannot write to .*engines \(.*\): make room there, or set VCN_HOME"):
        plans.store(definition, HERE, b"a plan", GATE)


def test_a_write_that_breaks_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ModelError, match="No space left on device"):
        plans.write(tmp_path / "a" / "b.plan", b"x")
    assert list((tmp_path / "a").iterdir()) == []
