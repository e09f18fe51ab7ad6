"""A run against labels (`vcn eval`): each predicted track is given a labelled person, then the clusters are scored.

Matching is by box, a frame at a time, so wrong tracks, missed faces and wrong clusters are told apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from vcn_trt.adapt.match import MatchScore
from vcn_trt.labels import Labels
from vcn_trt.matching import Matches, assign, match_tracks, renamed
from vcn_trt.metrics import Scores, score
from vcn_trt.ragged import Ragged
from vcn_trt.rounds import score_rounds
from vcn_trt.types import UNKNOWN, Clusters, Shots, TrackSet

CUT_TOLERANCE = 2
DISSOLVE_REACH = 12
"""Frames around a labelled dissolve within which a predicted cut is neither right nor wrong."""


@dataclass(frozen=True)
class CutScores:
    """Shot boundaries against the labelled ones, each found at most once within the tolerance; NaN where none are."""

    labelled: int
    predicted: int
    right: int
    precision: float
    recall: float
    f: float


@dataclass(frozen=True)
class MixedTrack:
    """A predicted track that follows two people or more: the tracker's mistake, which no clustering mends."""

    track: int
    video: int
    start: int
    stop: int
    frames: Mapping[str, int]


@dataclass(frozen=True)
class Person:
    """What became of one labelled person.

    tracks: predicted tracks that are this person, `unknown` of them Unknown. clusters: where the others went and how
    many, most first: more than one, and the person is split. mostly: the clusters of which this person is the largest
    part. purity: of the tracks in those, the share that is this person (NaN without any): below 1, others are mixed in.
    """

    name: str
    tracks: int
    unknown: int
    clusters: Mapping[int, int]
    mostly: Sequence[int]
    purity: float


@dataclass(frozen=True)
class MixedCluster:
    """A cluster that holds tracks of several people, most first."""

    cluster: int
    people: Mapping[str, int]


