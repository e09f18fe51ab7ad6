"""`vcn engines`: TensorRT engines on this machine, ahead of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vcn_trt.cli_options import Json
from vcn_trt.console import OUT, progress, say
from vcn_trt.errors import DeviceError, ModelError, UsageError

if TYPE_CHECKING:
    from vcn_trt.engine.definition import Definition
    from vcn_trt.engine.plans import Machine, Plan
    from vcn_trt.engine.ready import Host
    from vcn_trt.engine.recipe import Precision
    from vcn_trt.zoo.base import FaceBase

engines = typer.Typer(help="TensorRT engines: which there are, and building them ahead of a run.", no_args_is_help=True)

NETWORK = "A model's name, NAME=PATH, an ONNX file, or a finished run for its adapted network."
Device = Annotated[str, typer.Option(help="cuda:N, the card that it is for.")]


def add(app: typer.Typer) -> None:
    """The verbs, into the program's."""
    app.add_typer(engines, name="engines")


@engines.command("list")
def list_engines(as_json: Json = False) -> None:
    """Every engine that was built, on what it runs, and how it passed the gate."""
    from rich.table import Table

    from vcn_trt.engine import plans

    every, (here, reason) = plans.every(), _here()
    if as_json:
        OUT.print_json(json.dumps([{**p.facts, "here": p.machine == here} for p in every]))
        return
    shown = Table("network", "recipe", "MB", "gate", "for", box=None)
    for p in every:
        recipe, size = p.facts["recipe"], f"{p.facts['bytes'] / 1e6:.1f}"
        for_what = f"{p.machine}{', not this machine' if here is not None and p.machine != here else ''}"
        shown.add_row(p.facts["network"], f"{recipe['name']}, {recipe['precision']}", size, _gate(p), for_what)
    if every:
        OUT.print(shown)
    else:
        print(f"no engines in {plans.folder()}: the first run on a card builds them, or `vcn engines build`")
    if here is None:
        say(f"None can run here: {reason}")


