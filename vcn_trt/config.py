"""Every number of a run, typed, frozen and written into it as TOML. Defaults are the paper's where it gives one
(section 3), else METHOD's starting points, else what measured best; the docstrings say which."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vcn_trt.errors import UsageError

SPEED_ONLY = {"speed only": True}
"""Metadata of a field that changes how fast an answer comes, and not the answer: no run is another because of it."""


@dataclass(frozen=True)
class DecodeConfig:
    """batch: frames that travel together. threads: decoder threads, 0 lets the codec choose. streams: videos that are
    read at once, 0 for one on a CPU and as many as the card has NVDEC engines on a GPU.
    deinterlace: "auto" weaves nothing and filters flagged frames one to one, "off" takes them as coded."""

    batch: int = 4
    threads: int = field(default=0, metadata=SPEED_ONLY)
    streams: int = field(default=0, metadata=SPEED_ONLY)
    deinterlace: Literal["auto", "off"] = "auto"


@dataclass(frozen=True)
class ShotsConfig:
    """PySceneDetect's ContentDetector at 27, or its AdaptiveDetector at 3. min_frames: the shortest shot; cuts nearer
    to each other are taken as one (a flash). PySceneDetect's own 15 joined a shot of 13 frames to the next, and so
    two people in one track; from 3 to 12 the cuts found on the four labelled films are the same, and no worse than
    with 15."""

    detector: Literal["content", "adaptive"] = "content"
    threshold: float = 27.0
    adaptive_threshold: float = 3.0
    min_frames: int = 8


@dataclass(frozen=True)
class DetectConfig:
    """size: longer side in pixels that the network sees; 0 takes half the picture's, within 640 and 1280. Of labelled
    faces it found 66 % at 20 network pixels of height, 92 % at 24, 98 % at 32 (benchmarks/face_sizes.py). close_up: a
    frame whose shorter side is above 480 network pixels is seen a second time at a quarter of the size, where a face
    that fills it fits the anchors. score: what leaves the detector (the tracker has its own thresholds above it).
    stride: every n-th frame is looked at, the tracker fills between. workers: networks in flight, 0 for one a core."""

    model: str = "retinaface_mnet025"
    size: int = 0
    close_up: bool = True
    score: float = 0.1
    nms: float = 0.4
    stride: int = 1
    workers: int = field(default=0, metadata=SPEED_ONLY)


@dataclass(frozen=True)
class TrackConfig:
    """BoT-SORT: first association above `high`, second between `low` and `high`, births above `new`. `match` is the
    largest distance (1 - IoU x score) of the first, `second_match` of the second. A lost track waits `buffer_seconds`.
    gate: no face beyond the 99.9 % ellipse of a track's expectation continues it: with no cuts told at all,
    tracks that mix two people on the four labelled films fall from 17 to 5, and with them it costs 2 tracks in 256.
    camera_motion: "affine" compensates by sparse optical flow (5 ms a frame; no gain on the labelled films).
    min_faces: shorter tracks are Unknown ("short").
    sure: tracks whose faces have a lower median score are too ("quality"): no labelled track of the four films has less
    than 0.60, and seven tracks of things that are no face have less than 0.5."""

    high: float = 0.6
    low: float = 0.1
    new: float = 0.7
    match: float = 0.8
    second_match: float = 0.5
    buffer_seconds: float = 1.0
    gate: bool = True
    camera_motion: Literal["off", "affine"] = "off"
    min_faces: int = 3
    sure: float = 0.5


@dataclass(frozen=True)
class CropsConfig:
    """A crop each `interval_seconds` (the paper: every 12th frame at 24 fps). Rejected below `min_side` (shorter box
    side, pixels of the displayed picture) or `min_sharpness` (variance of the Laplacian on the 112x112 luma). A track
    whose crops are rejected beyond `max_rejected` of them is Unknown ("crops").

    Of 1,085 labelled crops, those below 12 pixels are nearest to their own person's other tracks in 63 % of cases,
    from 12 to 16 in 71 %, from 16 to 24 in 87 %, above in 99 %; below a sharpness of 2 in 67 %, from 2 to 4 in 73 %,
    above in 99 %. So soft crops are worse, yet far above chance: 16 and 4 would make 18 of the 65 labelled tracks at
    320x180 Unknown, 78 % of which are nearest to the right person."""

    interval_seconds: float = 0.5
    min_side: float = 8.0
    min_sharpness: float = 1.0
    max_rejected: float = 0.5


@dataclass(frozen=True)
class EmbedConfig:
    """The face-ID base: a manifest's name, or NAME=PATH. batch: crops a call; on a CPU more are no faster, and 32
    took 1.2 GB where 4 take a tenth. A card is given 256 at least.
    engine: what runs it, the backend's own or, on a card, "torch_tensorrt", which compiles it straight from torch; it
    is held to the same vectors."""

    model: str = "sface"
    batch: int = 4
    engine: Literal["backend", "torch_tensorrt"] = field(default="backend", metadata=SPEED_ONLY)


@dataclass(frozen=True)
class AdaptConfig:
    """Section 3.4. head: "whitened" starts at the closed form of `adapt/heads.py`, "mlp" is DINO's, started at random
    (the paper). outputs: K of its last layer. shrink: how much of the whitening's scatter is a sphere. trains: what of
    the base trains with the head: nothing ("head"), the layers behind its dropout ("last") or "all"; "auto" takes
    "head" on a CPU and "all" on a GPU. rounds of matching and training, of `steps` each; 0 leaves the start. batch:
    pairs a step. warm_up: the share of all steps in which the head trains alone. views: augmented copies of each crop,
    beside itself and its mirror image. footage_sizes: augmented copies also get the sizes of the clip's other faces.

    Learning rates: lr_bottleneck and lr_prototypes, of the whitened head, are shares of its weights' own size; lr, of
    the mlp head, is for 256 pairs; the base's is base_lr of that. momentum: the teacher's, rising to 1. The centre is
    taken off by its `centre_strength`; tau_student = 1 is Eq. 2 to the letter. matched_share: pairs across matched
    tracks, where a track has matches; match_space: matching sees the head's unit vectors or the student's base vectors.
    mask_ratio: patches that the student of a transformer does not see (where "all" trains); 0 trains no patch head.
    compile: where "all" trains, the base goes through torch.compile first, the same within rounding; it takes a C++
    compiler, and what it gains has not been measured.
    model: a run directory or an adapted.safetensors, whose model is taken as it is: nothing is trained."""

    model: str = ""
    head: Literal["whitened", "mlp"] = "whitened"
    outputs: int = 1024
    shrink: float = 0.3
    trains: Literal["auto", "head", "last", "all"] = "auto"
    rounds: int = 0
    steps: int = 30
    batch: int = 128
    warm_up: float = 0.2
    views: int = 4
    footage_sizes: bool = True
    lr_bottleneck: float = 3e-3
    lr_prototypes: float = 1e-2
    lr: float = 5e-4
    base_lr: float = 0.05
    weight_decay: float = 0.0
    weight_decay_end: float = 0.0
    clip: float = 3.0
    momentum: float = 0.98
    centre_momentum: float = 0.9
    centre_strength: float = 0.5
    tau_student: float = 0.1
    tau_teacher: float = 0.04
    matched_share: float = 0.9
    match_space: Literal["head", "base"] = "head"
    mask_ratio: float = 0.3
    compile: bool = field(default=False, metadata=SPEED_ONLY)


@dataclass(frozen=True)
class QualityConfig:
    """Section 3.6, SER-FIQ. passes of the base's dropout a crop.

    rule: "calibrated" measures the same crops scrambled, which are no faces, and calls a track weak whose quality is
    nearer to theirs than to the footage's median. Weak tracks never join each other, and one that no good track joins
    is Unknown ("quality"). "mad" is the paper's: a track below median - `deviations` x 1.4826 x MAD is Unknown at once.
    On the labelled films it would leave out 12 tracks of people (five are one person's all), and the things that are no
    faces only where the film is sharp. "off" measures nothing."""

    rule: Literal["calibrated", "mad", "off"] = "calibrated"
    passes: int = 50
    deviations: float = 2.5

    @property
    def measured(self) -> int:
        """The passes that a crop is looked at: all that the measuring hangs on."""
        return 0 if self.rule == "off" else self.passes


@dataclass(frozen=True)
class MatchConfig:
    """Section 3.5. rule: "nearest" matches tracks that are among each other's `nearest` and whose likeness (cosine of
    track means) is more than the share `likeness` of what the better one has with itself; "gaussian" is the paper's,
    with the readings of `adapt/match.py`."""

    rule: Literal["nearest", "gaussian"] = "nearest"
    nearest: int = 3
    likeness: float = 0.5
    gaussian: Literal["spherical", "diag", "shrunk", "full"] = "spherical"
    share: float = 0.25
    densities: Literal["logpdf", "pdf"] = "logpdf"
    own: Literal["fitted", "left_out"] = "fitted"
    direction: Literal["one_way", "mutual"] = "one_way"
    min_crops: int = 3


@dataclass(frozen=True)
class ClusterConfig:
    """method: "vcn" (section 3.7), or a baseline of `cluster/baselines.py` on the base's vectors; a baseline may be
    put on the adapted ones by `vectors`.

    metric: the training loss, the cosine, or the squared Euclidean distance of the adapted vectors; tau_teacher,
    tau_student and centre are of the loss. branches: whose outputs meet in it.
    limits: "calibrated" puts a track's threshold at `share` of the way from what it has in common with strangers (the
    `quantile` of its likeness to all others, at most `cap` of its own) to what it has in common with itself, links by
    the average, and then joins what stands out from all else by `margin` (1: nothing does) and is above `late_share` of
    what the clusters' own tracks have in common; "own" is Algorithm 1, with its readings rule, later, one_crop, guard.
    cannot_link: tracks seen in one frame are not one person ("enforce"), are reported ("warn"), or not looked at.

    threshold: of hac and dbscan, the cosine distance up to which they join; None for the method's own. k: the number
    of people for hac and finch, 0 where it is not known."""

    method: Literal["vcn", "hac", "dbscan", "hdbscan", "finch"] = "vcn"
    vectors: Literal["base", "adapted"] = "base"
    metric: Literal["loss", "cosine", "euclidean"] = "loss"
    tau_teacher: float = 0.1
    tau_student: float = 0.1
    centre: bool = False
    branches: Literal["teacher", "both", "student"] = "teacher"
    limits: Literal["calibrated", "own"] = "calibrated"
    share: float = 0.43
    quantile: float = 0.2
    cap: float = 0.25
    late_share: float = 0.4
    margin: float = 0.15
    rule: Literal["or", "and", "mean"] = "or"
    later: Literal["paper_means", "exact"] = "paper_means"
    one_crop: Literal["partner", "median", "never"] = "partner"
    guard: Literal["none", "mutual", "average"] = "none"
    cannot_link: Literal["off", "warn", "enforce"] = "enforce"
    threshold: float | None = None
    k: int = 0

    @property
    def adapts(self) -> bool:
        """Whether it stands on adapted vectors."""
        return self.method == "vcn" or self.vectors == "adapted"


@dataclass(frozen=True)
class IngestConfig:
    """The slice of the config that decides what ingest leaves."""

    decode: DecodeConfig
    shots: ShotsConfig
    detect: DetectConfig
    track: TrackConfig
    crops: CropsConfig


@dataclass(frozen=True)
class Config:
    """A run's whole configuration: one section a stage. seed: every random number comes from it. gpu_memory: GiB of a
    card that it may take, 0 for all there is."""

    device: str = "auto"
    gpu_memory: float = field(default=0.0, metadata=SPEED_ONLY)
    seed: int = 0
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    shots: ShotsConfig = field(default_factory=ShotsConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    crops: CropsConfig = field(default_factory=CropsConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    @property
    def ingest(self) -> IngestConfig:
        return IngestConfig(self.decode, self.shots, self.detect, self.track, self.crops)


PRESETS: Mapping[str, tuple[str, ...]] = {
    "paper": (
        "quality.rule=mad",
        "quality.passes=100",
        "adapt.head=mlp",
        "adapt.outputs=4096",
        "adapt.rounds=5",
        "adapt.footage_sizes=false",
        "adapt.match_space=base",
        "adapt.centre_strength=1",
        "adapt.momentum=0.99",
        "adapt.matched_share=0.5",
        "match.rule=gaussian",
        "cluster.limits=own",
        "cluster.branches=both",
        "cluster.tau_teacher=0.04",
        "cluster.centre=true",
        "cluster.cannot_link=off",
    )
}
"""Named sets of values. "paper": its text to the letter, where the defaults are what measured best (docs/method.md)."""


def preset(name: str) -> tuple[str, ...]:
    """The overrides of a preset. Raises UsageError for an unknown one."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def load(path: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """The defaults, then a TOML file, then "section.key=value" (or "device=value") in order.

    Raises UsageError naming the unknown key and the known ones, or the value and the type expected.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read the config {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not TOML: {error}") from error
    for item in overrides:
        name, equals, text = item.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys) or len(keys) > 2:
            raise UsageError(f"--set takes section.key=value, for example detect.size=1280; found {item!r}")
        section = tree.setdefault(keys[0], {}) if len(keys) == 2 else tree
        if not isinstance(section, dict):
            raise UsageError(f"{keys[0]} is a value, not a section: found {item!r}")
        section[keys[-1]] = _Text(text.strip())
    return _check_limits(typing.cast(Config, _build(Config, tree, "")))


