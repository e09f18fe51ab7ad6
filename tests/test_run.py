"""Stages are computed once, saved whole or not at all, and found again by what they were made of: on stages of two
lines."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vcn_trt import run as run_module
from vcn_trt.config import ClusterConfig, Config, DetectConfig, load, to_dict
from vcn_trt.errors import RunError
from vcn_trt.run import Desk, Run, Stage, hold, read_record, replace_text, silent
from vcn_trt.sources import Source

SOURCES = [Source(Path("a.mp4"), "f" * 64)]


@dataclass(frozen=True)
class Weights:
    identity: str


class Text(str):
    """A stage's answer: a text file's content, an object of its own as real answers are."""


def read(folder: Path, facts: dict[str, Any], name: str) -> Text:
    return Text((folder / name).read_text(encoding="utf-8"))


class Kitchen:
    """Two stages, the second of which reads the first's answer; `cooked` says which were computed."""

    def __init__(self, version: int = 1) -> None:
        self.cooked: list[str] = []
        self.found: list[str] = []
        self.fail: dict[str, BaseException] = {}
        self.dough = Stage(
            "dough", version, ("dough.txt", "flour.txt"), self._dough, lambda f, x: read(f, x, "dough.txt")
        )
        self.bread = Stage("bread", 1, ("bread.txt",), self._bread, lambda f, x: read(f, x, "bread.txt"))

    def _dough(self, desk: Desk, sources: list[Source], model: Weights, config: DetectConfig) -> dict[str, Any]:
        return self._cook(desk, "dough", f"{sources[0].fingerprint[:2]} {model.identity} {config.size}")

    def _bread(self, desk: Desk, dough: Text, config: ClusterConfig) -> dict[str, Any]:
        return self._cook(desk, "bread", f"{dough} {config.method}")

    def _cook(self, desk: Desk, name: str, text: str) -> dict[str, Any]:
        self.cooked.append(name)
        self.found += [f.name for f in (*desk.unfinished.iterdir(), *desk.keep.iterdir(), *desk.folder.iterdir())]
        (desk.unfinished / f"{name}.part").touch()
        (desk.keep / f"{name}.kept").touch()
        if name in self.fail:
            raise self.fail[name]
        (desk.folder / f"{name}.txt").write_text(text)
        if name == "dough":
            (desk.folder / "flour.txt").write_text(text)
        return {"length": len(text), "text": text}

    def bake(
        self,
        folder: Path,
        config: Config | None = None,
        sources: list[Source] | None = None,
        model: str = "w",
        update: bool = False,
    ) -> Run:
        config, sources = config or Config(), sources or SOURCES
        with hold(folder, config, sources, update=update):
            run = Run(folder, config, sources, "none", silent)
            run.begin()
            dough = run.stage(self.dough, sources, Weights(model), config.detect)
            run.stage(self.bread, dough, config.cluster)
            run.finish("done")
        return run


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in files}


def changed(*overrides: str) -> Config:
    return load(overrides=overrides)


@pytest.fixture
def baked(tmp_path: Path) -> Path:
    Kitchen().bake(tmp_path / "run")
    return tmp_path / "run"


def test_the_same_again_computes_nothing(baked: Path) -> None:
    kitchen = Kitchen()
    run = kitchen.bake(baked)
    assert kitchen.cooked == []
    assert {name: s["loaded"] for name, s in run.record["stages"].items()} == {"dough": True, "bread": True}
    assert run.record["stages"]["bread"]["text"] == "ff w 0 vcn"  # facts come back with the files


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        ({"config": changed("cluster.method=finch")}, ["bread"]),
        ({"config": changed("detect.size=640")}, ["dough", "bread"]),
        ({"config": changed("embed.batch=1")}, []),  # no stage here has that slice
        ({"config": changed("detect.workers=1")}, []),  # only the speed
        ({"model": "other weights"}, ["dough", "bread"]),
        ({"sources": [Source(Path("a.mp4"), "0" * 64)]}, ["dough", "bread"]),
        ({"sources": [Source(Path("renamed.mp4"), "f" * 64)]}, ["dough", "bread"]),  # the path is part of the answer
        ({"sources": [Source(Path("gone.mp4"), "unreadable")]}, ["dough", "bread"]),
    ],
)
def test_a_change_recomputes_the_stages_it_touches_and_those_behind_them(
    baked: Path, change: dict[str, Any], computed: list[str]
) -> None:
    kitchen = Kitchen()
    kitchen.bake(baked, **change, update=True)
    assert kitchen.cooked == computed
    again = Kitchen()
    again.bake(baked, **change, update=True)
    assert again.cooked == []


