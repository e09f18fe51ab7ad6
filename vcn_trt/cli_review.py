"""The verb `review`: a run's pages made editable, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vcn_trt.cli_options import Folder
from vcn_trt.console import say


def add(app: typer.Typer) -> None:
    """The verb, into the program's."""
    app.command()(review)


def review(
    folder: Folder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the address; a free one by default.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, and open no browser.")] = False,
    media: Annotated[Path | None, typer.Option("--media", help="The folder that the videos are in now.")] = None,
) -> None:
    """Correct a run in the browser: names, merges, splits, "same person?". On this machine alone, until Ctrl-C."""
    from vcn_trt.corrections.show import renew_report
    from vcn_trt.review.serve import serve

    def serving(address: str) -> None:
        print(address, flush=True)
        say("Ctrl-C ends it; whatever was corrected is kept.")

    if serve(folder, port, media, not no_open, serving):
        say("Writing report.html anew")
        renew_report(folder)
