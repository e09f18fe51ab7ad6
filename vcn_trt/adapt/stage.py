"""The adaptation of a run (sections 3.4 and 3.5): views of its crops, the head's start, rounds of matching and
training, and what it leaves: the adapted vectors and the model."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcn_trt import store
from vcn_trt.adapt import model as models
from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.heads import Head, mlp_head, whitened_head
from vcn_trt.adapt.match import find_matches
from vcn_trt.adapt.model import Adapted, MetricHead
from vcn_trt.adapt.split import Trains, Views, chosen, open_views
from vcn_trt.adapt.train import Matcher, Progress, adapt
from vcn_trt.backends.base import Backend, Network
from vcn_trt.config import AdaptConfig, MatchConfig
from vcn_trt.embed import Base
from vcn_trt.errors import ModelError
from vcn_trt.overlap import cores
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.rounds import MATCHES, write_rounds
from vcn_trt.run import Desk, Stage
from vcn_trt.types import PLAIN, BaseVectors, Crops, Embeddings, Faces, Images, TrackSet
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.export import cached_onnx, content_hash

VECTORS = "embeddings.npz"
MODEL = f"model/{models.WEIGHTS}"
ONNX = f"model/{models.ONNX}"
VIEWS = ".work/views.npy"

_AT_ONCE = 4
"""Crops a call of the network on a CPU: more are no faster."""


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What clustering reads. views: (n_views, n_crops, d) float16, the teacher's unit vectors of every view, the crop
    and its mirror image first, NaN for rejected crops; model: the file of the adapted model."""

    vectors: Embeddings
    views: NDArray[np.float16]
    model: Path

    def head(self) -> MetricHead:
        return models.read_head(self.model)


@dataclass(frozen=True)
class Given:
    """The adapted model that a config names, of another run."""

    path: Path
    identity: str


