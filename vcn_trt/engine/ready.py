"""An engine ready to run: the plan that is kept, one of the same structure given these weights, or a new one, in this
order. What is not the plan that was kept passes the gate first, and every step that takes time is said aloud."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from vcn_trt.backends.base import Array
from vcn_trt.engine import compat, gate, plans
from vcn_trt.engine.build import build
from vcn_trt.engine.compat import Progress, Trt
from vcn_trt.engine.definition import Definition
from vcn_trt.engine.device import EngineDevice
from vcn_trt.engine.gate import Verdict
from vcn_trt.engine.plans import Machine, Plan
from vcn_trt.engine.refit import refit
from vcn_trt.engine.runner import Runner, Say
from vcn_trt.errors import ModelError

EVERY_SECONDS = 5.0


def aloud(sentence: str) -> None:
    """To stderr: stdout is for answers."""
    print(sentence, file=sys.stderr)


@dataclass(frozen=True, eq=False)
class Host:
    """Where engines are made and run."""

    trt: Trt
    device: EngineDevice
    machine: Machine
    say: Say = aloud

    @cached_property
    def _runtime(self) -> tuple[Any, Any]:
        """TensorRT's runtime and its logger, which the engines that they loaded must not outlive."""
        log = compat.logger(self.trt)
        return self.trt.Runtime(log), log

    def load(self, content: bytes, called: str) -> Any:
        """An engine from a plan's content. Raises ModelError where TensorRT does not take it."""
        runtime, log = self._runtime
        log.errors.clear()
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise ModelError(f"{compat.title(self.trt)} cannot load the plan of {called}{compat.said(log)}")
        return engine


@dataclass(frozen=True, eq=False)
class Ready:
    """A network's engine, and what its record says."""

    definition: Definition
    runner: Runner
    facts: Mapping[str, Any]


def ready(definition: Definition, host: Host) -> Ready:
    """Raises ModelError where no engine of the network passes the gate, DeviceError where card or TensorRT fails."""
    asked = plans.find(definition, host.machine)
    if found := _kept(definition, asked, host):
        return found
    careful = definition.at("float32")
    if definition.recipe.precision == "half" and (found := _kept(careful, plans.find(careful, host.machine), host)):
        host.say(f"{definition.name} runs on its engine in float32: there is none in half precision that passed")
        return found
    if asked is not None and asked.failed:
        raise _refused(definition, asked.facts["gate"]["says"])
    if definition.recipe.refit and compat.can_refit(host.trt):
        like = plans.relative(definition, host.machine)
        if like is not None and (found := _refitted_from(like, definition, host)):
            return found
    return built(definition, host)


def built(definition: Definition, host: Host, progress: Progress | None = None) -> Ready:
    """A new engine, kept if it passes the gate. Raises as `ready`."""
    recipe, machine = definition.recipe, host.machine
    host.say(
        f"Building the engine of {definition.name} in {_words(recipe.precision)} for {machine}: once for this card, "
        f"seconds to minutes{_of_another(definition, machine)}"
    )
    start = time.monotonic()
    with host.device.active():
        content = build(host.trt, definition, plans.timings(machine), progress or _now_and_then(host.say))
    facts = {"how": "built", "seconds": round(time.monotonic() - start, 2)}
    runner = _runner(content, definition, host)
    verdict = checked(runner, definition, host)
    if not verdict.passed:
        plans.store(definition, machine, b"", facts | _of(verdict))
        raise _refused(definition, str(verdict))
    plan = plans.store(definition, machine, content, facts | _of(verdict))
    host.say(f"Built {definition.name} in {facts['seconds']:.0f} s: {verdict}")
    return Ready(definition, runner, plan.facts)


def refitted(
    definition: Definition, runner: Runner, host: Host, weights: Mapping[str, Array], like: Definition
) -> dict[str, Any]:
    """Give a running engine the definition's weights and hold it to the gate. -> facts. weights: some of them that are
    on the card already; like: what the engine was made of, of the same structure. Raises ModelError where either fails:
    the engine is then of no use."""
    start = time.monotonic()
    every = definition.weights | dict(weights)
    runner.change(lambda engine: refit(host.trt, engine, like, host.device, every))
    facts = {"how": "refitted", "seconds": round(time.monotonic() - start, 2)}
    verdict = checked(runner, definition, host)
    if not verdict.passed:
        raise ModelError(f"the refitted engine of {definition.name} fails the gate ({verdict})")
    return facts | _of(verdict)


