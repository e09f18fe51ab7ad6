"""The answer in a run directory, corrected at once: `clusters.json` and `tracks.parquet` anew from what clustering has
left, without clustering again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.answer import TRACKS
from vcn_trt.cluster import people
from vcn_trt.corrections.apply import apply
from vcn_trt.corrections.bound import Bound
from vcn_trt.corrections.names import names_of
from vcn_trt.run import write_text
from vcn_trt.types import Clusters, Tracks, TrackSet

GROUPED = ".work/grouped.npz"


@dataclass(frozen=True, eq=False)
class Grouped:
    """What clustering has found. labels, status: (n_tracks,) with the corrections `held`; free_labels, free_status:
    without any, on which they can be applied when one of `held` is taken back."""

    labels: NDArray[np.int32]
    status: NDArray[np.str_]
    free_labels: NDArray[np.int32]
    free_status: NDArray[np.str_]
    held: tuple[str, ...] = ()

    def corrected(self, bound: Bound) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
        """(n_tracks,) labels and status that agree with the corrections."""
        if set(self.held) <= set(bound.state.applied):
            return apply(self.labels, self.status, bound.state)
        return apply(self.free_labels, self.free_status, bound.state)


def save_grouped(path: Path, grouped: Grouped) -> None:
    store.replace_npz(path, {k: np.array(v, np.str_) if k == "held" else v for k, v in vars(grouped).items()})


def read_grouped(folder: Path, tracks: TrackSet) -> Grouped:
    """Of a run directory; of one without, as of an older version, the answer itself."""
    arrays = store.read_npz(folder / GROUPED)
    if arrays is not None and set(arrays) == set(Grouped.__annotations__):
        held = tuple(arrays.pop("held").tolist())
        found = Grouped(**arrays, held=held)
        if len(found.labels) == tracks.n_tracks:
            return found
    labels, status = tracks.tracks.cluster, tracks.tracks.status
    found = Grouped(labels, status, labels, status)
    save_grouped(folder / GROUPED, found)
    return found


def write_answer(
    folder: Path,
    tracks: TrackSet,
    table: Tracks,
    clusters: Clusters,
    bound: Bound,
    earlier: Mapping[str, Any] | None = None,
) -> tuple[list[str], dict[str, Any]]:
    """Both files into a folder, from labels that agree with the corrections. table: with its status; earlier: as of
    `people.to_json`. -> what is to be told of names, and what `clusters.json` holds"""
    names, told = names_of(clusters.labels, bound.state.names)
    labelled = table.with_columns(cluster=clusters.labels)
    store.write_table(folder / TRACKS, [labelled], Tracks)
    answer = people.to_json(tracks, labelled, clusters, names, bound.state.applied, earlier)
    write_text(folder / people.FILE, json.dumps(answer, ensure_ascii=False) + "\n")
    return told, answer


def correct(
    folder: Path, tracks: TrackSet, grouped: Grouped, bound: Bound, known: people.Read | None = None
) -> tuple[list[str], people.Read]:
    """The answer of a run directory anew. known: as of `people.read_again`. -> what is to be told, and the answer"""
    labels, status = grouped.corrected(bound)
    before = people.read_again(folder, known).tree
    clusters = people.relabelled(people.from_json(before), labels)
    aside = folder / ".work" / "corrected"
    aside.mkdir(exist_ok=True)
    told, answer = write_answer(aside, tracks, tracks.tracks.with_columns(status=status), clusters, bound, before)
    for name in (TRACKS, people.FILE):
        os.replace(aside / name, folder / name)
    aside.rmdir()
    return told, people.Read(answer, store.stamp(folder / people.FILE))
