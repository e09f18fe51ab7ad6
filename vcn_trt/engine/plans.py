"""Built engines on disk, under $VCN_HOME/engines: a plan, and beside it a JSON file that says what it is of, what it
runs on and how it passed the gate. The JSON names the plan by its sha256 and is put in place last and whole: a reader
sees a plan that belongs to it or none, whoever else is writing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vcn_trt.engine.definition import VERSION, Definition
from vcn_trt.errors import ModelError
from vcn_trt.zoo import fetch

SCHEMA = "vcn-trt/engine/1"

SETTLED_SECONDS = 3600
"""A younger plan without a record may be about to get it, from another process that built the same."""


@dataclass(frozen=True)
class Machine:
    """What a plan depends on beside its network: "TensorRT 11.4.0.106", "NVIDIA H200", "9.0"."""

    tensorrt: str
    card: str
    capability: str

    def __str__(self) -> str:
        return f"{self.tensorrt} on {self.card} ({self.capability})"


@dataclass(frozen=True, eq=False)
class Plan:
    """An engine on disk. facts: what its JSON file holds; `plan`, the file's name, is "" of one that failed the
    gate."""

    path: Path
    facts: dict[str, Any]

    @property
    def plan(self) -> Path:
        return self.path.with_name(self.facts["plan"])

    @property
    def machine(self) -> Machine:
        return Machine(self.facts["tensorrt"], self.facts["card"], self.facts["capability"])

    @property
    def failed(self) -> bool:
        return not self.facts["plan"]

    def read(self) -> bytes:
        """The plan, whole. Raises ModelError where it is missing or damaged."""
        try:
            content = self.plan.read_bytes()
        except OSError as error:
            raise ModelError(f"the plan {self.plan} cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != self.facts["sha256"]:
            raise ModelError(f"the plan {self.plan} is damaged: its sha256 is not {self.facts['sha256'][:16]}...")
        return content


def folder() -> Path:
    return fetch.home() / "engines"


def key(definition: Definition, machine: Machine) -> str:
    """What makes a plan another one: network, recipe, conversion, TensorRT, card."""
    parts = [VERSION, definition.content, asdict(definition.recipe), asdict(machine)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find(definition: Definition, machine: Machine) -> Plan | None:
    """The plan of exactly this network, recipe and machine, or the record that it failed the gate; None where there is
    neither."""
    return _read(_place(definition, machine))


def relative(definition: Definition, machine: Machine) -> Plan | None:
    """A plan that takes this network's weights by refit: of the same structure, recipe and machine."""
    wanted = (definition.structure, asdict(definition.recipe), machine)
    for plan in every():
        found = (plan.facts["structure"], _recipe(plan), plan.machine)
        if not plan.failed and plan.facts["refit"] and found == wanted:
            return plan
    return None


def every() -> list[Plan]:
    """All that there are, sorted by name. Files that are no record of a plan are left out."""
    found = (_read(path) for path in sorted(folder().glob("*.json")))
    return [plan for plan in found if plan is not None]


def store(definition: Definition, machine: Machine, content: bytes, facts: dict[str, Any]) -> Plan:
    """Keep a plan; with no content, that it failed the gate. facts: how it came to be. Raises ModelError where the
    folder cannot be written."""
    path = _place(definition, machine)
    digest = hashlib.sha256(content).hexdigest()
    named = f"{path.stem}-{digest[:8]}.plan" if content else ""
    record = {
        "schema": SCHEMA,
        "network": definition.name,
        "content": definition.content,
        "structure": definition.structure,
        "recipe": asdict(definition.recipe),
        "refit": definition.recipe.refit,
        **asdict(machine),
        "plan": named,
        "sha256": digest if content else "",
        "bytes": len(content),
        **facts,
    }
    if content:
        write(path.with_name(named), content)
    write(path, json.dumps(record, indent=1).encode() + b"\n")
    for old in path.parent.glob(f"{path.stem}-*.plan"):
        with suppress(FileNotFoundError):  # another process may put it away, too
            if old.name != named and time.time() - old.stat().st_mtime > SETTLED_SECONDS:
                old.unlink()
    return Plan(path, record)


def remove(plan: Plan) -> None:
    """The record first, so that nobody finds it without its plan."""
    plan.path.unlink(missing_ok=True)
    if plan.facts["plan"]:
        plan.plan.unlink(missing_ok=True)


def orphans() -> list[Path]:
    """What builds that were broken off left: plans without a record, unfinished files."""
    named = {p.plan for p in every() if not p.failed}
    plans = [p for p in folder().glob("*.plan") if p not in named]
    return sorted([*plans, *folder().glob(".writing-*")])


def timings(machine: Machine) -> Path:
    """Where a card's tactic timings are kept between builds."""
    return folder() / f"{_slug(f'timings {machine.tensorrt} {machine.card} {machine.capability}')}.cache"


def write(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises ModelError."""
    with _disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


def _place(definition: Definition, machine: Machine) -> Path:
    return folder() / f"{_slug(Path(definition.name).stem)}-{key(definition, machine)[:16]}.json"


def _read(path: Path) -> Plan | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Plan(path, facts) if isinstance(facts, dict) and facts.get("schema") == SCHEMA else None


def _recipe(plan: Plan) -> dict[str, Any]:
    """As `asdict` gives it: JSON has no tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in plan.facts["recipe"].items()}


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.") or "network"


@contextmanager
def _disk_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"cannot write to {where} ({error.strerror or error}): make room there, or set VCN_HOME to a folder that "
            "can be written"
        ) from error