@dataclass(frozen=True)
class Evaluation:
    """A run against its labels.

    with_unknown counts Unknown tracks as errors, without_unknown leaves them out. coverage: share of matched tracks
    that are not Unknown. tracks = matched + ignored + unmatched + unlabelled. boxes: labelled faces of people;
    box_coverage: the share that a predicted face of any track covers, box_coverage_known: of a track that is not
    Unknown. identity_switches: how often a predicted track goes over to another person between two matched faces.
    cuts: None where no label file has shots. missed: labelled people without any predicted track. notes: what a reader
    should know before trusting the numbers: labels compared with a video of another name. last_round: the coarse
    matches of the finished model; None where the run was not adapted.
    """

    with_unknown: Scores
    without_unknown: Scores
    coverage: float
    tracks: int
    matched: int
    ignored: int
    unmatched: int
    unlabelled: int
    boxes: int
    box_coverage: float
    box_coverage_known: float
    mixed_tracks: Sequence[MixedTrack]
    identity_switches: int
    cuts: CutScores | None
    people: Sequence[Person]
    mixed_clusters: Sequence[MixedCluster]
    missed: Sequence[str]
    notes: Sequence[str] = ()
    last_round: MatchScore | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: None for NaN."""
        tree: dict[str, Any] = plain(self)
        return tree


def evaluate(
    track_set: TrackSet,
    clusters: Clusters,
    labels: Sequence[Labels],
    cut_tolerance: int = CUT_TOLERANCE,
    rounds: Sequence[Ragged] = (),
) -> Evaluation:
    """The clusters of a production against the label files of its videos; people are shared by name across files.

    A label file belongs to the video of the same file name (of the same stem, where it names none with a suffix), of
    several to the one with whose path most folders agree, or, if there is one of each, to that: `notes` tells where
    names differ. rounds: the run's coarse matches (`rounds.read_rounds`). Tracks of videos without labels are left out
    and counted. Raises LabelError where a file belongs to no video or to several, where two belong to one, or where the
    sizes or the numbers of the pictures differ.
    """
    by_video = assign(labels, track_set.videos)
    matches = match_tracks(track_set.faces, by_video, track_set.n_tracks, track_set.tracks.video)
    matched = np.array([name is not None for name in matches.identity], bool)
    predicted = clusters.labels[matched]
    true = np.array([name for name in matches.identity if name is not None], np.str_)
    known = predicted != UNKNOWN
    names = sorted({name for one in labels for name in one.identities})
    people = [_person(name, predicted, true) for name in names]
    return Evaluation(
        with_unknown=score(predicted, true),
        without_unknown=score(predicted[known], true[known]),
        coverage=_share(known.sum(), len(known)),
        tracks=track_set.n_tracks,
        matched=int(matched.sum()),
        ignored=int(matches.ignored.sum()),
        unmatched=int(matches.unmatched.sum()),
        unlabelled=int(matches.unlabelled.sum()),
        boxes=matches.boxes,
        box_coverage=_share(len(matches.face_track), matches.boxes),
        box_coverage_known=_share((clusters.labels[matches.face_track] != UNKNOWN).sum(), matches.boxes),
        mixed_tracks=_mixed_tracks(track_set, matches),
        identity_switches=_switches(matches),
        cuts=_cuts(track_set.shots, by_video, cut_tolerance),
        people=people,
        mixed_clusters=_mixed_clusters(predicted, true),
        missed=[p.name for p in people if not p.tracks],
        notes=renamed(by_video, track_set.videos),
        last_round=score_rounds(rounds[-1:], matches.identity)[0] if rounds else None,
    )


def _mixed_tracks(track_set: TrackSet, matches: Matches) -> list[MixedTrack]:
    """Tracks with two people in more than two frames and a tenth of their matched frames each: fewer is a box that
    strays onto a neighbour, at the end of a shot or where faces cross, and changes neither the crops nor the mean."""
    mixed = []
    for track, followed in enumerate(
        Ragged.from_group_ids(matches.face_identity, matches.face_track, track_set.n_tracks)
    ):
        names, counts = np.unique(followed, return_counts=True)
        if (counts > max(2, 0.1 * counts.sum())).sum() > 1:
            row = track_set.tracks[track : track + 1]
            frames = dict(zip(names.tolist(), counts.tolist(), strict=True))
            mixed.append(MixedTrack(track, int(row.video[0]), int(row.start[0]), int(row.stop[0]), frames))
    return mixed


def _switches(matches: Matches) -> int:
    same_track = matches.face_track[1:] == matches.face_track[:-1]
    return int((same_track & (matches.face_identity[1:] != matches.face_identity[:-1])).sum())


def _person(name: str, predicted: NDArray[np.int32], true: NDArray[np.str_]) -> Person:
    own = predicted[true == name]
    clusters = _counts(own[own != UNKNOWN].tolist())
    mostly = []
    for cluster in clusters:
        people = _counts(true[predicted == cluster].tolist())
        if people[name] == max(people.values()):
            mostly.append(cluster)
    inside = np.isin(predicted, mostly)
    return Person(
        name=name,
        tracks=len(own),
        unknown=int((own == UNKNOWN).sum()),
        clusters=clusters,
        mostly=sorted(mostly),
        purity=_share((true[inside] == name).sum(), inside.sum()),
    )


def _mixed_clusters(predicted: NDArray[np.int32], true: NDArray[np.str_]) -> list[MixedCluster]:
    found = ((int(c), _counts(true[predicted == c].tolist())) for c in np.unique(predicted[predicted != UNKNOWN]))
    return [MixedCluster(cluster, people) for cluster, people in found if len(people) > 1]


def _cuts(shots: Shots, labels: Mapping[int, Labels], tolerance: int) -> CutScores | None:
    with_shots = {video: one for video, one in labels.items() if one.shots}
    if not with_shots:
        return None
    right = n_true = n_predicted = 0
    for video, one in with_shots.items():
        true = sorted({s.start for s in one.shots[1:]} - set(one.false_cuts))
        predicted = sorted(int(start) for start in shots.start[shots.video == video])[1:]
        used = _within(true, predicted, tolerance)
        unjudged = [p for p in predicted if any(abs(p - d) <= DISSOLVE_REACH for d in one.dissolves)]
        n_true += len(true)
        n_predicted += len(predicted) - len(set(unjudged) - used)
        right += len(used)
    precision, recall = _share(right, n_predicted), _share(right, n_true)
    f = _share(2 * right, n_predicted + n_true)
    return CutScores(n_true, n_predicted, right, precision, recall, f)


def _within(true: Sequence[int], predicted: Sequence[int], tolerance: int) -> set[int]:
    """The predicted cuts that find a labelled one, each at most one: earliest to earliest, which finds the most."""
    used: set[int] = set()
    waiting = list(predicted)
    for frame in true:
        while waiting and waiting[0] < frame - tolerance:
            waiting.pop(0)
        if waiting and waiting[0] <= frame + tolerance:
            used.add(waiting.pop(0))
    return used


def _counts(values: Sequence[Any]) -> dict[Any, int]:
    """How often each occurs, most first."""
    keys, counts = np.unique(np.array(values), return_counts=True)
    return {keys[i].item(): int(counts[i]) for i in np.lexsort((np.arange(len(keys)), -counts))}


def _share(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else math.nan


def table(evaluation: Evaluation) -> Table:
    """The evaluation for a person: the scores, then who is split or mixed, and under it the notes."""
    e = evaluation
    out = Table("", "Unknown as errors", "without Unknown", title="Against the labels", title_justify="left")
    rows = {
        "weighted cluster purity (WCP)": "wcp",
        "predicted cluster ratio (PCR)": "pcr",
        "NMI": "nmi",
        "ARI": "ari",
        "B-cubed precision": "bcubed_precision",
        "B-cubed recall": "bcubed_recall",
        "B-cubed F": "bcubed_f",
        "pairwise precision": "pair_precision",
        "pairwise recall": "pair_recall",
        "pairwise F": "pair_f",
    }
    for title, key in rows.items():
        out.add_row(title, *(_number(getattr(scores, key)) for scores in (e.with_unknown, e.without_unknown)))
    left_out = f"{e.ignored} ignored, {e.unmatched} unmatched, {e.unlabelled} in videos without labels"
    out.add_section()
    out.add_row("tracks", f"{e.matched} matched of {e.tracks}", left_out)
    out.add_row("tracks not Unknown", _number(e.coverage))
    known = f"{_number(e.box_coverage_known)} by tracks not Unknown"
    out.add_row("labelled faces covered", f"{_number(e.box_coverage)} by any track", known)
    out.add_row("tracks that mix people", str(len(e.mixed_tracks)), f"{e.identity_switches} identity switches")
    if m := e.last_round:
        found = f"precision {_number(m.precision)}, recall {_number(m.recall)}"
        out.add_row("coarse matches, last round", f"{m.matches} {'pair' if m.matches == 1 else 'pairs'}", found)
    if e.cuts:
        out.add_row("cuts F", _number(e.cuts.f), f"{e.cuts.right} right, {e.cuts.predicted} found of {e.cuts.labelled}")
    out.add_section()
    for person in e.people:
        went = ", ".join(f"{count} in {cluster}" for cluster, count in person.clusters.items())
        unknown = [f"{person.unknown} Unknown"] if person.unknown else []
        spread = "; ".join([*([went] if went else []), *unknown]) or "not found"
        out.add_row(person.name, f"{person.tracks} tracks: {spread}", f"purity {_number(person.purity)}")
    if e.mixed_clusters:
        out.add_section()
    for mixed in e.mixed_clusters:
        out.add_row(f"cluster {mixed.cluster} mixes", ", ".join(f"{name} {n}" for name, n in mixed.people.items()))
    if e.notes:
        # Text: in a plain string Rich would take a file name's brackets for markup.
        out.caption, out.caption_justify = Text("\n".join(f"Note: {note}" for note in e.notes)), "left"
    return out


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences as JSON has them; None for NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value
