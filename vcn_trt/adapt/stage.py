"""The adaptation of a run (sections 3.4 and 3.5): views of its crops, the head's start, rounds of matching and
training, and what it leaves: the adapted vectors and the model."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vcn_trt import store
from vcn_trt.adapt import model as models
from vcn_trt.adapt.branch import Branch, look
from vcn_trt.adapt.footage import Kept, views_of
from vcn_trt.adapt.heads import Head, mlp_head, whitened_head
from vcn_trt.adapt.match import find_matches
from vcn_trt.adapt.model import Adapted, MetricHead
from vcn_trt.adapt.refit import CROPS, fitted, running
from vcn_trt.adapt.split import Views, chosen
from vcn_trt.adapt.train import Matcher, Progress, adapt
from vcn_trt.backends.base import Backend, Network
from vcn_trt.config import AdaptConfig, MatchConfig
from vcn_trt.embed import Base
from vcn_trt.errors import ModelError
from vcn_trt.known import Known
from vcn_trt.ragged import Ragged, unit_rows
from vcn_trt.rounds import MATCHES, write_rounds
from vcn_trt.run import Desk, Stage
from vcn_trt.types import PLAIN, BaseVectors, Embeddings, TrackSet
from vcn_trt.zoo.base import FaceBase

VECTORS = "embeddings.npz"
MODEL = f"model/{models.WEIGHTS}"
ONNX = f"model/{models.ONNX}"
VIEWS = ".work/views.npy"


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
    known: Known | None = None,
) -> dict[str, Any]:
    """Adapt the base to the tracks that are fit for it, and leave the vectors of all kept crops. known: who is who, by
    hand. -> facts"""
    known = known or Known.nothing(tracks.n_tracks)
    kept = np.flatnonzero(tracks.crops.kept)
    groups = _fit(tracks, kept, known)
    rounds: list[Ragged] = []

    def matcher(z: NDArray[np.float32]) -> Ragged:
        return known.matched(find_matches(z, groups, backend.ops, match), groups.counts > 0)

    if given is not None:
        adapted, z, student, facts = _taken(desk, tracks, kept, base, given, backend, config, seed)
    elif len(groups.values):
        of_person = known.joined(groups)
        adapted, z, student, rounds, facts = _trained(
            desk, tracks, kept, groups, of_person, base, matcher, backend, config, seed
        )
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


ADAPT = Stage("adapt", 2, (VECTORS, VIEWS, MATCHES, MODEL, ONNX), adapt_run, load)
NO_ADAPT = Stage("adapt", 1, (VECTORS,), keep_base, load_base)


def _fit(tracks: TrackSet, kept: NDArray[np.int64], known: Known) -> Ragged:
    """The places among the kept crops of those that train, a group a track: none of a track that is Unknown."""
    track = tracks.crops.track[kept]
    place = np.flatnonzero((tracks.tracks.status[track] == "ok") & ~known.no_face[track])
    return Ragged.from_group_ids(place, track[place], tracks.n_tracks)


def _trained(
    desk: Desk,
    tracks: TrackSet,
    kept: NDArray[np.int64],
    groups: Ragged,
    of_person: Ragged,
    base: Base,
    matcher: Matcher,
    backend: Backend,
    config: AdaptConfig,
    seed: int,
) -> tuple[Adapted, NDArray[np.float32], NDArray[np.float32] | None, list[Ragged], dict[str, Any]]:
    """The adapted model, its unit vectors (n_views, n_kept, d), the student's where it is another, each round's matches
    and facts. of_person: the same crops as `groups`, tracks that are known to be one person in one group: what varies
    within it varies while the face stays the same."""
    device = torch.device(backend.torch_device)
    trains, images = chosen(config.trains, device), Kept(tracks, kept)
    views = views_of(desk, images, base.torch, base.network, trains, device, config, seed)
    generator = torch.Generator().manual_seed(seed)
    if config.head == "mlp":
        head = mlp_head(base.manifest.dim, config.outputs, generator)
    else:
        untrained = Branch(base.torch, _untouched(base, config, seed).head, trains).placed(device)
        plain = look(untrained, views, seed, "base").cpu()
        head = whitened_head(plain, of_person, config.outputs, config.shrink, generator)

    def told(now: Progress) -> None:
        what = f"steps, round {now.round} of {now.rounds}, loss {now.loss:.2f}, {now.matches} matches"
        desk.progress(now.step, now.steps, what)

    trained = adapt(views, head, groups, matcher, config, seed, desk.unfinished, told)
    z, said = _looked(trained.teacher, views, base, images, seed, views.n_views)
    alone, student, more = trained.student is trained.teacher, None, said
    if not alone:
        student, more = _looked(trained.student, views, base, images, seed, PLAIN)
    facts: dict[str, Any] = said | {
        "trains": trains,
        "views": views.n_views,
        "rounds": [{"matches": r.matches, "loss": round(r.loss, 4)} for r in trained.rounds],
        "warnings": [*trained.notes, *dict.fromkeys(said["warnings"] + more["warnings"])],
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
    facts: dict[str, Any] = {"trains": "nothing: the model is given", "model": str(given.path), "warnings": []}
    if not len(kept):
        return adapted, np.zeros((PLAIN, 0, adapted.head.prototypes.shape[1]), np.float32), None, facts
    device, images = torch.device(backend.torch_device), Kept(tracks, kept)

    def seen(by: FaceBase, head: Head) -> NDArray[np.float32]:
        network, said = fitted(by, base, images.some(CROPS), device)
        facts["warnings"] += [w for w in said.pop("warnings") if w not in facts["warnings"]]
        facts.update(said)
        views = views_of(desk, images, by, network, "head", device, config, seed)
        return look(Branch(by, head, "head").placed(device), views, seed, "head").cpu().numpy()

    alone = torch.equal(adapted.student_head.prototypes, adapted.head.prototypes)
    student = None if alone else seen(adapted.student_base, adapted.student_head)[:PLAIN]
    return adapted, seen(adapted.base, adapted.head), student, facts


def _looked(
    branch: Branch, views: Views, base: Base, images: Kept, seed: int, n_views: int
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The unit vectors of a branch that has trained. Where its whole base did, through the backend's network with the
    weights it has now: of the vectors and features that the others train on, torch has next to nothing left to do.
    -> (n_views, n_kept, d), and facts"""
    network: Network | None = None
    facts: dict[str, Any] = {"warnings": []}
    if branch.trains == "all":
        network, facts = fitted(branch.base, base, images.some(CROPS), views.device)
    with nullcontext() if network is None else running(network, "embedding", views.device) as vectors:
        return look(branch, views, seed, "head", n_views, vectors).cpu().numpy(), facts


def _untouched(base: Base, config: AdaptConfig, seed: int) -> Adapted:
    """The base as it comes, under a head that changes nothing."""
    nothing = Ragged(np.zeros(0, np.int64), np.zeros(1, np.int64))
    generator = torch.Generator().manual_seed(seed)
    head = whitened_head(torch.zeros(1, 0, base.manifest.dim), nothing, config.outputs, config.shrink, generator)
    centre = torch.zeros(config.outputs)
    return Adapted(base.torch, head, base.torch, head, centre, config.tau_student, config.tau_teacher)


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
