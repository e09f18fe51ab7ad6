"""The verbs of editors: report, find, export, overlay, why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vcn_trt.cli_options import Folder, Json
from vcn_trt.console import OUT, progress, say
from vcn_trt.errors import UsageError

if TYPE_CHECKING:
    from vcn_trt.answer import Answer
    from vcn_trt.find import Query, Range
    from vcn_trt.media import Media

With = Annotated[list[str] | None, typer.Option("--with", metavar="NAME", help="On screen; all of them, if several.")]
Without = Annotated[list[str] | None, typer.Option("--without", metavar="NAME", help="Not on screen; none of them.")]
Alone = Annotated[bool, typer.Option("--alone", help="No other tracked face, Unknown ones included.")]
Shots = Annotated[bool, typer.Option("--shots", help="Whole shots: all appear in it, no one unwanted ever does.")]
Seconds = Annotated[float, typer.Option("--min-seconds", min=0, help="Leave shorter ones out.")]
Gap = Annotated[float, typer.Option("--gap-seconds", min=0, help="Lost for no longer within a shot is still there.")]
MediaFolder = Annotated[Path | None, typer.Option("--media", help="The folder that the videos are in now.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def add(app: typer.Typer) -> None:
    """The verbs, into the program's."""
    for verb in (report, find, export, overlay, why):
        app.command()(verb)


def report(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="The file; RUN/report.html by default.")] = None,
    force: Force = False,
) -> None:
    """Make report.html of a finished run anew: it needs the run directory alone, not the videos."""
    from vcn_trt.answer import open_run
    from vcn_trt.export.files import write_all
    from vcn_trt.report import page

    html = page.of_run(open_run(folder))
    path = out or folder / page.FILE
    write_all({path: html}, force or out is None)
    print(path)


