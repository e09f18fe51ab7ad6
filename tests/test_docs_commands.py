"""The pages whose commands make runs or work on them: README, method, models, engines, those for operators and
researchers. Each page's are typed one after the other in one folder, so that what a line names an earlier one has
made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from engine_networks import base_of, saved
from fake_bindings import Script
from fake_card import FakeCard
from fake_trt import FakeTrt
from machines import BARE
from onnx import TensorProto, helper, numpy_helper
from pages import commands
from quick import Films
from served import ended_at_once
from test_cli_engines import HERE
from test_editors import vcn
from typer.testing import CliRunner

from vcn_trt import ablate, cli_engines, store
from vcn_trt.ablate import Setting
from vcn_trt.backends import cuda
from vcn_trt.cli import app
from vcn_trt.engine.ready import Host
from vcn_trt.errors import DeviceError
from vcn_trt.types import Tracks
from vcn_trt.zoo import bases, fetch
from vcn_trt.zoo.export import export_onnx


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A fake card for `vcn engines`. For everything else this machine has none."""
    host = Host(FakeTrt(script=Script()), FakeCard(), HERE)
    monkeypatch.setattr(cli_engines, "_host", lambda device: host)
    monkeypatch.setattr(cuda, "look", lambda: BARE)
    return host


@pytest.fixture
def two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rows of an ablation, one that adapts and one that does not."""
    every = ablate.settings

    def some(names: Sequence[str], people: int) -> list[Setting]:
        return [s for s in every(names, people) if s.name in ("baseline (HAC), cosine", "ours, loss")]

    monkeypatch.setattr(ablate, "settings", some)


def typed(words: Sequence[str]) -> str:
    """What a line of a page prints. Where it asks for a card, it is told that there is none, and what would help."""
    program, *given = words
    assert program == "vcn"
    try:
        if "cuda:0" in given:
            with pytest.raises(DeviceError, match=r"no NVIDIA driver.*install"):
                vcn(*given)
            return ""
        return vcn(*given)
    except Exception as error:
        error.add_note(f"in the line: {' '.join(words)}")
        raise


def label(path: str, video: str, run: str) -> None:
    """Labels of a video, by what the run found in its first one: they are all the same film."""
    first = vcn("export", run, "--format", "labels", "--force").split()[0]
    Path(path).write_text(json.dumps(json.loads(Path(first).read_text()) | {"video": video}))


@pytest.mark.usefixtures("card", "two_settings")
def test_the_commands_of_the_readme_run(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    films("film.mp4", "tuesday.mp4", "A001.mp4", "A002.mov", *(f"dailies/B00{i}.mp4" for i in range(4)))
    reviews = ended_at_once(monkeypatch)
    listed = [words for words in commands("README.md") if words[0] == "vcn"]
    assert len(listed) > 20
    for words in listed:
        typed(words)
        if "--out" in words:
            label("film.gt.json", "film.mp4", "monday")
            label("A001.labels.json", "A001.mp4", "monday")
            label("A002.labels.json", "A002.mov", "monday")
    assert len(reviews) == 1
    assert store.read_table(Path("monday/tracks.parquet"), Tracks).video.tolist() == np.repeat(range(6), 3).tolist()
    names = [person["name"] for person in json.loads(Path("monday/clusters.json").read_text())["clusters"]]
    assert "Anna" in names


@pytest.mark.usefixtures("card", "two_settings")
def test_the_commands_of_the_method_run(films: Films) -> None:
    films("film.mp4", "day1.mp4", "day2.mp4")
    yesterday = Path("runs/day1-1a2b3c4d")
    vcn("run", "day1.mp4", "--out", str(yesterday))
    shutil.copytree(yesterday, "RUN")
    label("film.gt.json", "film.mp4", "RUN")
    for words in commands("docs/method.md"):
        typed(words)
    (tables,) = Path("runs").glob("*-ablation/ablation.json")
    assert json.loads(tables.read_text())["seeds"] == list(range(5))


def without_faces(path: Path) -> Path:
    """SCRFD's form, one convolution an output, and no score above a thousandth."""
    nodes, outputs, weights = [], [], []
    for stride in (8, 16, 32):
        for n in (1, 4, 10):
            name = f"{stride}_{n}"
            weights.append(numpy_helper.from_array(np.zeros((2 * n, 3, stride, stride), np.float32), f"w{name}"))
            weights.append(numpy_helper.from_array(np.full(2 * n, 1e-3, np.float32), f"b{name}"))
            nodes += [
                helper.make_node("Conv", ["input", f"w{name}", f"b{name}"], [f"c{name}"], strides=[stride] * 2),
                helper.make_node("Transpose", [f"c{name}"], [f"t{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t{name}", f"s{n}"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, n]))
    weights += [numpy_helper.from_array(np.array([-1, n]), f"s{n}") for n in (1, 4, 10)]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])
    return saved(helper.make_graph(nodes, "scrfd", [picture], outputs, weights), path)


@pytest.mark.usefixtures("card")
def test_the_commands_of_the_models_page_run(
    films: Films, weights_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/models is a folder of the test's, with networks of the right form: small, the default one, one without faces."""
    films("film.mp4")
    brought = tmp_path / "models"
    brought.mkdir()
    monkeypatch.setitem(bases._ARCHITECTURES, "iresnet100", (lambda dropout: base_of("iresnet"), None))
    export_onnx(base_of("iresnet"), brought / "glintr100.onnx")
    shutil.copy(fetch.path("retinaface_mnet025"), brought / "retinaface_r50.onnx")
    without_faces(brought / "scrfd_10g_bnkps.onnx")
    printed = [
        typed([word.replace("=/models/", f"={brought}/") for word in words]) for words in commands("docs/models.md")
    ]
    assert [line.split(" in ")[1].split(" (")[0] for line in printed] == ["3 tracks", "3 tracks", "0 tracks"]


def test_the_commands_of_the_engines_page_run(
    films: Films, card: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films("film.mp4")
    monkeypatch.setitem(bases._ARCHITECTURES, "iresnet100", (lambda dropout: base_of("iresnet"), None))
    export_onnx(base_of("iresnet"), Path("my.onnx"))
    vcn("run", "film.mp4", "--out", "monday")
    built = []
    for words in commands("docs/engines.md"):
        typed(words)
        built.append(card.trt.script.built)
    assert built == [0, 2, 3, 4, 4, 4, 4]


@pytest.mark.usefixtures("card")
def test_the_commands_of_the_operators_page_run(films: Films) -> None:
    films("film.mp4")
    Path("films").mkdir()
    films("films/harbour/A001.mov", "films/harbour/A002.mov")
    for words in commands("docs/operators.md"):
        if words[1:] == ["doctor", "--device", "cuda:0"]:
            assert CliRunner().invoke(app, words[1:]).exit_code == 1
        else:
            typed(words)
    assert json.loads(Path("harbour/run.json").read_text())["state"] == "done"


@pytest.mark.usefixtures("two_settings")
def test_the_commands_of_the_researchers_page_run(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    films("film.mp4")
    ended_at_once(monkeypatch)
    made = []
    for words in commands("docs/researchers.md"):
        typed(words)
        made += [words[words.index("--out") + 1]] if "--out" in words else []
        if made == ["base"]:
            label("film.gt.json", "film.mp4", "base")
            shutil.rmtree("base/exports")
    assert made == ["base", "paper", "hac", "other"]
    assert len(list(Path("base/exports").iterdir())) == 1