LIMITS: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "gpu_memory": (0, 1024),
    "decode.batch": (1, 16),
    "decode.threads": (0, 64),
    "shots.threshold": (0, 255),
    "shots.adaptive_threshold": (0, 255),
    "shots.min_frames": (1, 250),
    "detect.size": (0, 8192),
    "detect.score": (0.01, 1),
    "detect.nms": (0, 1),
    "detect.stride": (1, 1000),
    "detect.workers": (0, 64),
    "track.high": (0, 1),
    "track.low": (0, 1),
    "track.new": (0, 1),
    "track.match": (0, 1),
    "track.second_match": (0, 1),
    "track.buffer_seconds": (0, 3600),
    "track.min_faces": (1, 1_000_000),
    "track.sure": (0, 1),
    "crops.interval_seconds": (0.001, 3600),
    "crops.min_side": (0, 10_000),
    "crops.min_sharpness": (0, 1_000_000),
    "crops.max_rejected": (0, 1),
    "embed.batch": (1, 256),
    "quality.passes": (2, 10_000),
    "quality.deviations": (0, 100),
    "adapt.outputs": (2, 65_536),
    "adapt.shrink": (0.001, 1),
    "adapt.rounds": (0, 1000),
    "adapt.steps": (1, 1_000_000),
    "adapt.batch": (1, 65_536),
    "adapt.warm_up": (0, 1),
    "adapt.views": (0, 64),
    "adapt.lr_bottleneck": (0, 1),
    "adapt.lr_prototypes": (0, 1),
    "adapt.lr": (0, 1),
    "adapt.base_lr": (0, 1),
    "adapt.weight_decay": (0, 1),
    "adapt.weight_decay_end": (0, 1),
    "adapt.clip": (0.001, 1000),
    "adapt.momentum": (0, 1),
    "adapt.centre_momentum": (0, 1),
    "adapt.centre_strength": (0, 1),
    "adapt.tau_student": (0.001, 10),
    "adapt.tau_teacher": (0.001, 10),
    "adapt.matched_share": (0, 1),
    "adapt.mask_ratio": (0, 0.9),
    "match.nearest": (1, 1000),
    "match.likeness": (0, 1),
    "match.share": (0.001, 1),
    "match.min_crops": (2, 1000),
    "cluster.tau_teacher": (0.001, 10),
    "cluster.tau_student": (0.001, 10),
    "cluster.share": (0, 1),
    "cluster.quantile": (0, 1),
    "cluster.cap": (0, 1),
    "cluster.late_share": (0, 1),
    "cluster.margin": (0, 1),
    "cluster.threshold": (0, 2),
    "cluster.k": (0, 1_000_000),
}
"""Least and largest value, both allowed, of what cannot be any number."""