def kept(definition: Definition, runner: Runner, host: Host, facts: Mapping[str, Any]) -> Plan:
    """Write a running engine, with the weights that it has now, to disk."""
    content: list[bytes] = []
    runner.change(lambda engine: content.append(bytes(engine.serialize())))
    return plans.store(definition, host.machine, content[0], dict(facts))


def layers_of(plan: Plan, host: Host) -> Any:
    """What TensorRT made of a network, by its inspector. Raises ModelError where the plan is damaged."""
    with host.device.active():
        inspector = host.load(plan.read(), plan.facts["network"]).create_engine_inspector()
        return json.loads(inspector.get_engine_information(host.trt.LayerInformationFormat.JSON))


def checked(
    runner: Runner, definition: Definition, host: Host, inputs: Mapping[str, NDArray[Any]] | None = None
) -> Verdict:
    """What the gate says of it, on drawn faces or on these inputs."""

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        found = runner(inputs)
        with host.device.active():
            return {name: host.device.to_numpy(array) for name, array in found.items()}

    return gate.check(run, definition, inputs)


def replaced(found: Ready, verdict: Verdict, host: Host) -> Ready:
    """The engine in float32 that takes the place of one in half precision that failed on real pictures: its plan is put
    away as failed, so that the next run does not begin with it. Raises ModelError where it was in float32 already."""
    definition = found.definition
    if definition.recipe.precision == "half":
        host.say(
            f"the engine of {definition.name} in half precision fails the gate on this footage and is not used "
            f"({verdict}); one in float32 takes its place"
        )
        plans.store(definition, host.machine, b"", how(found.facts) | _of(verdict))
        return ready(definition.at("float32"), host)
    raise _refused(definition, str(verdict))


def _kept(definition: Definition, plan: Plan | None, host: Host) -> Ready | None:
    """The engine of a plan; None where there is none, or where it is damaged, which is said, and it is put away."""
    if plan is None or plan.failed:
        return None
    try:
        return Ready(definition, _runner(plan.read(), definition, host), plan.facts)
    except ModelError as error:
        host.say(f"{error}; it is put away and built anew")
        plans.remove(plan)
        return None


def _refitted_from(like: Plan, definition: Definition, host: Host) -> Ready | None:
    """The engine of another plan with these weights, kept under its own name; None where that fails, which is said."""
    try:
        runner = _runner(like.read(), definition, host)
        facts = refitted(definition, runner, host, {}, definition)
    except ModelError as error:
        host.say(f"{error}; it is built anew")
        return None
    host.say(f"{definition.name} takes the engine of {like.facts['network']} by refit: {facts['gate']['says']}")
    return Ready(definition, runner, kept(definition, runner, host, facts).facts)


def _runner(content: bytes, definition: Definition, host: Host) -> Runner:
    with host.device.active():
        engine = host.load(content, definition.name)
        return Runner(host.trt, engine, definition.recipe, host.device, definition.name, host.say)


def _refused(definition: Definition, verdict: str) -> ModelError:
    half = definition.recipe.precision == "half"
    way = f"{definition.in_float32} makes one that takes its place" if half else ""
    return ModelError(
        f"the engine of {definition.name} in {_words(definition.recipe.precision)} fails the gate and is not used "
        f"({verdict}); {way or 'run with --device cpu'}"
    )


def how(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of an engine's record, what does not change with the place it is kept in."""
    return {key: facts[key] for key in ("how", "seconds", "gate")}


def _of(verdict: Verdict) -> dict[str, Any]:
    return {"gate": asdict(verdict) | {"passed": verdict.passed, "says": str(verdict)}}


def _of_another(definition: Definition, machine: Machine) -> str:
    """Why a plan of this network that is there does not do, in brackets."""
    others = {p.machine for p in plans.every() if p.facts["content"] == definition.content and p.machine != machine}
    return f" (what is kept is of {', '.join(map(str, sorted(others, key=str)))})" if others else ""


def _words(precision: str) -> str:
    return "half precision" if precision == "half" else precision


def _now_and_then(say: Say) -> Progress:
    """A line every few seconds of what a build is at."""
    last = time.monotonic()

    def progress(phase: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            say(f"{phase}: {done} of {total} steps" if total else phase)

    return progress
