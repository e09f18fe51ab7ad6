"""The verbs that correct a run by hand: name, merge, split, move, reject, different, undo, redo, and the lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vcn_trt.cli_options import Folder, Json
from vcn_trt.console import OUT, say
from vcn_trt.errors import UsageError

if TYPE_CHECKING:
    from vcn_trt.corrections.edit import Corrected, Opened
    from vcn_trt.corrections.fold import Edit

Someone = Annotated[str, typer.Argument(metavar="PERSON", help="A name, or a cluster's number as 3 or #3.")]
Several = Annotated[list[str], typer.Argument(metavar="PERSON...", help="Names, or clusters' numbers as 3 or #3.")]
Numbers = Annotated[str, typer.Option("--tracks", metavar="3,7", help="Tracks by number, as report.html shows them.")]
From = Annotated[str | None, typer.Option("--from", metavar="PERSON", help="Whom they are taken from.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Leave report.html as it is, for many edits in a row.")]
Id = Annotated[str | None, typer.Argument(metavar="ID", help="A correction, as `vcn corrections` lists it.")]


def add(app: typer.Typer) -> None:
    """The verbs, into the program's."""
    for verb in (name, merge, split, move, reject, different, undo, redo, corrections, suggest):
        app.command()(verb)


def name(
    folder: Folder,
    person: Someone,
    called: Annotated[str, typer.Argument(metavar="NAME", help='What to call the person; "" takes the name away.')],
    no_report: NoReport = False,
) -> None:
    """Give a person a name. It belongs to the person's tracks, so it survives new groupings and new videos."""
    run = _open(folder)
    _correct(run, _edit("name", people=[run.person(person)], name=called.strip() or None), no_report)


def merge(folder: Folder, people: Several, no_report: NoReport = False) -> None:
    """Several people are one. The first of them who has a name gives it to all."""
    run = _open(folder)
    _correct(run, _edit("merge", people=[c for person in people for c in run.clusters(person)]), no_report)


def split(folder: Folder, numbers: Numbers, source: From = None, no_report: NoReport = False) -> None:
    """Tracks are a person of their own, and not whom they are with now."""
    run, tracks = _open(folder), _tracks(numbers)
    _correct(run, _edit("split", tracks, run.others(tracks, source)), no_report)


def move(
    folder: Folder,
    numbers: Numbers,
    target: Annotated[str, typer.Option("--to", metavar="PERSON", help="Who they are.")],
    no_report: NoReport = False,
) -> None:
    """Tracks, of someone else or Unknown, are this person."""
    run, tracks = _open(folder), _tracks(numbers)
    there = [t for t in run.person(target) if t not in tracks]
    if not there:
        raise UsageError(f"these tracks are all there is of {target!r}: there is no one to move them to")
    _correct(run, _edit("move", tracks, [there]), no_report)


def reject(folder: Folder, numbers: Numbers, source: From = None, no_report: NoReport = False) -> None:
    """Tracks are no faces; with --from, they are faces but not this person's."""
    run, tracks = _open(folder), _tracks(numbers)
    _correct(run, _edit("reject", tracks, run.others(tracks, source) if source else ()), no_report)


def different(folder: Folder, one: Someone, other: Someone, no_report: NoReport = False) -> None:
    """Two people are not one: no later grouping joins them, and no one is asked again."""
    run = _open(folder)
    _correct(run, _edit("different", people=[run.person(one), run.person(other)]), no_report)


def undo(folder: Folder, correction: Id = None, no_report: NoReport = False) -> None:
    """Take a correction back: the last one, or the one named. Nothing is erased: redo brings it back."""
    from vcn_trt.corrections import edit

    _show(folder, edit.undo(folder, correction), no_report)


def redo(folder: Folder, correction: Id = None, no_report: NoReport = False) -> None:
    """Let a correction hold again: the one undone last, or the one named."""
    from vcn_trt.corrections import edit

    _show(folder, edit.redo(folder, correction), no_report)


