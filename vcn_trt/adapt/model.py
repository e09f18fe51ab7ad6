"""The adapted model on disk: what of the base has changed, the head, the centre and the temperatures, for later stages
and other runs of the same production; and as an ONNX file, for other engines."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from vcn_trt.adapt.heads import Head, Kind, mlp_head
from vcn_trt.adapt.train import Trained
from vcn_trt.config import AdaptConfig, to_dict
from vcn_trt.errors import ModelError
from vcn_trt.run import versions
from vcn_trt.zoo.base import FaceBase
from vcn_trt.zoo.export import export_onnx
from vcn_trt.zoo.weights import check_finite

SCHEMA = "vcn-trt/adapted/1"
WEIGHTS = "adapted.safetensors"
ONNX = "adapted.onnx"

TOLERANCE = 1e-3
"""Between torch and ONNX Runtime, on the numbers of a unit vector."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """base, head: the teacher's, which embed. student_base, student_head: the other branch of the loss metric. centre:
    (K,) what Eq. 2 takes off the teacher's logits; it does not move any more."""

    base: FaceBase
    head: Head
    student_base: FaceBase
    student_head: Head
    centre: Tensor
    tau_student: float
    tau_teacher: float


class AdaptedBase(FaceBase):
    """A base with the bottleneck of its head, as one face-ID network: the embedding is the adapted unit vector."""

    def __init__(self, base: FaceBase, head: Head) -> None:
        super().__init__()
        self.manifest = base.manifest
        self.base, self.body = base, head.body
        self.dropout = base.dropout
        self.dim = head.prototypes.shape[1]
        self.eval()

    def features(self, x: Tensor) -> Tensor:
        return self.base.features(x)

    def embed(self, features: Tensor) -> Tensor:
        return functional.normalize(self.body(self.base.embed(features)), dim=-1)


def of_trained(trained: Trained, config: AdaptConfig) -> Adapted:
    """What a training leaves, on the CPU."""
    teacher, student = trained.teacher, trained.student
    bases = [copy.deepcopy(b.base).cpu().requires_grad_(False) for b in (teacher, student)]
    heads = [copy.deepcopy(b.head).cpu().requires_grad_(False) for b in (teacher, student)]
    return Adapted(bases[0], heads[0], bases[1], heads[1], trained.centre.cpu(), config.tau_student, config.tau_teacher)


def save(path: Path, adapted: Adapted, base: FaceBase, identity: str, config: AdaptConfig) -> None:
    """Write `adapted` as safetensors: the tensors of each branch that differ from `base`'s, whose `identity` (sha256 of
    its file) is kept beside them. A student equal to the teacher is not written twice. Raises ModelError for NaN."""
    before = {f"base.{k}": v for k, v in base.state_dict().items()}
    teacher, student = (
        {f"base.{k}": v for k, v in its_base.state_dict().items()}
        | {f"head.{k}": v for k, v in head.state_dict().items()}
        for its_base, head in ((adapted.base, adapted.head), (adapted.student_base, adapted.student_head))
    )
    stays = {k for k, v in before.items() if torch.equal(v, teacher[k]) and torch.equal(v, student[k])}
    tensors = {"centre": adapted.centre}
    tensors |= {f"teacher.{k}": v for k, v in teacher.items() if k not in stays}
    tensors |= {f"student.{k}": v for k, v in student.items() if not torch.equal(v, teacher[k])}
    check_finite(tensors, path)
    metadata = {
        "schema": SCHEMA,
        "base": base.manifest.name,
        "identity": identity,
        "head": adapted.head.kind,
        "tau_student": repr(adapted.tau_student),
        "tau_teacher": repr(adapted.tau_teacher),
        "config": json.dumps(to_dict(config)),
        "versions": json.dumps(versions()),
    }
    kept = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, metadata)