def _check_limits(config: Config) -> Config:
    tree = to_dict(config)
    for name, (low, high) in LIMITS.items():
        section, _, key = name.rpartition(".")
        value = (tree[section] if section else tree)[key]
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} must be from {low:g} to {high:g}; found {value!r}")
    track, cluster = config.track, config.cluster
    if not track.low <= track.high <= track.new:
        found = f"{track.low:g}, {track.high:g}, {track.new:g}"
        raise UsageError(f"track.low, track.high and track.new must rise; found {found}")
    if cluster.threshold is not None and cluster.method not in ("hac", "dbscan"):
        raise UsageError(f"{cluster.method} has no cluster.threshold: leave it out, or take hac or dbscan")
    if cluster.k and cluster.method not in ("hac", "finch"):
        raise UsageError(
            f"{cluster.method} finds the number of people itself: leave cluster.k at 0, or take hac or finch"
        )
    if 0 < config.detect.size < 128:
        raise UsageError(f"detect.size must be 0 (chosen by the picture's) or at least 128; found {config.detect.size}")
    return config


def to_dict(config: Any) -> dict[str, Any]:
    """The config as nested plain values: the same keys and types as its TOML."""
    return dataclasses.asdict(config)


def what_counts(config: Any) -> dict[str, Any]:
    """`to_dict` without what only changes the speed: configs that agree in it give the same answer."""
    return {
        f.name: what_counts(value) if dataclasses.is_dataclass(value) else value
        for f in dataclasses.fields(config)
        if "speed only" not in f.metadata
        for value in [getattr(config, f.name)]
    }


