"""The verb of those who measure: bench."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcn_trt.console import progress, say
from vcn_trt.errors import UsageError

if TYPE_CHECKING:
    from vcn_trt.bench.bench import Bench

SOME_FAILED = 3
TRACKS = {"cpu": 1000, "cuda": 100_000}
STREAMS = {"cpu": "1", "cuda": "1,2,4,7"}


def add(app: typer.Typer) -> None:
    """The verb, into the program's."""
    app.command()(bench)


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VIDEO...", help="Films to measure on; the sample film by default. With --show: results."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    only: Annotated[
        str, typer.Option(help="Parts, by comma: decode, kernels, detect, embed, adapt, refit, cluster, whole.")
    ] = "",
    streams: Annotated[str, typer.Option(help="How many at once, by comma; 1 on a CPU and 1,2,4,7 on a card.")] = "",
    seconds: Annotated[float, typer.Option(min=0.01, help="For each contestant of a measurement.")] = 5.0,
    tracks: Annotated[int, typer.Option(min=0, help="To cluster; 1,000 on a CPU and 100,000 on a card.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the JSON goes, part by part.")] = Path("bench.json"),
    show: Annotated[bool, typer.Option("--show", help="Measure nothing: tables of results that are there.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file: the form of a run's config.toml.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value; may be given again."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """How fast each part is on this device, beside its peers and what the device could do at most.

    Everything goes into one JSON; the Markdown table on stdout is made from it. Several results stand side by side with
    --show A.json B.json. Exit status: 0 all measured, 1 failed, 2 wrong usage, 3 something could not be measured, with
    its reason, and the rest was.
    """
    from vcn_trt.bench import parts, table
    from vcn_trt.run import replace_text

    if show:
        if not files:
            raise UsageError("--show takes results of `vcn bench`: name at least one JSON file")
        print(table.show([table.read(path) for path in files]), end="")
        return
    chosen = parts.chosen(only)
    counts = _counts(streams) if streams else ()
    with tempfile.TemporaryDirectory(prefix="vcn-bench-") as folder, progress(quiet) as hook:
        opened = _open(files or [], device, counts, seconds, tracks, config, sets, Path(folder), hook)
        tree = parts.begin(opened, _command(), chosen)
        for i, name in enumerate(chosen):
            hook("bench", i, len(chosen), f"parts: {name}")
            tree["parts"].append(parts.measure(name, opened))
            out.parent.mkdir(parents=True, exist_ok=True)
            replace_text(out, json.dumps(tree, indent=1) + "\n")
        hook("bench", len(chosen), len(chosen), "parts")
    print(table.show([table.read(out)]), end="")
    say(f"Results: {out}")
    if any(part["state"] != "done" for part in tree["parts"]):
        raise typer.Exit(SOME_FAILED)


def _open(
    films: list[Path],
    device: str,
    streams: tuple[int, ...],
    seconds: float,
    tracks: int,
    config: Path | None,
    sets: list[str] | None,
    folder: Path,
    hook: Any,
) -> Bench:
    from vcn_trt import backends
    from vcn_trt.bench.bench import Bench
    from vcn_trt.bench.film import open_films
    from vcn_trt.bench.limits import measure_rates
    from vcn_trt.config import load

    backend = backends.open(device)
    kind = backend.torch_device.split(":")[0]
    settings = load(config, [*(sets or []), f"device={device}"])
    gpu, rates = "", None
    if kind == "cuda":
        import torch

        gpu = torch.cuda.get_device_name(backend.torch_device)
        try:
            rates = measure_rates(backend.torch_device)
        except RuntimeError as error:  # torch's, out of memory among them
            say(f"Note: the rates of {gpu} cannot be measured ({error}): there are no floors")
    return Bench(
        backend=backend,
        config=settings,
        films=open_films(films, hook),
        streams=streams or _counts(STREAMS[kind]),
        seconds=seconds,
        tracks=tracks or TRACKS[kind],
        folder=folder,
        rates=rates,
        gpu=gpu,
    )


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(word) for word in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--streams takes whole numbers from 1 on, as 1,2,4; found {text!r}")
    return counts


def _command() -> str:
    """The command line as given, without the folders that lead to its files."""
    words = [Path(a).name if os.sep in a and Path(a).is_absolute() else a for a in sys.argv[1:]]
    return " ".join(["vcn", *words])