def open_given(name: str) -> Given | None:
    """The model of `adapt.model`: a run directory or the file itself. Raises ModelError where it is not there."""
    if not name:
        return None
    path = Path(name)
    path = path / MODEL if path.is_dir() else path
    try:
        return Given(path, hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise ModelError(
            f"adapt.model names {name}, and {path} cannot be read ({error.strerror}): give the directory of a finished "
            "run that was adapted, or its model/adapted.safetensors"
        ) from error


def adapt_run(
    desk: Desk,
    tracks: TrackSet,
    base: Base,
    given: Given | None,
    vectors: BaseVectors,
    backend: Backend,
    config: AdaptConfig,
    match: MatchConfig,
    seed: int,
) -> dict[str, Any]:
    """Adapt the base to the tracks that are fit for it, and leave the vectors of all kept crops. -> facts"""
    kept = np.flatnonzero(tracks.crops.kept)
    groups = _fit(tracks, kept)
    rounds: list[Ragged] = []

    def matcher(z: NDArray[np.float32]) -> Ragged:
        return find_matches(z, groups, backend.ops, match)

    if given is not None:
        adapted, z, student, facts = _taken(desk, tracks, kept, base, given, backend, config, seed)
    elif len(groups.values):
        adapted, z, student, rounds, facts = _trained(desk, tracks, kept, groups, base, matcher, backend, config, seed)
    else:
        adapted, z = _untouched(base, config, seed), np.zeros((PLAIN, len(kept), base.manifest.dim), np.float32)
        student, facts = None, {"trains": "nothing: no track is fit for it"}
    rounds.append(matcher(z))
    for folder in ("model", ".work"):
        (desk.folder / folder).mkdir()
    models.save(desk.folder / MODEL, adapted, base.torch, base.identity, config)
    models.export(desk.folder / ONNX, adapted)
    _write(desk.folder, tracks, vectors, kept, z, student)
    write_rounds(desk.folder / MATCHES, rounds)
    return facts | {"tracks": int((groups.counts > 0).sum()), "matches": len(rounds[-1].values)}


def keep_base(desk: Desk, vectors: BaseVectors) -> dict[str, Any]:
    """No adaptation: the base's vectors are what there is. -> facts"""
    store.write_embeddings(desk.folder / VECTORS, Embeddings(vectors.vectors))
    return {"trains": "nothing, as configured"}


def load(folder: Path, facts: dict[str, Any]) -> Adaptation:
    return Adaptation(store.read_embeddings(folder / VECTORS), np.load(folder / VIEWS, mmap_mode="r"), folder / MODEL)


def load_base(folder: Path, facts: dict[str, Any]) -> Adaptation:
    return Adaptation(store.read_embeddings(folder / VECTORS), np.zeros((0, 0, 0), np.float16), folder / MODEL)


ADAPT = Stage("adapt", 1, (VECTORS, VIEWS, MATCHES, MODEL, ONNX), adapt_run, load)
NO_ADAPT = Stage("adapt", 1, (VECTORS,), keep_base, load_base)


def _fit(tracks: TrackSet, kept: NDArray[np.int64]) -> Ragged:
    """The places among the kept crops of those that train, a group a track: none of a track that is Unknown."""
    track = tracks.crops.track[kept]
    place = np.flatnonzero(tracks.tracks.status[track] == "ok")
    return Ragged.from_group_ids(place, track[place], tracks.n_tracks)


def _trained(
    desk: Desk,
    tracks: TrackSet,
    kept: NDArray[np.int64],
    groups: Ragged,
    base: Base,
    matcher: Matcher,
    backend: Backend,
    config: AdaptConfig,
    seed: int,
) -> tuple[Adapted, NDArray[np.float32], NDArray[np.float32] | None, list[Ragged], dict[str, Any]]:
    """The adapted model, its unit vectors (n_views, n_kept, d), the student's where it is another, each round's matches
    and facts."""
    trains = chosen(config.trains, torch.device(backend.torch_device))
    views = _views(desk, tracks, kept, base, base.network, trains, backend, config, seed)
    generator = torch.Generator().manual_seed(seed)
    if config.head == "mlp":
        head = mlp_head(base.manifest.dim, config.outputs, generator)
    else:
        with torch.no_grad():
            untrained = Branch(base.torch, _untouched(base, config, seed).head, trains)
            plain = look(untrained.to(views.device), views, seed, "base").cpu()
        head = whitened_head(plain, groups, config.outputs, config.shrink, generator)

    def told(now: Progress) -> None:
        what = f"steps, round {now.round} of {now.rounds}, loss {now.loss:.2f}, {now.matches} matches"
        desk.progress(now.step, now.steps, what)

    trained = adapt(views, head, groups, matcher, config, seed, desk.unfinished, told)
    teacher = trained.teacher
    z = look(teacher, views, seed, "head").cpu().numpy()
    alone = trained.student is teacher
    student = None if alone else look(trained.student, views, seed, "head", PLAIN).cpu().numpy()
    facts: dict[str, Any] = {
        "trains": trains,
        "views": views.n_views,
        "rounds": [{"matches": r.matches, "loss": round(r.loss, 4)} for r in trained.rounds],
        "warnings": list(trained.notes),
    }
    if trained.fell_back:
        facts["warnings"].append(f"{trained.fell_back}: the answer stands on the start, which was not trained")
        facts["fell_back"] = trained.fell_back
    return models.of_trained(trained, config), z, student, list(trained.matched), facts


def _taken(
    desk: Desk,
    tracks: TrackSet,
    kept: NDArray[np.int64],
    base: Base,
    given: Given,
    backend: Backend,
    config: AdaptConfig,
    seed: int,
) -> tuple[Adapted, NDArray[np.float32], NDArray[np.float32] | None, dict[str, Any]]:
    """The model of another run on this one's crops."""
    adapted = models.load(given.path, base.torch, base.identity)
    facts = {"trains": "nothing: the model is given", "model": str(given.path)}
    if not len(kept):
        return adapted, np.zeros((PLAIN, 0, adapted.head.prototypes.shape[1]), np.float32), None, facts

    def seen(by: FaceBase, head: Head) -> NDArray[np.float32]:
        network = base.network if _same_weights(by, base.torch) else backend.open_network(cached_onnx(by))
        views = _views(desk, tracks, kept, replace(base, torch=by), network, "head", backend, config, seed)
        return look(Branch(by, head, "head").to(views.device), views, seed, "head").cpu().numpy()

    z = seen(adapted.base, adapted.head)
    alone = torch.equal(adapted.student_head.prototypes, adapted.head.prototypes)
    return adapted, z, None if alone else seen(adapted.student_base, adapted.student_head)[:PLAIN], facts


def _untouched(base: Base, config: AdaptConfig, seed: int) -> Adapted:
    """The base as it comes, under a head that changes nothing."""
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(1, np.int64))
    generator = torch.Generator().manual_seed(seed)
    head = whitened_head(torch.zeros(1, 0, base.manifest.dim), nothing, config.outputs, config.shrink, generator)
    centre = torch.zeros(config.outputs)
    return Adapted(base.torch, head, base.torch, head, centre, config.tau_student, config.tau_teacher)