def find(
    folder: Folder,
    wanted: With = None,
    unwanted: Without = None,
    alone: Alone = False,
    shots: Shots = False,
    min_seconds: Seconds = 0.0,
    gap_seconds: Gap = 0.5,
    thumbnails: Annotated[Path | None, typer.Option(help="A folder for a picture of each answer.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Where someone is on screen, with whom and without whom: a table with timecodes, outs exclusive.

    NAME is a person's name or a cluster's number, as 3 or #3.
    """
    from vcn_trt import thumbnails as pictures
    from vcn_trt.export import ranges
    from vcn_trt.export.files import write_all
    from vcn_trt.export.timeline import lay_out

    answer, known, media = _open(folder, None)
    if not wanted:
        raise UsageError("whom to find? Name at least one with --with (a name, or a cluster's number as 3)")
    found = _search(answer, known, media, _query(known, wanted, unwanted, alone, shots, min_seconds, gap_seconds))
    if thumbnails:
        write_all(pictures.all_of(answer.tracks, answer.people.labels, found, thumbnails), force)
    if as_json:
        timelines = lay_out(found, media, "markers", "find") if found else []
        OUT.print_json(json.dumps(ranges.tree(timelines, media)))
    else:
        _show(found, media)


def export(
    folder: Folder,
    form: Annotated[
        str, typer.Option("--format", help="otio, edl, fcpxml, fcp7xml, csv, json, vtt or labels.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="The file; RUN/exports/<run>.<suffix> by default.")] = None,
    person: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these people's ranges; everyone's by default.")
    ] = None,
    wanted: With = None,
    unwanted: Without = None,
    alone: Alone = False,
    shots: Shots = False,
    min_seconds: Seconds = 0.0,
    gap_seconds: Gap = 0.5,
    layout: Annotated[
        str | None, typer.Option("--as", help="clips (default of a --with) or markers (default by person).")
    ] = None,
    record_start: Annotated[str, typer.Option(help="Record timecode of the first clip.")] = "01:00:00:00",
    media_folder: MediaFolder = None,
    force: Force = False,
) -> None:
    """Hand ranges on to an editing system: each person's, or those of a find (--with ...)."""
    from vcn_trt import cast
    from vcn_trt import export as exports
    from vcn_trt import find as search

    answer, known, media = _open(folder, media_folder)
    if form not in exports.SUFFIXES:
        raise UsageError(f"there is no format {form!r}; expected one of {', '.join(exports.SUFFIXES)}")
    if layout not in (None, "clips", "markers"):
        raise UsageError(f"--as is clips or markers, found {layout!r}")
    out = out or folder / "exports" / f"{folder.resolve().name}{exports.SUFFIXES[form]}"
    if form == "labels":
        if wanted or unwanted or alone or person:
            raise UsageError("labels hold the whole answer: leave out --with, --without, --alone and --person")
        written = exports.export_labels(answer, known, out, force=force)
    else:
        query = _query(known, wanted, unwanted, alone, shots, min_seconds, gap_seconds)
        if wanted and person:
            raise UsageError("--person gives each one's ranges, --with those with all on screen: give one of the two")
        if wanted:
            found = _search(answer, known, media, query)
        elif unwanted or alone:
            raise UsageError("--without and --alone narrow down a --with: name at least one")
        else:
            people = [cast.find(name, known) for name in person or ()] or cast.cast(known)
            found = search.appearances(answer.tracks, answer.people.labels, media, people, query)
        _tell(found, media)
        written = exports.export(
            answer,
            found,
            media,
            form,
            out,
            layout="clips" if layout == "clips" or (layout is None and wanted) else "markers",
            record_start=record_start,
            force=force,
        )
    for path in written:
        print(path)


def overlay(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="The film; RUN/exports/overlay-<video>.mp4 by default.")] = None,
    video: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this video (its file name); all by default.")
    ] = None,
    media_folder: MediaFolder = None,
    force: Force = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Render the videos with boxes, names and a colour for each person; every frame and the sound stay."""
    from vcn_trt import overlay as drawing
    from vcn_trt.export.files import beside, places, refuse_existing
    from vcn_trt.media import place

    answer, known, _ = _open(folder, None)
    videos = [v for v in answer.tracks.videos if not video or Path(v.path).name in video or v.path in video]
    if not videos:
        there = ", ".join(repr(Path(v.path).name) for v in answer.tracks.videos)
        raise UsageError(
            f"there is no video {' or '.join(map(repr, video or ()))} in this run; it has {there or 'none'}"
        )
    stems = [Path(v.path).stem for v in videos]
    paths = places(out, stems) if out else beside(folder / "exports" / "overlay.mp4", stems)
    sources = [place(answer.record, v, media_folder) for v in videos]
    for path in paths:
        refuse_existing(path, force)
    with progress(quiet) as hook:
        for one, source, path in zip(videos, sources, paths, strict=True):
            problem = drawing.render(answer, one, source, path, known, lambda n, of: hook("overlay", n, of, "frames"))
            print(path)
            if problem:
                say(f"Note: {path.name} is silent: {problem}")


def why(
    folder: Folder,
    a: Annotated[int, typer.Argument(metavar="TRACK", help="A track's number, as report.html shows it.")],
    b: Annotated[int, typer.Argument(metavar="TRACK", help="Another's.")],
    as_json: Json = False,
) -> None:
    """Why two tracks are one person or two: the merges between them, each with its similarity and its threshold.

    Similarities are losses: lower is nearer.
    """
    from vcn_trt import why as reasons
    from vcn_trt.answer import open_run

    answer = open_run(folder)
    found = reasons.explain(answer, a, b)
    if as_json:
        OUT.print_json(json.dumps(found.to_json()))
    else:
        print("\n".join(reasons.sentences(found, answer.people)))


def _open(folder: Path, media_folder: Path | None) -> tuple[Answer, dict[int, str | None], list[Media]]:
    from vcn_trt import cast
    from vcn_trt import media as clips
    from vcn_trt.answer import open_run

    answer = open_run(folder)
    return answer, cast.names(folder), clips.of(answer.tracks, media_folder)


def _query(
    known: Mapping[int, str | None],
    wanted: Sequence[str] | None,
    unwanted: Sequence[str] | None,
    alone: bool,
    shots: bool,
    min_seconds: float,
    gap_seconds: float,
) -> Query:
    from vcn_trt import cast
    from vcn_trt.find import Query

    asked, ruled_out = ([cast.find(name, known) for name in names or ()] for names in (wanted, unwanted))
    both = [p.name for p in asked if p in ruled_out]
    if both:
        raise UsageError(f"{both[0]!r} is asked for with --with and ruled out with --without")
    return Query(asked, ruled_out, alone, shots, min_seconds, gap_seconds)


def _search(answer: Answer, known: Mapping[int, str | None], media: Sequence[Media], query: Query) -> list[Range]:
    from vcn_trt import find as search

    return search.find(answer.tracks, answer.people.labels, media, query)


def _tell(found: Sequence[Range], media: Sequence[Media]) -> None:
    """What is to be known of the videos in the answer, on stderr."""
    for note in [note for m in media if any(r.video == m.video.id for r in found) for note in m.notes]:
        say(f"Note: {note}")


def _show(found: Sequence[Range], media: Sequence[Media]) -> None:
    """The answer as a table, with its sum."""
    from rich.table import Table
    from rich.text import Text

    from vcn_trt.export.text import one_line

    _tell(found, media)
    table = Table("", "video", "shot", "in", "out", "seconds", "people", box=None)
    total = 0.0
    for number, r in enumerate(found, 1):
        clip = media[r.video]
        start, stop = (clip.timecode(p) for p in clip.span(r.start, r.stop))
        seconds = clip.seconds(r.stop) - clip.seconds(r.start)
        total += seconds
        # Names are text, not Rich's markup.
        cells = (str(number), one_line(clip.name), str(r.shot), start, stop, f"{seconds:.2f}", one_line(r.label))
        table.add_row(*map(Text, cells))
    if found:
        OUT.print(table)
    print(f"{len(found)} {'range' if len(found) == 1 else 'ranges'}, {total:.2f} seconds")
