"""What the real TensorRT bindings have, version by version, and classes that have no more than that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BINDINGS: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "engine" / "bindings.json").read_text(encoding="utf-8")
)
VERSIONS = sorted(BINDINGS)
FULL = [v for v in VERSIONS if not v.startswith("rtx")]


@dataclass
class Script:
    """What goes wrong, and what happened. fails: steps that do, by name. noise: what the outputs of an engine are off
    by, after a refit `noise_after_refit`. merged: weights that a refit asks for besides."""

    fails: set[str] = field(default_factory=set)
    noise: float = 0.0
    noise_after_refit: float = 0.0
    merged: tuple[str, ...] = ()
    built: int = 0
    refits: int = 0
    executed: list[tuple[tuple[int, ...], ...]] = field(default_factory=list)
    contexts: int = 0


def _known(cls: type, name: str) -> None:
    """Raises AttributeError where the bindings have no such name."""
    trt = type.__getattribute__(cls, "_trt")
    kind = type.__getattribute__(cls, "__name__")
    if not name.startswith("_") and trt is not None and name not in trt._names.get(kind, ()):
        raise AttributeError(f"{kind} of TensorRT {trt.__version__} has no {name}")


class BoundType(type):
    def __getattribute__(cls, name: str) -> Any:
        if name != "mro":
            _known(cls, name)
        return type.__getattribute__(cls, name)


class Bound(metaclass=BoundType):
    """A class of the bindings: what they have no name for, neither it nor its objects have."""

    _trt: Any = None

    def __getattribute__(self, name: str) -> Any:
        _known(type(self), name)
        return object.__getattribute__(self, name)


class Enum(int):
    """A value of an enumeration."""

    name = ""


def enumeration(names: list[str], first: int = 0) -> type:
    values = {}
    for i, name in enumerate(n for n in names if n.isupper()):
        values[name] = Enum(i + first)
        values[name].name = name
    return type("Enumeration", (), values)