def _views(
    desk: Desk,
    tracks: TrackSet,
    kept: NDArray[np.int64],
    base: Base,
    network: Network,
    trains: Trains,
    backend: Backend,
    config: AdaptConfig,
    seed: int,
) -> Views:
    """The kept crops in all their views, through the frozen part of the base on the backend's network. What a head
    alone trains on is kept: another training need not make it again."""
    sides = _sides(tracks.faces, tracks.crops)[kept] if config.footage_sizes else None
    images, device = _Rows(tracks.images, kept), torch.device(backend.torch_device)
    if trains != "head":
        return _opened(desk, images, sides, base, network, trains, device, config, seed)
    parts = [content_hash(base.torch), config.views, seed, [images.digest(), None if sides is None else sides.tolist()]]
    path = desk.keep / f"views-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}.npz"
    kept_before = store.read_npz(path)
    if kept_before is not None:
        return Views.cached(base.torch, "head", torch.from_numpy(kept_before["values"]).to(device))
    views = _opened(desk, images, sides, base, network, trains, device, config, seed)
    for old in desk.keep.glob("views-*.npz"):
        old.unlink()
    store.replace_npz(path, {"values": views.content.cpu().numpy()})
    return views


def _opened(
    desk: Desk,
    images: Images,
    sides: NDArray[np.float32] | None,
    base: Base,
    network: Network,
    trains: Trains,
    device: torch.device,
    config: AdaptConfig,
    seed: int,
) -> Views:
    output = "features" if trains == "last" else "embedding"
    with ThreadPoolExecutor(cores(), thread_name_prefix="network") as pool:

        def frozen(x: Tensor) -> Tensor:
            some = [x[i : i + _AT_ONCE].numpy() for i in range(0, len(x), _AT_ONCE)]
            found = pool.map(lambda crops: network({"input": crops})[output], some)
            return torch.cat([torch.as_tensor(y) for y in found])

        def told(done: int, total: int) -> None:
            desk.progress(done, total, "crops")

        on_cpu = frozen if device.type == "cpu" else None
        return open_views(base.torch, images, sides, trains, config.views, seed, device, on_cpu, told)


class _Rows:
    """Some of the pictures, in order."""

    def __init__(self, images: Images, rows: NDArray[np.int64]) -> None:
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return self.images[self.rows[rows]]

    def digest(self) -> str:
        """sha256 of them."""
        digest = hashlib.sha256()
        for i in range(0, len(self), 256):
            digest.update(np.ascontiguousarray(self[i : i + 256]).data)
        return digest.hexdigest()


def _same_weights(one: FaceBase, other: FaceBase) -> bool:
    mine, its = one.state_dict(), other.state_dict()
    return all(torch.equal(mine[k], its[k]) for k in its)


def _sides(faces: Faces, crops: Crops) -> NDArray[np.float32]:
    """The shorter side of each crop's face box, in pixels of the picture. (n_crops,)"""
    first = np.searchsorted(faces.track, crops.track)
    rows = first + (crops.frame - faces.frame[first])  # a track has a face in every frame, interpolated or seen
    size = faces.box[rows, 2:] - faces.box[rows, :2]
    return np.asarray(size.min(1), np.float32)


def _write(
    folder: Path,
    tracks: TrackSet,
    vectors: BaseVectors,
    kept: NDArray[np.int64],
    z: NDArray[np.float32],
    student: NDArray[np.float32] | None,
) -> None:
    def of_crops(views: NDArray[np.float32]) -> NDArray[np.float32]:
        """A crop is the mean of itself and its mirror image. (n_crops, d), of length one"""
        middle = views[:PLAIN].mean(0)
        rows = np.full((len(tracks.crops), middle.shape[1]), np.nan, np.float32)
        rows[kept] = unit_rows(middle)
        return rows

    every = np.full((len(z), len(tracks.crops), z.shape[2]), np.nan, np.float16)
    every[:, kept] = z
    np.save(folder / VIEWS, every)
    other = None if student is None else of_crops(student)
    store.write_embeddings(folder / VECTORS, Embeddings(vectors.vectors, of_crops(z), other))
