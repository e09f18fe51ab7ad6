"""`vcn`: each verb a few lines over the package. Answers go to stdout, everything said on the way to stderr."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import vcn_trt
from vcn_trt import cli_bench, cli_corrections, cli_editors, cli_engines, cli_models, cli_review
from vcn_trt.cli_options import Folder, Json
from vcn_trt.config import Config, load
from vcn_trt.config import preset as presets
from vcn_trt.console import OUT, progress, say
from vcn_trt.errors import UsageError, VcnError

app = typer.Typer(
    help="Who is on screen, when: face clustering for films and series.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SOME_FAILED = 3
INTERRUPTED = 130

Configs = Annotated[Path | None, typer.Option("--config", help="A TOML file: the form of a run's config.toml.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one value; may be given again.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]


@app.command()
def run(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO...", help="Files and folders: one production, one cast.")
    ],
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/<stem>-<hash8> by default.")] = None,
    config: Configs = None,
    sets: Sets = None,
    device: Device = None,
    preset: Annotated[str | None, typer.Option(help="paper: the method to the letter. --set wins.")] = None,
    method: Annotated[str | None, typer.Option(help="vcn, or a baseline: hac, dbscan, hdbscan, finch.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A finished run whose adapted model is taken, instead of adapting anew.")
    ] = None,
    update: Annotated[
        bool, typer.Option(help="Recompute in an existing run what a changed config or video touches.")
    ] = False,
    gpu_memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="How much of a card's memory it may take; all by default.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Find every face in the videos, follow it, and group the tracks by person.

    The same command goes on where a broken-off run stood. Exit status: 0 all done, 1 failed, 2 wrong usage, 3 some
    videos could not be read and the rest are done.
    """
    from vcn_trt import api
    from vcn_trt.sources import find

    bounded = [] if gpu_memory is None else [f"gpu_memory={gpu_memory}"]
    settings = _config(config, [*(sets or []), *bounded], device, method, preset, model)
    sources = find(videos)
    folder = out or api.default_folder(sources, settings)
    if dry_run:
        raise typer.Exit(_show_plan(folder, settings, sources, update, as_json))
    _bring_weights(settings)
    if not as_json:
        say(f"Run directory: {folder}")
    with progress(quiet) as hook:
        answer = api.cluster_sources(sources, folder, settings, update=update, hook=hook)
    _show_answer(answer, folder, as_json)


