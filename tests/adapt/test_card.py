"""The adaptation on a card: the same numbers as on the host, no step waits for it, and memory that runs out halves the
work. The card is a stand-in (tests/card.py): none of this has met one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from bases import base_of, no_matches, seeded, tiny, tracks_of
from card import OnCard, a_card
from columns import open_column

from vcn_trt.adapt import steps, train
from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.heads import mlp_head
from vcn_trt.adapt.split import DRAWN, Views, at_once, in_parts, open_views
from vcn_trt.adapt.train import Trained, adapt
from vcn_trt.backends.cuda import memory
from vcn_trt.config import AdaptConfig
from vcn_trt.zoo.base import FaceBase

CPU = torch.device("cpu")
SMALL = AdaptConfig(head="mlp", rounds=2, steps=3, batch=8, outputs=64, lr=0.01, warm_up=0.2)


def crops(n: int) -> np.ndarray:
    return torch.randint(0, 256, (n, 112, 112, 3), generator=seeded(), dtype=torch.uint8).numpy()


def views_of(base: FaceBase, trains, device: str, n: int = 6) -> Views:
    return open_views(base, crops(n), np.linspace(9, 99, n), trains, 1, 0, torch.device(device))


def trained(base: FaceBase, trains, device: str, config: AdaptConfig = SMALL) -> tuple[Trained, torch.Tensor]:
    views = views_of(base, trains, device)
    head = mlp_head(base.dim, 64, seeded(), 16, 8)
    found = adapt(views, head, tracks_of(3, 3), lambda z: no_matches(2), config, 0)
    return found, look(found.teacher, views, 0, "head").cpu()


@pytest.mark.parametrize(("kind", "trains"), [("tiny", "head"), ("tiny", "last"), ("tiny", "all"), ("vit", "all")])
def test_a_card_gives_the_hosts_numbers(kind: str, trains, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny() if kind == "tiny" else base_of(kind)
    here, expected = trained(base, trains, "cpu")
    with a_card(monkeypatch):
        there, found = trained(base, trains, "cuda")
        assert isinstance(there.centre, OnCard)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert [r.loss for r in there.rounds] == pytest.approx([r.loss for r in here.rounds], rel=1e-5)
    assert not isinstance(next(base.parameters()), OnCard), "the base that was given stays on the host"


@pytest.mark.parametrize(("kind", "trains"), [("tiny", "last"), ("tiny", "all"), ("vit", "all")])
def test_the_host_waits_for_no_step(kind: str, trains, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny() if kind == "tiny" else base_of(kind)
    waited: list[Counter[str]] = []
    monkeypatch.setattr(train, "_UNREAD", 2)
    for n in (2, 4):
        with a_card(monkeypatch) as waits:
            found, _ = trained(base, trains, "cuda", replace(SMALL, rounds=1, steps=n, batch=2, lr=1e-5))
            assert found.fell_back is None
            waited.append(Counter(waits))
    assert waited[1] - waited[0] == Counter({"to the host": 1}), "two losses are read together"


def test_the_crops_lie_on_the_card_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_card(monkeypatch):
        content = views_of(tiny(), "all", "cuda").content
        assert isinstance(content, OnCard)
        assert content.dtype == torch.uint8


def test_a_seed_draws_the_same_views_however_many_pass_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    some = [x for _, _, x in views_of(base, "all", "cpu", 9).batches(3, 0)]
    assert at_once("all", CPU) < 9 < at_once("all", torch.device("cuda")) == DRAWN
    with a_card(monkeypatch):
        there = [x.cpu() for _, _, x in views_of(base, "all", "cuda", 9).batches(3, 0)]
    for a, b in zip(some, there, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("trains", "both"), [("head", 0), ("last", 0), ("all", 2)])
def test_student_and_teacher_are_compiled_where_that_is_asked_for(
    trains, both: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda base: compiled.append(base))
    trained(tiny(), trains, "cpu")
    assert compiled == []
    found, _ = trained(tiny(), trains, "cpu", replace(SMALL, compile=True, lr=1e-5))
    assert len(compiled) == both
    if both:
        assert {id(found.student.base), id(found.teacher.base)} == {id(base) for base in compiled}


# Memory -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tiny", "vit"])
def test_training_in_parts_has_the_same_objective(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny() if kind == "tiny" else base_of(kind)
    whole, expected = trained(base, "all", "cpu")
    logits, sizes = steps._logits, []

    def narrow(branch: Branch, x: torch.Tensor, *masks: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        said = logits(branch, x, *masks)
        sizes.append(len(x))
        if len(x) > 5 and torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")  # after the forward pass, as it mostly happens
        return said

    monkeypatch.setattr(steps, "_logits", narrow)
    parted, found = trained(base, "all", "cpu")
    assert [r.loss for r in parted.rounds] == pytest.approx([r.loss for r in whole.rounds], rel=1e-4)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(parted.centre, whole.centre, atol=1e-4, rtol=1e-3)
    assert sizes[:4] == [16, 16, 8, 8], "the teacher, then the student, of whom only four fit"
    assert set(sizes[10:]) == {4}, "a size that went through is kept"


def test_crops_pass_a_network_in_as_many_parts_as_memory_asks_for() -> None:
    sizes = []

    def narrow(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return 2 * x

    called, x = in_parts(narrow, 256), torch.arange(10.0)
    assert torch.equal(called(x), 2 * x)
    assert torch.equal(called(x), 2 * x)
    assert sizes == [10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]


# On a card -----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["sface", "vit"])
@pytest.mark.parametrize("trains", ["last", "all"])
def test_a_real_card_comes_to_the_hosts_vectors(kind: str, trains) -> None:
    open_column("cuda:0")
    torch.cuda.reset_peak_memory_stats(0)
    base, config = base_of(kind), replace(SMALL, lr=1e-4)
    here, expected = trained(base, trains, "cpu", config)
    there, found = trained(base, trains, "cuda", config)
    assert float(torch.nn.functional.cosine_similarity(found, expected, dim=-1).min()) > 0.99  # bfloat16, six steps
    assert [r.loss for r in there.rounds] == pytest.approx([r.loss for r in here.rounds], rel=0.02)
    assert memory.peaks(0)["gpu_memory_mib"]["peak_allocated"] > 0


@pytest.mark.gpu
def test_a_real_card_that_is_full_halves_the_work() -> None:
    open_column("cuda:0")
    memory.bound(0, 1.0)
    try:
        called = in_parts(lambda x: x.repeat(1, 1 << 21).sum(1, keepdim=True), 256)  # 8 MiB a row: 128 fill the bound
        assert called(torch.ones(256, 1, device="cuda")).eq(1 << 21).all()
    finally:
        memory.bound(0, 0.0)
