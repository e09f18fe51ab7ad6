"""Networks by TensorRT: an ONNX file to a `Network` on the card, and other weights into it without building again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt.backends.base import Array
from vcn_trt.engine import compat, plans
from vcn_trt.engine.definition import define
from vcn_trt.engine.device import EngineDevice
from vcn_trt.engine.plans import Machine
from vcn_trt.engine.ready import Host, Ready, aloud, built, checked, how, kept, ready, refitted, replaced
from vcn_trt.engine.refit import as_array
from vcn_trt.engine.runner import Say
from vcn_trt.errors import DeviceError, ModelError
from vcn_trt.zoo import initialisers


class TensorrtNetwork:
    """An ONNX file as a `Network` on a card. The first opening of a file builds its engine, which is said aloud.

    Raises ModelError where the file is no network, cannot be built, or no engine of it passes the gate; DeviceError
    where TensorRT or the card fails. facts: the record of its engine (docs/engines.md)."""

    def __init__(self, path: Path, host: Host) -> None:
        self._host = host
        self._use(ready(define(path), host))

    def _use(self, found: Ready) -> None:
        self._definition, self._runner, self.facts = found.definition, found.runner, dict(found.facts)
        self._made_of = found.definition  # whose graph is at hand: that of other weights is the same
        self.input_names: Sequence[str] = self._runner.inputs
        self.output_names: Sequence[str] = [o.name for o in self._definition.model.graph.output]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found = self._runner(inputs)
        return {name: found[name] for name in self.output_names}

    def refit(self, weights: Mapping[str, Any]) -> None:
        """Replace weights by name, shapes unchanged: NumPy, CuPy, or torch tensors of any device; those that are left
        out stay. The engine is held to the gate; where it cannot be refitted or fails, it is built anew, which is said.

        Raises ModelError for an unknown name or another shape, and where the new engine fails, too: the network then
        is what it was."""
        before = self._definition
        initialisers.check(before.model, weights, before.name)
        new = before.replaced({name: _on_host(value) for name, value in weights.items()})
        try:
            if not (before.recipe.refit and compat.can_refit(self._host.trt)):
                raise ModelError(f"the engine of {before.name} was not built to be refitted")
            facts = refitted(new, self._runner, self._host, weights, self._made_of)
            self._definition, self.facts = new, self.facts | facts | {"content": new.content}
        except ModelError as error:
            self._host.say(f"{error}; it is built anew")
            try:
                self._use(built(new, self._host))
            except ModelError:
                self._use(ready(before, self._host))
                raise

    def proven_on(self, inputs: Mapping[str, Array]) -> bool:
        """As `Network`. The verdict stands in `facts` as "footage"."""
        shown = {name: self._host.device.to_numpy(array) for name, array in inputs.items()}
        stands = True
        while True:
            verdict = checked(self._runner, self._definition, self._host, shown)
            if verdict.passed:
                self.facts["footage"] = str(verdict)
                return stands
            self._use(replaced(Ready(self._definition, self._runner, self.facts), verdict, self._host))
            stands = False

    def save(self, path: Path) -> None:
        """Write the network with the weights that it has now to `path`, as ONNX, and its engine beside the others:
        opening that file later needs neither refit nor build."""
        plans.write(path, self._definition.model.SerializeToString())
        self._definition = define(path, self._definition.recipe.precision)
        self.facts = dict(kept(self._definition, self._runner, self._host, how(self.facts)).facts)


def open_host(device: EngineDevice, card: str, capability: str, say: Say = aloud) -> Host:
    """TensorRT for a card, by its name and compute capability. Raises DeviceError where none serves it."""
    trt = compat.load()
    if not compat.serves(trt, capability):
        raise DeviceError(
            f"{compat.title(trt)} is for GeForce RTX and RTX PRO cards, which {card} ({capability}) is not; run "
            f"`{compat.install()}`"
        )
    return Host(trt, device, Machine(compat.title(trt), card, capability), say)


def _on_host(value: Any) -> NDArray[np.generic]:
    return value if isinstance(value, np.ndarray) else np.asarray(as_array(np, value))
