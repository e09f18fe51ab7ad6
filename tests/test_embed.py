"""Embedding: on a card the base's quality passes run there too, crops go in lots, and memory that runs out halves them.
The card is a stand-in (tests/card.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from card import OnCard, a_card
from made import TorchNetwork, base_from, pictures_of, projection, track_set

from vcn_trt import backends, embed
from vcn_trt.adapt import serfiq
from vcn_trt.backends.base import Backend
from vcn_trt.config import EmbedConfig
from vcn_trt.errors import ModelError
from vcn_trt.run import Desk
from vcn_trt.types import BaseVectors
from vcn_trt.zoo.base import prepare

TRACKS = [pictures_of(i, 3) for i in range(3)]
HOST = backends.open("cpu")
CARD = replace(HOST, torch_device="cuda", ops=SimpleNamespace(to_numpy=lambda array: array.held.numpy()))


class OfCards(TorchNetwork):
    """Takes NumPy and gives what lies on the card, of at most `room` crops."""

    def __init__(self, *base: Any, room: int = 1000) -> None:
        super().__init__(*base)
        self.room, self.sizes = room, []

    def __call__(self, inputs: Any) -> dict[str, Any]:
        self.sizes.append(len(inputs["input"]))
        if self.sizes[-1] > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return {k: OnCard(torch.from_numpy(v)) for k, v in super().__call__(inputs).items()}


def embedded(folder: Path, network: TorchNetwork, backend: Backend) -> BaseVectors:
    base = replace(base_from(projection()), network=network)
    desk = Desk(folder, folder, folder, lambda *progress: None)
    folder.mkdir()
    facts = embed.embed(desk, track_set(TRACKS), base, backend, EmbedConfig(), 8)
    assert not any(isinstance(p, OnCard) for p in base.torch.parameters())
    return embed.load(folder, facts)


@pytest.mark.parametrize(("room", "sizes"), [(1000, [9, 9]), (4, [9, 4, 4, 1, 4, 4, 1])])
def test_a_card_gives_the_hosts_vectors_and_quality(
    tmp_path: Path, room: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embedded(tmp_path / "host", TorchNetwork(projection()), HOST)
    network = OfCards(projection(), room=room)
    monkeypatch.setattr(embed, "from_dlpack", lambda array: array)
    monkeypatch.setattr(embed, "cores", lambda: 1)
    # Tensors of inference mode cannot be wrapped: what it decorates runs without gradients here.
    monkeypatch.setattr(embed, "crop_quality", torch.no_grad()(serfiq.crop_quality.__wrapped__))
    with a_card(monkeypatch):
        # The mode of the stand-in is its thread's: the calls of the pool are made in this one.
        monkeypatch.setattr(embed, "map_ahead", lambda function, items, workers: [(i, function(i)) for i in items])
        found = embedded(tmp_path / "card", network, CARD)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-5)
    np.testing.assert_allclose(found.quality, expected.quality, atol=1e-5)
    assert found.faceless == pytest.approx(expected.faceless, abs=1e-5)
    assert network.sizes == sizes


def test_nothing_passes_a_network_that_fails_on_the_footage(tmp_path: Path) -> None:
    shown: list[np.ndarray] = []

    class Failing(TorchNetwork):
        def __call__(self, inputs: Any) -> dict[str, Any]:
            pytest.fail("it was used")

        def proven_on(self, inputs: Any) -> bool:
            shown.append(inputs["input"])
            raise ModelError("its engine fails the gate")

    with pytest.raises(ModelError, match="fails the gate"):
        embedded(tmp_path / "run", Failing(projection()), HOST)
    (crops,) = shown
    expected = prepare(track_set(TRACKS).images, base_from(projection()).manifest)  # nine crops are all there are
    np.testing.assert_array_equal(crops, expected)