def to_toml(config: Config) -> str:
    """TOML that `load` reads back to an equal config. What is None stands by its absence: TOML has no word for it."""
    lines, sections = [], []
    for key, value in to_dict(config).items():
        if isinstance(value, dict):
            sections.append(
                "\n".join([f"\n[{key}]", *(f"{k} = {_toml_value(v)}" for k, v in value.items() if v is not None)])
            )
        else:
            lines.append(f"{key} = {_toml_value(value)}")
    return "\n".join([*lines, *sections]) + "\n"


class _Text(str):
    """A value typed on the command line: to be read as the field's type."""


def _build(cls: type, tree: Mapping[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = set(tree) - set(hints)
    if unknown:
        raise UsageError(
            f"unknown config key {where}{sorted(unknown)[0]}; known here: {', '.join(where + k for k in hints)}"
        )
    values = {}
    for key, value in tree.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise UsageError(f"{where}{key} is a section; set one of its keys, found {value!r}")
            values[key] = _build(typing.cast(type, hint), value, f"{where}{key}.")
        else:
            values[key] = _coerce(value, hint, f"{where}{key}")
    return cls(**values)


def _coerce(value: Any, hint: Any, name: str) -> Any:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in choices:
            raise UsageError(f"{name} must be one of {', '.join(map(str, choices))}; found {value!r}")
        return str(value)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, _Text) and value.lower() == "none"):
            return None
        hint = next(c for c in choices if c is not type(None))
    try:
        if hint is bool:
            if isinstance(value, _Text):
                return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
            if isinstance(value, bool):
                return value
        elif hint is int:
            if isinstance(value, _Text) or (isinstance(value, int) and not isinstance(value, bool)):
                return int(value)
        elif hint is float:
            if isinstance(value, _Text | int | float) and not isinstance(value, bool):
                number = float(value)
                if number == number and abs(number) != float("inf"):
                    return number
        elif hint is str and isinstance(value, str):
            return str(value)
    except (ValueError, KeyError):
        pass
    kind = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[hint.__name__]
    raise UsageError(f"{name} must be {kind}; found {value!r}")


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_TOML_ESCAPES.get(c, c) for c in value) + '"'
    return repr(value)


_TOML_ESCAPES = {chr(c): f"\\u{c:04x}" for c in (*range(32), 127)} | {"\\": "\\\\", '"': '\\"'}