def corrections(folder: Folder, as_json: Json = False) -> None:
    """Everything that was corrected by hand, what holds, and what cannot be applied."""
    from vcn_trt.corrections import edit, log, words
    from vcn_trt.corrections.event import EDITS

    events, bound = log.read(folder), edit.state(folder)
    holds = set(bound.state.applied)
    undone = events.undone
    rows = [
        {"id": e.id, "time": e.time, "kind": e.kind, "says": words.sentence(e), "state": state}
        for e in events.events
        if e.kind in EDITS
        for state in ["undone" if e.id in undone else "holds" if e.id in holds else "not applied"]
    ]
    if as_json:
        OUT.print_json(json.dumps({"corrections": rows, "told": bound.told}))
        return
    for row in rows:
        print(f"{row['state']:11} {row['says']}")
    for sentence in bound.told:
        say(f"Note: {sentence}")
    print(f"{len(rows)} {'correction' if len(rows) == 1 else 'corrections'}, {len(holds)} of them hold")


def suggest(
    folder: Folder,
    most: Annotated[int, typer.Option("--most", min=1, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """Pairs of people who may be one, the likeliest first. Answer with merge or different: it is not asked again."""
    from vcn_trt import cast
    from vcn_trt.corrections.suggest import suggestions

    known = cast.names(folder)
    found = suggestions(folder, most=most)
    if as_json:
        OUT.print_json(json.dumps([vars(s) for s in found]))
        return
    for s in found:
        a, b = cast.called(s.a, known), cast.called(s.b, known)
        print(f"{s.margin:+.2f}  {a} (#{s.a}) and {b} (#{s.b}): nearest in tracks {s.tracks[0]} and {s.tracks[1]}")
    print(f"{len(found)} {'pair' if len(found) == 1 else 'pairs'}")


@dataclass(frozen=True, eq=False)
class _Run:
    """A run to correct. known: what its clusters are called."""

    folder: Path
    opened: Opened
    known: dict[int, str | None]

    def clusters(self, asked: str) -> list[list[int]]:
        """The tracks of each cluster that bears a name."""
        from vcn_trt import cast

        cluster = self.opened.tracks.tracks.cluster
        return [(cluster == number).nonzero()[0].tolist() for number in cast.find(asked, self.known).numbers]

    def person(self, asked: str) -> list[int]:
        """All tracks of a person."""
        return [t for tracks in self.clusters(asked) for t in tracks]

    def others(self, tracks: Sequence[int], source: str | None) -> list[list[int]]:
        """Those that tracks are with now, person by person. Raises UsageError where they are not all the source's, or
        all there is of them."""
        cluster = self.opened.tracks.tracks.cluster
        for track in tracks:
            if not 0 <= track < len(cluster):
                raise UsageError(f"there is no track {track} in this run; expected 0 to {len(cluster) - 1}")
        if source is None:
            people = [(cluster == c).nonzero()[0].tolist() for c in sorted({int(cluster[t]) for t in tracks}) if c > 0]
        else:
            people = [self.person(source)]
            if strange := [t for t in tracks if t not in people[0]]:
                raise UsageError(f"track {strange[0]} is not {source!r}: leave --from out, or name whom it is with")
        rest = [[t for t in person if t not in tracks] for person in people]
        if people and not any(rest):
            raise UsageError("these tracks are all there is of the person: there is no one left to take them from")
        return [person for person in rest if person]


def _open(folder: Path) -> _Run:
    from vcn_trt import cast
    from vcn_trt.corrections import edit

    return _Run(folder, edit.open_run(folder), cast.names(folder))


def _tracks(numbers: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in numbers.replace(",", " ").split()))
    except ValueError as error:
        raise UsageError(f"--tracks takes numbers, as 3,7,12; found {numbers!r}") from error


def _edit(kind: str, tracks: Sequence[int] = (), people: Sequence[Sequence[int]] = (), name: str | None = None) -> Edit:
    from vcn_trt.corrections.fold import Edit

    return Edit(kind, tuple(tracks), tuple(map(tuple, people)), name)


def _correct(run: _Run, edit: Edit, no_report: bool) -> None:
    from vcn_trt.corrections.edit import append

    _show(run.folder, append(run.folder, edit, run.opened), no_report)


def _show(folder: Path, corrected: Corrected, no_report: bool) -> None:
    from vcn_trt.corrections import words

    if not no_report:
        from vcn_trt.corrections.show import renew_report

        renew_report(folder)
    for sentence in corrected.told:
        say(f"Note: {sentence}")
    print(words.sentence(corrected.event))