@app.command()
def adapt(
    folder: Folder,
    sets: Sets = None,
    preset: Annotated[str | None, typer.Option(help="paper: the method to the letter.")] = None,
    model: Annotated[str | None, typer.Option(help="A finished run whose adapted model is taken.")] = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Adapt an existing run anew, with --set adapt.*, match.*, quality.* or cluster.*, and group its tracks again."""
    _recompute(folder, ("quality", "adapt", "match", "cluster", "seed"), sets, preset, model, as_json, quiet)


@app.command()
def cluster(
    folder: Folder,
    sets: Sets = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Group the tracks of an existing run again, with --set cluster.* or quality.rule."""
    _recompute(folder, ("quality", "cluster"), sets, None, None, as_json, quiet)


@app.command("eval")
def evaluate(
    folder: Folder,
    labels: Annotated[list[Path], typer.Argument(metavar="LABELS...", help="Label files: one JSON a video, or .ids.")],
    as_json: Json = False,
) -> None:
    """Measure a run against labels: purity, cluster ratio, NMI, ARI, B-cubed, pairs, coverage, and who is split or
    mixed."""
    from vcn_trt import evaluate as evaluation
    from vcn_trt.answer import open_run
    from vcn_trt.labels import read
    from vcn_trt.rounds import read_rounds

    answer = open_run(folder)
    rounds = read_rounds(folder, answer.record, answer.tracks.n_tracks)
    found = evaluation.evaluate(answer.tracks, answer.people, [read(path) for path in labels], rounds=rounds)
    if as_json:
        OUT.print_json(json.dumps(found.to_dict()))
    else:
        OUT.print(evaluation.table(found))


@app.command()
def ablate(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEO... LABELS...", help="One production, and its label files: .json or .ids."),
    ],
    out: Annotated[Path | None, typer.Option(help="Where it works; runs/<stem>-<hash8>-ablation by default.")] = None,
    seeds: Annotated[int, typer.Option(help="How often what is random is run.")] = 5,
    bases: Annotated[str, typer.Option(help="Face-ID bases, by comma: Table 6 has all, the others the first.")] = (
        "sface,mobilefacenet"
    ),
    config: Configs = None,
    sets: Sets = None,
    device: Device = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Remake the paper's Tables 4, 5 and 6 on labelled videos, with the baselines, over several seeds.

    The same command goes on where a broken-off one stood. The tables are left in the folder, too: ablation.md and
    ablation.json.
    """
    from vcn_trt import ablate as ablation
    from vcn_trt import api, tables
    from vcn_trt.labels import SUFFIXES, read
    from vcn_trt.run import write_text
    from vcn_trt.sources import find

    def configure(overrides: Iterable[str]) -> Config:
        return _config(config, [*(sets or []), *overrides], device, None)

    labels = [read(path) for path in files if path.suffix.lower() in SUFFIXES]
    sources = find(path for path in files if path.suffix.lower() not in SUFFIXES)
    chosen = [name.strip() for name in bases.split(",") if name.strip()]
    for name in chosen:
        _bring_weights(configure([f"embed.model={name}"]))
    default = api.default_folder(sources, configure([]))
    folder = out or default.with_name(f"{default.name}-ablation")
    say(f"Folder: {folder}")
    with progress(quiet) as hook:
        found = ablation.ablate(
            sources, labels, folder, seeds=seeds, bases=chosen, configure=configure, hook=hook, say=say
        )
    answer = json.dumps(tables.to_json(found))
    write_text(folder / "ablation.json", answer + "\n")
    write_text(folder / "ablation.md", tables.markdown(found))
    if as_json:
        OUT.print_json(answer)
    else:
        print(tables.markdown(found), end="")


@app.command()
def doctor(
    device: Annotated[str, typer.Option(help="What a run shall use: auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Json = False,
) -> None:
    """What this machine has, what is missing, and the command that mends it. Exit status 1 where a run on the device
    could not start."""
    from vcn_trt import doctor as examination

    findings = examination.examine(device)
    if as_json:
        OUT.print_json(json.dumps(examination.to_json(findings)))
    else:
        section = ""
        for f in findings:
            if f.section != section:
                print(f"\n{f.section}")
                section = f.section
            print(f"{f.state:9} {f.what}: {f.found}" + (f"\n{'':10}-> {f.mend}" if f.mend else ""))
    if not examination.healthy(findings):
        raise typer.Exit(1)


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(help="Where film.mp4 and its labels go.")] = Path("sample"),
    seconds: Annotated[float | None, typer.Option(help="Repeat the edit up to this length.")] = None,
) -> None:
    """Make a short film of real faces, with labels, to try things on."""
    from vcn_trt.sample import build
    from vcn_trt.zoo import fetch

    with progress(False) as hook:
        film = build(folder, fetch.home() / "sample", lambda step, done, total: hook(step, done, total, ""), seconds)
    print(film)


cli_editors.add(app)
cli_corrections.add(app)
cli_review.add(app)
cli_bench.add(app)
cli_engines.add(app)
cli_models.add(app)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(vcn_trt.__version__)
        raise typer.Exit()


def main() -> NoReturn:
    """The command line's entry: exceptions a user can meet become one message and an exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text of the terminal's encoding
    try:
        app(standalone_mode=True)
    except VcnError as error:
        say(f"vcn: {error}")
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer's answer to Ctrl-C
            say("vcn: interrupted; the same command goes on where this one stood")
        raise
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: `vcn ... | head`
        sys.exit(0)
    sys.exit(0)


def _terminate(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is putting the run away
    raise KeyboardInterrupt


def _config(
    path: Path | None,
    sets: list[str] | None,
    device: str | None,
    method: str | None,
    preset: str | None = None,
    model: str | None = None,
) -> Config:
    if preset and path:
        raise UsageError("--preset and --config both say what a run is: give one, and change it by --set")
    overrides = _overrides(sets, preset, model)
    overrides += [f"device={device}"] if device else []
    overrides += [f"cluster.method={method}"] if method else []
    return load(path, overrides)


def _overrides(sets: list[str] | None, preset: str | None, model: str | None) -> list[str]:
    return [*(presets(preset) if preset else ()), *(sets or []), *([f"adapt.model={model}"] if model else [])]


def _recompute(
    folder: Path,
    sections: tuple[str, ...],
    sets: list[str] | None,
    preset: str | None,
    model: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from vcn_trt import api

    with progress(quiet) as hook:
        answer = api.recompute(folder, sections, _overrides(sets, preset, model), hook=hook)
    _show_answer(answer, folder, as_json)


def _show_answer(answer: Any, folder: Path, as_json: bool) -> None:
    if as_json:
        OUT.print_json(json.dumps({"folder": str(folder), **answer.record}))
    else:
        for sentence in (*answer.record["warnings"], *answer.record["notes"]):
            say(f"Note: {sentence}")
        print(_summary(answer, folder))
    for failure in answer.failed:
        say(f"Left out: {failure['path']}: {failure['reason']}")
    if answer.failed:
        raise typer.Exit(SOME_FAILED)


def _bring_weights(config: Config) -> None:
    """Fetch what the config names and is not here: the only thing a run ever asks the network for."""
    from vcn_trt.zoo import fetch

    for name in (config.detect.model, config.embed.model):
        if fetch.to_fetch(name):
            fetch.fetch(name, say)


def _show_plan(folder: Path, config: Config, sources: Any, update: bool, as_json: bool) -> int:
    """Print the plan; -> the exit status that the run would begin with."""
    from vcn_trt import plan

    found = plan.make(sources, folder, config, update)
    if as_json:
        OUT.print_json(json.dumps(found.to_json()))
    else:
        print(f"Run directory: {found.out}: {found.folder_state}")
        print(f"Device: {found.device}")
        for video in found.videos:
            print(f"Video: {video.path}: {video.description or 'LEFT OUT: ' + video.problem}")
        for name, state in found.models.items():
            print(f"Model: {name}: {state}")
        print(f"Disk: about {found.disk_bytes / 1e6:.0f} MB of {found.free_bytes / 1e9:.1f} GB free")
    if found.refused or all(video.problem for video in found.videos):
        return 1
    return SOME_FAILED if any(video.problem for video in found.videos) else 0


def _summary(answer: Any, folder: Path) -> str:
    record = answer.record
    speed = f", {record['fps']:.0f} frames a second" if record["fps"] else ""
    people, tracks = answer.people.n_clusters, answer.tracks.n_tracks
    unknown, frames = int((answer.people.labels < 0).sum()), record["frames"]
    return (
        f"{people} {'person' if people == 1 else 'people'} in {tracks} {'track' if tracks == 1 else 'tracks'}"
        f" ({unknown} Unknown), {frames} {'frame' if frames == 1 else 'frames'}{speed}\n{folder / 'report.html'}"
    )