def test_a_newer_version_of_a_stage_recomputes_it(baked: Path) -> None:
    kitchen = Kitchen(version=2)
    kitchen.bake(baked)
    assert kitchen.cooked == ["dough", "bread"]


@pytest.mark.parametrize("damage", ["missing", "short", "stamp", "empty stamp", "foreign stamp"])
def test_a_stage_whose_files_or_stamp_are_not_whole_is_computed_again(baked: Path, damage: str) -> None:
    stamp = baked / ".work" / "dough.json"
    if damage == "missing":
        (baked / "flour.txt").unlink()
    elif damage == "short":
        (baked / "flour.txt").write_text("f")
    elif damage == "stamp":
        stamp.unlink()
    else:
        stamp.write_text("" if damage == "empty stamp" else '["x"]')
    kitchen = Kitchen()
    kitchen.bake(baked)
    assert kitchen.cooked == ["dough"]  # its key is the same, so what was made of it still stands
    assert (baked / "flour.txt").read_text() == "ff w 0"


def test_the_stamp_comes_last_so_a_crash_between_two_files_computes_again(
    baked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    move = os.replace

    def crash_at(name: str) -> Callable[[Any, Any], None]:
        def replace(source: Any, target: Any) -> None:
            if Path(target).name == name:
                raise Crash
            move(source, target)

        return replace

    for name in ("dough.txt", "flour.txt", "dough.json"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", crash_at(name))
            with pytest.raises(Crash):
                Kitchen().bake(baked, changed("detect.size=640"), update=True)
        assert not (baked / ".work" / "dough.json").exists()
    kitchen = Kitchen()
    kitchen.bake(baked, changed("detect.size=640"), update=True)
    assert kitchen.cooked == ["dough", "bread"]
    assert (baked / "bread.txt").read_text() == "ff w 640 vcn"


def test_a_failed_stage_leaves_the_old_files_and_its_unfinished_work_for_the_next_try(baked: Path) -> None:
    kitchen = Kitchen()
    kitchen.fail["dough"] = KeyError("scripted")
    with pytest.raises(KeyError):
        kitchen.bake(baked, changed("detect.size=640"), update=True)
    assert (baked / "dough.txt").read_text() == "ff w 0"
    second = Kitchen()
    second.bake(baked, changed("detect.size=640"), update=True)
    assert set(second.found) == {"dough.part", "dough.kept", "bread.kept"}
    assert not list((baked / ".work").glob("*.unfinished"))
    assert not list((baked / ".work").glob("*.new"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["bread", "move", "stamp", "record", "config"])
def test_a_full_disk_is_a_run_error_wherever_it_strikes_and_what_was_done_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, code: int
) -> None:
    full = OSError(code, os.strerror(code))
    kitchen, move = Kitchen(), os.replace
    target = {"move": "bread.txt", "stamp": "bread.json", "record": "run.json", "config": "config.toml"}.get(where)

    def replace(source: Any, to: Any) -> None:
        if Path(to).name == target:
            raise full
        move(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        if where == "bread":
            kitchen.fail["bread"] = full
        with pytest.raises(RunError, match=r"no space left for .*run the same command again"):
            kitchen.bake(tmp_path / "run")
    again = Kitchen()
    again.bake(tmp_path / "run")
    done = {"bread": ["bread"], "move": ["bread"], "stamp": ["bread"]}.get(where, ["dough", "bread"])
    assert again.cooked == done
    assert read_record(tmp_path / "run")["state"] == "done"


def test_a_disk_that_may_not_be_written_is_a_run_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Any, to: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(to))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunError, match=r"cannot write to .*Read-only file system.*another --out"):
        Kitchen().bake(tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    for folder in (tmp_path / "locked", tmp_path / "locked" / "run"):
        with pytest.raises(RunError, match="another"):
            Kitchen().bake(folder)


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot make the output folder"):
            Kitchen().bake(folder)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    before = tree(tmp_path)
    for update in (False, True):
        with pytest.raises(RunError, match=r"not empty and holds no run\.json"):
            Kitchen().bake(tmp_path, update=update)
    assert tree(tmp_path) == before
    assert not (tmp_path / ".work").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    Kitchen().bake(tmp_path)
    assert (tmp_path / "bread.txt").exists()


@pytest.mark.parametrize("left", [[], ["config.toml.tmp"], ["config.toml"], ["config.toml", "run.json.tmp"]])
def test_a_run_killed_before_its_first_record_goes_on(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "lock").touch()
    for name in left:
        (tmp_path / name).touch()
    kitchen = Kitchen()
    kitchen.bake(tmp_path)
    assert kitchen.cooked == ["dough", "bread"]


@pytest.mark.parametrize(
    ("config", "sources", "message"),
    [
        (changed("detect.size=640"), SOURCES, "detect.size is 0 there, 640 here"),
        (changed("seed=1"), SOURCES, "seed is 0 there, 1 here"),
        (Config(), [Source(Path("b.mp4"), "0" * 64)], r"its videos are a\.mp4; these are b\.mp4"),
        (Config(), [*SOURCES, Source(Path("b.mp4"), "0" * 64)], r"its videos are a\.mp4; these are a\.mp4, b\.mp4"),
    ],
)
def test_a_run_made_otherwise_is_refused_and_not_a_byte_of_it_touched(
    baked: Path, config: Config, sources: list[Source], message: str
) -> None:
    before = tree(baked)
    with pytest.raises(RunError, match=message) as caught:
        Kitchen().bake(baked, config, sources)
    assert "--update" in str(caught.value)
    assert tree(baked) == before


def test_the_device_may_be_another(baked: Path) -> None:
    Kitchen().bake(baked, changed("device=cpu"))
    assert read_record(baked)["config"]["device"] == "cpu"


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "vcn-trt/run/99", "config": {}}'])
def test_a_record_that_is_damaged_or_newer_is_refused_and_left_alone(baked: Path, text: str, update: bool) -> None:
    (baked / "run.json").write_text(text)
    before = tree(baked)
    with pytest.raises(RunError, match=r"install the version that wrote it|remove it and run `vcn run`"):
        Kitchen().bake(baked, update=update)
    assert tree(baked) == before


def test_the_advice_for_a_damaged_record_helps(baked: Path) -> None:
    (baked / "run.json").unlink()
    kitchen = Kitchen()
    kitchen.bake(baked)
    assert kitchen.cooked == []


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run directory .*`vcn run VIDEO --out DIR` makes one"):
        read_record(tmp_path)


_HOLDER = """
import sys
from pathlib import Path
from vcn_trt.config import Config
from vcn_trt.run import hold
from vcn_trt.sources import Source
with hold(Path(sys.argv[1]), Config(), [Source(Path("a.mp4"), "f" * 64)], update=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A folder that another process works in."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield tmp_path / "run", process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_two_processes_never_work_in_one_folder_and_a_killed_one_holds_it_no_longer(
    holder: tuple[Path, subprocess.Popen[str]],
) -> None:
    folder, process = holder
    with pytest.raises(RunError, match="another process works in"):
        Kitchen().bake(folder)
    process.kill()
    process.wait()
    Kitchen().bake(folder)


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    replace_text(path, "old")
    with monkeypatch.context() as patch:

        def fail(source: Any, target: Any) -> None:
            raise OSError(errno.ENOSPC, "full")

        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="full"):
            replace_text(path, "new")
    assert path.read_text() == "old"
    replace_text(path, json.dumps({"path": "\udcff🎬"}, ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == {"path": "\udcff🎬"}


def test_an_input_without_identity_is_a_mistake_in_the_code(tmp_path: Path) -> None:
    run = Run(tmp_path, Config(), SOURCES, "none", silent)
    with pytest.raises(TypeError, match="needs an identity; object has none"):
        run.stage(Kitchen().bread, object())


def test_progress_reaches_the_hook_with_the_stages_name(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []

    def compute(desk: Desk) -> dict[str, Any]:
        desk.progress(1, 2, "loaves")
        return {}

    (tmp_path / ".work").mkdir()
    run = Run(tmp_path, Config(), SOURCES, "none", lambda *step: told.append(step))
    run.stage(Stage("bake", 1, (), compute, lambda folder, facts: None))
    assert told == [("bake", 1, 2, "loaves")]


def test_the_record_names_the_config_whole_and_the_versions(baked: Path) -> None:
    record = read_record(baked)
    assert record["config"] == to_dict(Config())
    assert record["versions"]["vcn-trt"] == run_module.versions()["vcn-trt"]
    assert load(baked / "config.toml") == Config()


def test_a_run_moved_elsewhere_is_still_done(baked: Path, tmp_path: Path) -> None:
    kitchen = Kitchen()
    kitchen.bake(Path(shutil.move(baked, tmp_path / "elsewhere")))
    assert kitchen.cooked == []


def failing() -> Kitchen:
    kitchen = Kitchen()
    kitchen.fail = {"dough": ValueError("burnt")}
    return kitchen


def test_a_try_that_fails_before_it_changes_anything_takes_nothing_away(baked: Path) -> None:
    before = {n: c for n, c in tree(baked).items() if not n.startswith(".work")}
    with pytest.raises(ValueError, match="burnt"):
        failing().bake(baked, changed("detect.size=640"), update=True)
    assert {n: c for n, c in tree(baked).items() if not n.startswith(".work")} == before
    kitchen = Kitchen()
    kitchen.bake(baked)  # the first command is not refused
    assert kitchen.cooked == []


def test_a_run_that_came_to_nothing_does_not_block_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="burnt"):
        failing().bake(tmp_path / "run")
    Kitchen().bake(tmp_path / "run", changed("detect.size=640"), [Source(Path("b.mp4"), "0" * 64)])


def test_what_a_kill_at_the_end_of_a_stage_left_is_cleared(baked: Path) -> None:
    for name in ("dough.new", "dough.unfinished"):
        (baked / ".work" / name).mkdir()
        (baked / ".work" / name / "large.bin").touch()
    Kitchen().bake(baked)
    assert not list((baked / ".work").glob("dough.[nu]*"))


def test_a_stage_that_asks_for_another_try_is_computed_again(tmp_path: Path) -> None:
    class Unsure(Kitchen):
        def _cook(self, desk: Desk, name: str, text: str) -> dict[str, Any]:
            return super()._cook(desk, name, text) | {"again": name == "dough"}

    first, second = Unsure(), Kitchen()
    first.bake(tmp_path / "run")
    second.bake(tmp_path / "run")
    assert (first.cooked, second.cooked) == (["dough", "bread"], ["dough", "bread"])


def test_a_loaded_stage_keeps_the_seconds_and_versions_it_was_made_with(baked: Path) -> None:
    stamp = baked / ".work" / "dough.json"
    facts = json.loads(stamp.read_text())
    stamp.write_text(json.dumps(facts | {"seconds": 41.5, "versions": {"torch": "1.0"}}))
    stages = Kitchen().bake(baked).record["stages"]
    assert (stages["dough"]["seconds"], stages["dough"]["versions"]) == (41.5, {"torch": "1.0"})
    assert "versions" not in stages["bread"]


def test_a_disk_that_drops_is_told_and_what_was_computed_stays(tmp_path: Path) -> None:
    kitchen = Kitchen()
    kitchen.fail = {"bread": OSError(errno.EIO, "Input/output error", "/dailies/A001.mov")}
    with pytest.raises(RunError, match=r"Input/output error at /dailies/A001\.mov during bread.*same command again"):
        kitchen.bake(tmp_path / "run")
    again = Kitchen()
    again.bake(tmp_path / "run")
    assert again.cooked == ["bread"]
