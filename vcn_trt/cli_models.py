"""The verbs of `vcn models`: which networks there are, and their weights on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vcn_trt.cli_options import Json
from vcn_trt.config import Config
from vcn_trt.console import OUT, say
from vcn_trt.errors import ModelError

models = typer.Typer(help="The networks: which there are, and their weights on this machine.", no_args_is_help=True)


def add(app: typer.Typer) -> None:
    """The verbs, into the program's."""
    app.add_typer(models, name="models")


@models.command("list")
def list_models(
    as_json: Json = False,
) -> None:
    """Every model there is a manifest for, and whether its weights are here."""
    from vcn_trt.zoo import fetch, manifest

    rows = []
    for name in manifest.names():
        m = manifest.load(name)
        here = "here" if fetch.place(m).exists() else "to fetch" if m.fetchable else "by path"
        rows.append({"name": name, "kind": m.kind, "weights": here, "licence": m.licence, "title": m.title})
    if as_json:
        OUT.print_json(json.dumps(rows))
        return
    shown = Table("name", "kind", "weights", "licence", "title", box=None)
    for row in rows:
        shown.add_row(*row.values())
    OUT.print(shown)


@models.command("fetch")
def fetch_models(
    names: Annotated[list[str] | None, typer.Argument(help="Those of the default config, where none is named.")] = None,
) -> None:
    """Bring weights, each checked against its sha256."""
    from vcn_trt.zoo import fetch

    for name in names or _default_models():
        fetch.fetch(name, say)


@models.command("verify")
def verify_models(
    names: Annotated[list[str] | None, typer.Argument(help="All that are here by default.")] = None,
) -> None:
    """Check weights against their sha256. Exit status 1 where one is missing or damaged."""
    from vcn_trt.zoo import fetch, manifest

    here = [n for n in manifest.names() if fetch.place(manifest.load(n)).exists()]
    bad = 0
    for name in names or here or _default_models():
        try:
            print(f"ok   {name}: {fetch.verify(name)}")
        except ModelError as error:
            bad += 1
            print(f"bad  {name}: {error}")
    if bad:
        raise typer.Exit(1)


@models.command("path")
def model_path(name: Annotated[str, typer.Argument(help="A model's name, NAME=PATH, or a path.")]) -> None:
    """Where a model's weights are."""
    from vcn_trt.zoo import fetch

    print(fetch.path(name))


@models.command("nvinfer")
def nvinfer_config(
    name: Annotated[str, typer.Argument(help="A model's name, NAME=PATH, or a path.")],
    out: Annotated[Path, typer.Option(help="The configuration file.")],
    engine: Annotated[Path | None, typer.Option(help="A TensorRT plan of it; nvinfer builds one by default.")] = None,
    batch: Annotated[int, typer.Option(help="Frames or faces a call.")] = 1,
    size: Annotated[str, typer.Option(metavar="WxH", help="What a detector sees; multiples of 32.")] = "640x384",
    unique_id: Annotated[int, typer.Option(help="The element's number in the pipeline.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a configuration of DeepStream's Gst-nvinfer for a network."""
    from vcn_trt.export import nvinfer
    from vcn_trt.export.files import write_all

    manifest, network = nvinfer.network_of(name)
    text = nvinfer.config(
        manifest, network, engine=engine, batch=batch, size=nvinfer.size_of(size), unique_id=unique_id
    )
    write_all({out: text}, force)
    print(out)


def _default_models() -> list[str]:
    config = Config()
    return [config.detect.model, config.embed.model]