def load(path: Path, base: FaceBase, identity: str) -> Adapted:
    """Read what `save` wrote; `base` stays as it is. Raises ModelError where the file is missing, damaged, holds NaN,
    or was made of another base."""
    metadata, tensors = _read(path)
    made_of, given = (metadata["base"], metadata["identity"]), (base.manifest.name, identity)
    if made_of != given:
        raise ModelError(
            f"{path} adapts the base {made_of[0]} ({made_of[1][:12]}), found {given[0]} ({given[1][:12]}): "
            "give the base that it was made of, or adapt anew"
        )
    teacher = {k.removeprefix("teacher."): v for k, v in tensors.items() if k.startswith("teacher.")}
    student = teacher | {k.removeprefix("student."): v for k, v in tensors.items() if k.startswith("student.")}
    kind: Kind = "mlp" if metadata["head"] == "mlp" else "whitened"
    branches = [(_base_with(base, t, path), _head_with(kind, t, path)) for t in (teacher, student)]
    return Adapted(
        *branches[0], *branches[1], tensors["centre"], float(metadata["tau_student"]), float(metadata["tau_teacher"])
    )


@dataclass(frozen=True, eq=False)
class MetricHead:
    """What the loss metric needs of an adapted model: the unit prototypes of both branches, (K, d), and the centre,
    (K,)."""

    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    centre: NDArray[np.float32]


def read_head(path: Path) -> MetricHead:
    """Of a model that `save` wrote. Raises ModelError as `load`."""
    _, tensors = _read(path)
    teacher = tensors["teacher.head.prototypes"]
    student = tensors.get("student.head.prototypes", teacher)
    teacher, student = (functional.normalize(p.float(), dim=-1) for p in (teacher, student))
    return MetricHead(teacher.numpy(), student.numpy(), tensors["centre"].float().numpy())


def export(path: Path, adapted: Adapted) -> Path:
    """Base and bottleneck as ONNX: outputs `embedding` (n, d), of length one, and `features`, before the dropout;
    weights named base.* and body.*, as in `AdaptedBase`'s state_dict. Raises ModelError where ONNX Runtime and torch
    disagree."""
    network = AdaptedBase(adapted.base, adapted.head)
    export_onnx(network, path)
    size = network.manifest.input_size
    x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(x).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = session.run(["embedding"], {"input": x.numpy()})[0]
    apart = float(np.abs(found - expected).max())
    if not apart < TOLERANCE:
        raise ModelError(
            f"{path} gives vectors {apart:.1e} from torch's, expected within {TOLERANCE:g}: its export is no use, "
            "another version of onnxruntime or torch may help"
        )
    return path


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read the adapted model {path} ({error}): adapt again, or give another run") from error
    if metadata.get("schema") != SCHEMA:
        raise ModelError(f"{path} is of schema {metadata.get('schema')!r}, this version reads {SCHEMA!r}: adapt again")
    check_finite(tensors, path)
    return metadata, tensors


def _base_with(base: FaceBase, tensors: Mapping[str, Tensor], path: Path) -> FaceBase:
    changed = {k.removeprefix("base."): v for k, v in tensors.items() if k.startswith("base.")}
    mine = copy.deepcopy(base).requires_grad_(False)
    _fill(mine, changed, path, whole=False)
    return mine


def _head_with(kind: Kind, tensors: Mapping[str, Tensor], path: Path) -> Head:
    state = {k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")}
    if not {"prototypes", "body.weight" if kind == "whitened" else "body.0.weight"} <= set(state):
        raise ModelError(f"{path} has no head of kind {kind!r}: found {sorted(state)}. Adapt again")
    prototypes = state["prototypes"]
    if kind == "whitened":
        out, dim = state["body.weight"].shape
        head = Head(nn.Linear(dim, out, bias=False), prototypes, kind)
    else:
        hidden, dim = state["body.0.weight"].shape
        head = mlp_head(dim, len(prototypes), torch.Generator(), hidden, prototypes.shape[1])
    _fill(head, state, path, whole=True)
    return head.eval().requires_grad_(False)


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, whole: bool) -> None:
    try:
        unexpected = module.load_state_dict(tensors, strict=whole).unexpected_keys
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {type(module).__name__} ({error}): adapt again") from error
    if unexpected:
        raise ModelError(f"{path} holds {unexpected[0]}, which {type(module).__name__} has not: adapt again")
