"""What an engine is built like: `engines/*.toml`, one file a kind of network, read into a frozen value. A file of the
same name under $VCN_HOME/engines goes before the one that comes with vcn-trt."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import onnx

from vcn_trt import assets
from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch

Size = Literal["batch", "height", "width"]
Precision = Literal["half", "float32"]
Shape = tuple[int, ...]

DIVISOR = 32
"""Height and width of a picture are multiples of it: the coarsest stride of a detector."""

_AXES: dict[Size, int] = {"batch": 0, "height": 2, "width": 3}


@dataclass(frozen=True)
class Recipe:
    """free: the sizes of the first input that may vary. buckets: batch sizes, ascending, each a CUDA graph. height,
    width: smallest, tuned for and largest, where they are free. workspace_mib: for the builder's tactics."""

    name: str
    title: str
    free: tuple[Size, ...]
    buckets: tuple[int, ...]
    optimum: int
    precision: Precision = "half"
    workspace_mib: int = 2048
    refit: bool = True
    height: tuple[int, ...] = ()
    width: tuple[int, ...] = ()

    def at(self, precision: Precision) -> Recipe:
        """The same in another precision."""
        return replace(self, precision=precision)

    def shapes(self, shape: Shape) -> tuple[Shape, Shape, Shape]:
        """The smallest, the tuned and the largest of an input, whose free sizes are -1."""
        batch = (self.buckets[0], self.optimum, self.buckets[-1])
        sizes = {0: batch, 2: self.height, 3: self.width}
        free = {_AXES[name] for name in self.free}
        return tuple(  # type: ignore[return-value]
            tuple(sizes[axis][i] if size < 0 and axis in free else size for axis, size in enumerate(shape))
            for i in range(3)
        )


def names() -> list[str]:
    """The recipes there are, sorted."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.toml")})


def load(name: str) -> Recipe:
    """The recipe called `name`. Raises ModelError for an unknown one, and for a file that is none."""
    for folder in _folders():
        if (folder / f"{name}.toml").is_file():
            return read(folder / f"{name}.toml")
    raise ModelError(f"there is no engine recipe {name!r}; known are {', '.join(names())}")


def of(model: onnx.ModelProto, path: Path) -> Recipe:
    """The recipe of a network, told by the free sizes of its first input. Raises ModelError where there is none."""
    free = free_sizes(model)
    for recipe in map(load, names()):
        if set(recipe.free) == free:
            return recipe
    raise ModelError(
        f"{path.name} leaves {', '.join(sorted(free)) or 'no size'} of its first input free, and no recipe is for such "
        f"a network (known: {', '.join(names())}); put one at {fetch.home() / 'engines' / 'NAME.toml'}"
    )


def free_sizes(model: onnx.ModelProto) -> set[str]:
    """The sizes of the first input that the network leaves open, by name."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    called = {axis: name for name, axis in _AXES.items()}
    return {called.get(axis, f"axis {axis}") for axis, d in enumerate(dims) if not d.HasField("dim_value")}


def read(path: Path) -> Recipe:
    """The recipe in one TOML file; its name is the file's stem."""
    try:
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"cannot read the engine recipe {path}: {error}") from error
    known = {f.name: f for f in fields(Recipe) if f.name != "name"}
    unknown = sorted(set(tree) - set(known))
    missing = [n for n, f in known.items() if n not in tree and f.default is MISSING]
    if unknown or missing:
        raise ModelError(f"{path}: unknown keys {unknown}, missing keys {missing}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()}
    recipe = Recipe(name=path.stem, **values)
    _check(recipe, path)
    return recipe


def _check(r: Recipe, path: Path) -> None:
    def whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0

    def ascending(values: Any) -> bool:
        return isinstance(values, tuple) and bool(values) and all(map(whole, values))

    def sides(values: Any) -> bool:
        return ascending(values) and len(values) == 3 and all(a <= b for a, b in pairwise(values))

    sized = {"height": r.height, "width": r.width}
    rules = {
        f"free names some of {', '.join(get_args(Size))}": isinstance(r.free, tuple)
        and bool(r.free)
        and set(r.free) <= set(get_args(Size)),
        "buckets are whole numbers, ascending": ascending(r.buckets) and all(a < b for a, b in pairwise(r.buckets)),
        "optimum is one of the buckets": isinstance(r.buckets, tuple) and r.optimum in r.buckets,
        "buckets are [1] where the batch is not free": "batch" in r.free or r.buckets == (1,),
        "precision is half or float32": r.precision in get_args(Precision),
        "workspace_mib is a whole number": whole(r.workspace_mib),
        "refit is true or false": isinstance(r.refit, bool),
        **{
            f"{name} is [smallest, tuned for, largest], multiples of {DIVISOR}, where it is free and nowhere else": (
                sides(values) and all(v % DIVISOR == 0 for v in values) if name in r.free else not values
            )
            for name, values in sized.items()
        },
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ModelError(f"{path}: expected that {'; '.join(broken)}")


def _folders() -> list[Path]:
    return [fetch.home() / "engines", assets.folder("engines")]