@engines.command("build")
def build_engines(
    networks: Annotated[
        list[str] | None, typer.Argument(metavar="NETWORK...", help=f"{NETWORK} The default config's otherwise.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="half or float32, instead of the recipe's.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Build even where a good one is here.")] = False,
    device: Device = "cuda:0",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Build engines for this card, each held to its gate before it is kept."""
    from vcn_trt.engine.ready import built, ready

    if precision not in (None, "half", "float32"):
        raise UsageError(f"--precision is half or float32, found {precision!r}")
    host = _host(device)
    for name in networks or _default():
        definition = _definition(name, cast("Precision | None", precision))
        if again or not _is_here(definition, host.machine):
            with progress(quiet) as hook:
                made = built(definition, host, lambda phase, done, total: hook(phase, done, total, "steps"))
        else:
            made = ready(definition, host)
        print(f"{definition.path}: {made.facts['gate']['says']}")


@engines.command("inspect")
def inspect_engine(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help=f"{NETWORK} Or a part of an engine's file name.")],
    layers: Annotated[bool, typer.Option(help="The layers that TensorRT made of it; needs the card.")] = False,
    device: Device = "cuda:0",
) -> None:
    """What is known of an engine: network, recipe, versions, gate. As JSON."""
    found = _plans(network)
    if not layers:
        OUT.print_json(json.dumps([p.facts for p in found]))
        return
    from vcn_trt.engine.ready import layers_of

    host = _host(device)
    mine = [p for p in found if p.machine == host.machine and not p.failed]
    if not mine:
        raise ModelError(f"{network} has no engine for {host.machine}; run `vcn engines build {network}`")
    OUT.print_json(json.dumps([layers_of(p, host) for p in mine]))


@engines.command("refit")
def refit_engine(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="The model whose engine is taken.")],
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="A finished run that was adapted, or weights.")],
    device: Device = "cuda:0",
) -> None:
    """Give a base's engine other weights, an adapted run's for the next day's footage, without building again."""
    from vcn_trt.engine import plans
    from vcn_trt.engine.definition import define
    from vcn_trt.engine.ready import ready
    from vcn_trt.zoo.export import cached_onnx

    definition = define(cached_onnx(_base(network, weights)))
    host = _host(device)
    if not _is_here(definition, host.machine) and plans.relative(definition, host.machine) is None:
        raise ModelError(
            f"there is no engine of {network} to refit for {host.machine}; run `vcn engines build {network}` first"
        )
    made = ready(definition, host)
    print(f"{definition.path}: {made.facts['how']}, {made.facts['gate']['says']}")


@engines.command("clean")
def clean_engines(
    everything: Annotated[bool, typer.Option("--all", help="Those that run here, and kept timings, too.")] = False,
) -> None:
    """Remove engines of another card or TensorRT than this machine's, and what broken-off builds left."""
    from vcn_trt.engine import plans

    here, reason = _here()
    if here is None and not everything and plans.every():
        say(f"Engines stay, as it cannot be told which run here ({reason}); --all removes them")
    gone = [p for p in plans.every() if everything or (here is not None and p.machine != here)]
    others = [*plans.orphans(), *(plans.folder().glob("*.cache") if everything else ())]
    for plan in gone:
        plans.remove(plan)
        print(f"removed {plan.path.with_suffix('')}: {plan.facts['network']} for {plan.machine}")
    for path in others:
        path.unlink(missing_ok=True)
        print(f"removed {path}")
    if not gone and not others:
        print(f"nothing to remove in {plans.folder()}")


def _host(device: str) -> Host:
    from vcn_trt.backends.cuda import open_card

    return open_card(device)[1]


def _here() -> tuple[Machine | None, str]:
    """This machine, or why it runs no engine."""
    try:
        return _host("cuda:0").machine, ""
    except DeviceError as error:
        return None, str(error)


def _is_here(definition: Definition, machine: Machine) -> bool:
    from vcn_trt.engine import plans

    plan = plans.find(definition, machine)
    return plan is not None and not plan.failed


def _gate(plan: Plan) -> str:
    gate = plan.facts["gate"]
    figure = f"{gate['pixels']:.2f} pixels" if gate["cosine"] is None else f"cosine {gate['cosine']:.6f}"
    return f"{'passed' if gate['passed'] else 'FAILED'}, {figure}"


def _default() -> list[str]:
    from vcn_trt.config import Config

    config = Config()
    return [config.detect.model, config.embed.model]


def _definition(name: str, precision: Precision | None = None) -> Definition:
    """The file that a run would open: a base's export, a detector's own, any other as it is."""
    from vcn_trt.adapt.model import ONNX
    from vcn_trt.engine.definition import define
    from vcn_trt.zoo import fetch, manifest
    from vcn_trt.zoo.bases import load_base
    from vcn_trt.zoo.export import cached_onnx

    if name.partition("=")[0] in manifest.names():
        known, path = fetch.resolve(name)
        return define(path if known.kind == "detector" else cached_onnx(load_base(name)), precision)
    path = Path(name)
    return define(path / "model" / ONNX if path.is_dir() else path, precision)


def _base(network: str, weights: Path) -> FaceBase:
    """The base of an adapted run, or an architecture with weights of one's own."""
    from vcn_trt.adapt import model as adapted
    from vcn_trt.zoo.bases import load_base
    from vcn_trt.zoo.models import open_model

    if not weights.is_dir():
        return load_base(f"{network.partition('=')[0]}={weights}")
    model = open_model(network, "base")
    return adapted.load(weights / "model" / adapted.WEIGHTS, load_base(network), model.identity).base


def _plans(network: str) -> list[Plan]:
    from vcn_trt.engine import plans
    from vcn_trt.zoo import manifest

    every = plans.every()
    if found := [p for p in every if network in p.path.name]:
        return found
    if Path(network).exists() or network.partition("=")[0] in manifest.names():
        content = _definition(network).content
        if found := [p for p in every if p.facts["content"] == content]:
            return found
    raise ModelError(f"there is no engine of {network} in {plans.folder()}; run `vcn engines build {network}`")
