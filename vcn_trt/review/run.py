"""A run under review: its film read once, its answer anew whenever it has changed, by this window, another, or a
command."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcn_trt import cast, media, store
from vcn_trt.answer import TRACKS
from vcn_trt.cluster import people
from vcn_trt.config import load
from vcn_trt.corrections import edit, log, words
from vcn_trt.corrections.event import EDITS, Event
from vcn_trt.corrections.suggest import VECTORS, ranked
from vcn_trt.errors import RunError, UsageError, VcnError
from vcn_trt.report import checks, gather, page, pictures
from vcn_trt.report.embedding_map import embedding_map
from vcn_trt.review import still
from vcn_trt.review.asked import edit_of
from vcn_trt.run import read_record
from vcn_trt.types import UNKNOWN, Embeddings, Tracks

FILM = ("shots.parquet", "faces.parquet", "crops.parquet", "crops.npy")
ANSWER = (TRACKS, people.FILE, log.FILE)
LISTED = 200
"""Corrections that the page lists, the last ones; all of them are in the file."""

PAIRS = 100
"""Suggestions at a time."""


class Review:
    """What the pages of a run show, and its corrections. Threads take turns. Raises VcnError, as each method may."""

    def __init__(self, folder: Path, videos: Path | None = None) -> None:
        """videos: the folder that they are in now, None for where the run found them."""
        self.folder, self.videos = folder, videos
        self.edited = False
        self._turn = threading.RLock()
        self._stills = still.Stills()
        self._vectors: tuple[Any, Embeddings] | None = None
        self._map: tuple[Any, dict[str, Any]] | None = None
        self._stamps: tuple[Any, ...] = ()
        self._written: people.Read | None = None
        self._read()

    def whole(self) -> dict[str, Any]:
        """What a page begins with."""
        with self._turn:
            self._refresh()
            # The map takes seconds: it is asked for where it is looked at.
            data = {"schema": gather.SCHEMA, **self._film, **self._answer, "map": None}
            data["tracks"] = self._film["tracks"] | self._answer["tracks"]
            return {"data": data, "run": gather.run_facts(self._record), "review": self._review()}

    def since(self, version: str) -> dict[str, Any] | None:
        """What is another than in the version that a page shows; None where nothing is."""
        with self._turn:
            self._refresh()
            return None if version == self.version else self._changed()

    @property
    def version(self) -> str:
        return hashlib.sha256(repr(self._stamps).encode()).hexdigest()[:16]

    def correct(self, asked: Any) -> dict[str, Any]:
        """Append an edit, as a page asks for it, and apply it. -> what has changed"""
        with self._turn:
            self._refresh()
            wanted = edit_of(asked, self._everyone())
            return self._done(edit.append(self.folder, wanted, self._opened()))

    def turn(self, kind: str, asked: Any) -> dict[str, Any]:
        """Undo or redo the correction of an id."""
        id = asked.get("id") if isinstance(asked, dict) else None
        if not isinstance(id, str) or not id:
            raise UsageError(f"{kind} which correction? Expected its id, found {asked!r}")
        with self._turn:
            self._refresh()
            change = edit.undo if kind == "undo" else edit.redo
            return self._done(change(self.folder, id, self._opened()))

    def suggestions(self) -> list[dict[str, Any]]:
        """Who may be one person, the likeliest first, by the nearest tracks of both."""
        with self._turn:
            self._refresh()
            tracks, vectors = self._tracks, self._embeddings()
            state, config = self._bound.state, load(self.folder / "config.toml").cluster
        if vectors is None:
            raise RunError(f"{self.folder / VECTORS} is gone, and likeness is told by it: run `vcn run` here again")
        crops = vectors.base if vectors.adapted is None else vectors.adapted
        return [vars(pair) for pair in ranked(tracks, crops, state, config, PAIRS)]

    def map(self) -> dict[str, Any]:
        """The tracks on a plane; seconds the first time."""
        with self._turn:
            self._refresh()
            key, tracks, vectors = self._vectors_key(), self._tracks, self._embeddings()
        if self._map is None or self._map[0] != key:
            self._map = key, embedding_map(tracks, vectors, self.folder / page.KEEP)
        return self._map[1]

    def picture(self, track: int, frame: int) -> bytes:
        """The track's crop that is nearest to a frame, as WebP."""
        tracks = self._tracks
        row = pictures.nearest(tracks, track, frame)
        if row is None:
            raise UsageError(f"there is no picture of track {track} in this run")
        return pictures.encoded(tracks.images[row], 80)

    def still(self, track: int, frame: int) -> bytes:
        """A frame of the video with the faces in it, the track's marked, as JPEG. Raises RunError where the video is
        not where it was, VideoError where it cannot be decoded."""
        with self._turn:
            tracks, labels, names = self._tracks, self._labels, self._names
        if not 0 <= track < tracks.n_tracks:
            raise UsageError(f"there is no track {track} in this run; expected 0 to {tracks.n_tracks - 1}")
        clip = self._clips[int(tracks.tracks.video[track])]
        if not 0 <= frame < clip.video.frames:
            raise UsageError(f"there is no frame {frame} in {clip.name}; expected 0 to {clip.video.frames - 1}")
        path = media.place(self._record, clip.video, self.videos)
        picture = self._stills.at(path, clip.seconds(frame), 0.5 / float(clip.video.fps))
        faces = tracks.faces[(tracks.faces.frame == frame) & (tracks.faces.video == clip.video.id)]
        return still.jpeg(picture, faces, track, labels, names)

    def look_in(self, asked: Any) -> dict[str, Any]:
        """The videos are in another folder now."""
        folder = asked.get("folder") if isinstance(asked, dict) else None
        if not isinstance(folder, str) or not folder.strip():
            raise UsageError("which folder are the videos in now?")
        path = Path(folder.strip()).expanduser()
        if not path.is_dir():
            raise UsageError(f"there is no folder {path} on this machine; expected the one that the videos are in now")
        self.videos = path
        return {"media": str(path)}

    def close(self) -> None:
        self._stills.close()

    def _read(self) -> None:
        """Everything anew. Raises VcnError where the run cannot be read."""
        self._stamps = self._stamps_now()
        opened = edit.open_run(self.folder)
        self._tracks, self._binder = opened.tracks, opened.binder
        self._clips = media.of(self._tracks)
        self._facts: dict[bytes, dict[str, Any]] = {}
        self._film = gather.film(self._tracks)
        frames = self._tracks.tracks.representative_frame
        pictured = np.unique(self._tracks.crops.track).tolist()
        self._film["pictures"] = {track: address(track, int(frames[track])) for track in pictured}
        self._read_answer()

    def _read_answer(self) -> None:
        self._record = read_record(self.folder)
        self._written = people.read_again(self.folder, self._written)
        found, names = people.from_json(self._written.tree), cast.named(self._written.tree)
        tracks = replace(self._tracks, tracks=store.read_table(self.folder / TRACKS, Tracks))
        if len(found.labels) != tracks.n_tracks:
            raise RunError(f"{self.folder / people.FILE} has {len(found.labels)} tracks, its tables {tracks.n_tracks}")
        self._tracks, self._labels, self._names = tracks, found.labels, names
        told = checks.check(tracks, found, gather.faceless_quality(self._record)).tree
        self._answer = gather.answer(tracks, found, names, self._of_person) | {"checks": told}
        self._log = log.read(self.folder)
        self._bound = self._binder.bound(self._log)

    def _of_person(self, own: NDArray[np.int64]) -> dict[str, Any]:
        """What the pages tell of the person with these tracks; an edit leaves most people as they were."""
        key = own.tobytes()
        if key not in self._facts:
            row, crops = pictures.cover_row(self._tracks, own), self._tracks.crops
            face = None
            if row is not None:
                track, frame = int(crops.track[row]), int(crops.frame[row])
                face = {"track": track, "frame": frame, "source": address(track, frame)}
            self._facts[key] = gather.facts_of(self._tracks, own) | {"cover": face}
        return self._facts[key]

    def _refresh(self) -> None:
        """Read what has changed; what cannot be read, as while a command works in the run, stays as it was."""
        now, before = self._stamps_now(), self._stamps
        if now == before:
            return
        try:
            if now[: len(FILM)] != before[: len(FILM)]:
                self._read()
            else:
                self._read_answer()
                self._stamps = now
        except VcnError:
            self._stamps = before

    def _stamps_now(self) -> tuple[Any, ...]:
        return tuple(store.stamp(self.folder / name) for name in (*FILM, *ANSWER))

    def _opened(self) -> edit.Opened:
        return edit.Opened(self._tracks, self._binder, self._written)

    def _everyone(self) -> list[set[int]]:
        """The tracks of each person."""
        number = np.array(self._answer["tracks"]["person"])
        return [set(np.flatnonzero(number == n).tolist()) for n in np.unique(number[number != UNKNOWN]).tolist()]

    def _done(self, made: edit.Corrected) -> dict[str, Any]:
        self.edited, self._written = True, made.answer
        self._refresh()
        return self._changed() | {"did": _row(made.event, ""), "told": list(made.told)}

    def _changed(self) -> dict[str, Any]:
        return {"answer": self._answer, "review": self._review()}

    def _review(self) -> dict[str, Any]:
        """What the pages need for correcting."""
        holds, undone = set(self._bound.state.applied), self._log.undone
        edits = [event for event in self._log.events if event.kind in EDITS]
        state = {e.id: "undone" if e.id in undone else "holds" if e.id in holds else "not applied" for e in edits}
        last = max(undone, key=undone.__getitem__, default=None)
        standing = [e for e in edits if e.id not in undone]
        return {
            "version": self.version,
            "film": hashlib.sha256(repr(self._stamps[: len(FILM)]).encode()).hexdigest()[:16],
            "read_only": edit.unwritable(self.folder),
            "corrections": [_row(event, state[event.id]) for event in edits[-LISTED:]],
            "left_out": max(0, len(edits) - LISTED),
            "told": list(self._bound.told),
            "undo": _row(standing[-1], "holds") if standing else None,
            "redo": next((_row(e, "undone") for e in edits if e.id == last), None),
            "media": str(self.videos) if self.videos else "",
        }

    def _vectors_key(self) -> tuple[Any, ...]:
        return (store.stamp(self.folder / VECTORS), *self._stamps[: len(FILM)])

    def _embeddings(self) -> Embeddings | None:
        key = self._vectors_key()
        if self._vectors is None or self._vectors[0] != key:
            found = store.find_embeddings(self.folder / VECTORS)
            if found is None:
                return None
            self._vectors = key, found
        return self._vectors[1]


def address(track: int, frame: int) -> str:
    """Of a crop, on the server."""
    return f"picture/{track}/{frame}"


def _row(event: Event, state: str) -> dict[str, str]:
    says = words.says(event)
    return {"id": event.id, "time": event.time, "kind": event.kind, "says": says, "state": state}
