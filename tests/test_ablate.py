"""The tables of an ablation on little productions, and once on two seconds of film through the real pipeline."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vcn_trt import ablate as ablation
from vcn_trt import api, cli, tables
from vcn_trt.ablate import Ablation, Cell, Row, Setting, ablate, in_order, settings
from vcn_trt.adapt.match import MatchScore
from vcn_trt.config import Config, load
from vcn_trt.errors import LabelError, RunError, UsageError, VideoError
from vcn_trt.evaluate import evaluate, table
from vcn_trt.labels import LabelledTrack, Labels, write
from vcn_trt.metrics import score
from vcn_trt.ragged import Ragged
from vcn_trt.rounds import read_rounds, score_rounds
from vcn_trt.sources import Source
from vcn_trt.types import UNKNOWN, Clusters, Crops, Faces, Shots, Tracks, TrackSet, Video

PEOPLE = ("Ann", "Ann", "Ben", "Ben", None)
"""Who the five tracks of the production are; no label tells the last."""

VIDEO = Video(0, "/films/a.mp4", Fraction(25), 100, 640, 360)


def production() -> TrackSet:
    """A track a frame, each in its own place."""
    n = len(PEOPLE)
    box = np.array([(20 * i, 0, 20 * i + 10, 10) for i in range(n)], np.float32)
    return TrackSet(
        videos=[VIDEO],
        shots=Shots.empty(),
        faces=Faces.empty(n).with_columns(track=np.arange(n), frame=np.arange(n), box=box),
        tracks=Tracks.empty(n).with_columns(track=np.arange(n)),
        crops=Crops.empty(),
        images=np.empty((0, 112, 112, 3), np.uint8),
    )


def labels_of(names: Sequence[str | None] = PEOPLE) -> Labels:
    faces = production().faces
    tracks = [
        LabelledTrack(i, 0, name, faces.frame[i : i + 1], faces.box[i : i + 1])
        for i, name in enumerate(names)
        if name is not None
    ]
    return Labels(Path("/films/a.gt.json"), "a.mp4", Fraction(25), 640, 360, 100, (), tuple(tracks))


@dataclass
class FakeRuns:
    """In place of the pipeline: what each config answers, and how often it was asked."""

    asked: Counter[Config] = field(default_factory=Counter)
    broken_off_at: int | None = None

    def __call__(self, sources: Any, folder: Path, config: Config, *, update: bool, hook: Any) -> Any:
        assert update
        if sum(self.asked.values()) == self.broken_off_at:
            raise KeyboardInterrupt
        self.asked[config] += 1
        if config.cluster.k and config.cluster.vectors == "base":
            raise UsageError("2 people cannot be found in 1 tracks with faces")
        labels = [1, 1, 2, 2, 3]
        stage: dict[str, Any] = {"seconds": 1.0}
        if config.cluster.adapts:
            # Seed 1 joins the two people and calls a track of Ben's Unknown.
            labels = [1, 1, 1, UNKNOWN, 2] if config.seed == 1 else labels
            stage |= {"seconds": 3.0 + config.seed, "matches": 0}
            if config.adapt.rounds == 3 and config.seed == 1:
                stage["fell_back"] = "the training collapsed"
            (folder / ".work").mkdir(parents=True, exist_ok=True)
            np.savez(folder / ".work" / "matches.npz", **_pairs([]))
        people = Clusters(np.array(labels, np.int32), np.full(5, np.nan, np.float32))
        return SimpleNamespace(tracks=production(), people=people, record={"stages": {"adapt": stage}})


def _pairs(rounds: Sequence[Sequence[tuple[int, int]]]) -> dict[str, Any]:
    rows = np.array([(i, *pair) for i, pairs in enumerate(rounds) for pair in pairs], np.int64).reshape(-1, 3)
    return dict(zip(("round", "track", "match"), rows.T, strict=True))


Ablate = Callable[..., Ablation]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake = FakeRuns()
    monkeypatch.setattr(ablation.api, "cluster_sources", fake)
    monkeypatch.setattr(ablation, "find_tracks", lambda *_: production())
    monkeypatch.setattr(ablation, "open_model", lambda name, kind: SimpleNamespace(identity=name))
    decoder = SimpleNamespace(video=VIDEO, close=lambda: None)
    backend = SimpleNamespace(open_decoder=lambda *_: decoder, description="cpu")
    monkeypatch.setattr(ablation.backends, "open", lambda *_: backend)
    return fake


def little(folder: Path, labels: Labels | None = None, **more: Any) -> Ablation:
    return ablate([Source(Path("/films/a.mp4"), "f00d")], [labels or labels_of()], folder, **{"seeds": 2} | more)


def row(found: Ablation, table: int, name: str) -> Row:
    (one,) = [r for r in found.rows if r.setting.table == ablation.TABLES[table] and r.setting.name == name]
    return one


# The settings


def test_every_setting_is_a_config_and_says_what_its_row_says() -> None:
    configs = {(s.table[:7], s.name): load(None, s.overrides) for s in settings(["sface", "mobilefacenet"], 3)}
    assert len(configs) == 21
    ours = configs["Table 5", "ours, loss"]
    assert ours == Config()  # the default is the method
    assert configs["Table 5", "ours, Euclidean"] == replace(ours, cluster=replace(ours.cluster, metric="euclidean"))
    trained = configs["Table 4", "adapted, trained in 3 rounds, told the number of people"]
    assert (trained.adapt.rounds, trained.cluster.k, trained.cluster.vectors) == (3, 3, "adapted")
    paper = configs["Table 5", "ours as the paper words it, loss"]
    assert (paper.adapt.head, paper.match.rule, paper.cluster.limits) == ("mlp", "gaussian", "own")
    assert [c.embed.model for (table, _), c in configs.items() if table == "Table 6"] == [
        *("sface", "sface", "mobilefacenet", "mobilefacenet")
    ]


def test_what_the_config_says_of_thresholds_and_numbers_of_people_does_not_stop_other_methods() -> None:
    for setting in settings(["sface"], 3):
        load(None, ["cluster.method=hac", "cluster.threshold=0.4", "cluster.k=7", *setting.overrides])


def test_what_is_shared_is_made_once_and_by_turns_of_seeds() -> None:
    configs = [
        replace(load(None, [base, *more]), seed=seed)
        for base in ("embed.model=sface", "embed.model=mobilefacenet")
        for more in (["cluster.method=hac"], ["adapt.rounds=3"], ["cluster.metric=cosine"])
        for seed in (0, 1)
    ]
    order = in_order([*configs, *configs])
    assert len(order) == len(set(order)) == 12
    vectors = [c.embed for c in order]
    assert sum(a != b for a, b in itertools.pairwise(vectors)) == 1
    trainings = [(c.embed, c.cluster.adapts, c.adapt, c.seed) for c in order]
    assert sum(a != b for a, b in itertools.pairwise(trainings)) == len(set(trainings)) - 1


# The runs


def test_only_what_hangs_on_the_seed_runs_with_every_seed(runs: FakeRuns, tmp_path: Path) -> None:
    found = little(tmp_path / "a", configure=lambda more: load(None, ["seed=1", *more]))
    assert found.seeds == (1, 2)
    assert set(runs.asked.values()) == {1}
    assert {c.seed for c in runs.asked if not c.cluster.adapts} == {1}
    assert [cell.seed for cell in row(found, 1, "ours, loss").cells] == [1, 2]
    assert [cell.seed for cell in row(found, 3, "FINCH").cells] == [1]


def test_scores_over_two_seeds_worked_by_hand(runs: FakeRuns, tmp_path: Path) -> None:
    found = little(tmp_path / "a")
    assert (found.tracks, found.labelled, found.people) == (5, 4, 2)
    # Seed 0: all right, at 2 of 2. Seed 1: both Anns of the 4 (the Unknown Ben is an error), at 1 of 2.
    summary = tables.over_seeds(row(found, 1, "ours, loss").cells)
    assert summary is not None
    assert (summary["wcp"], summary["pcr"], summary["coverage"]) == (0.75, 0.75, 0.875)
    assert (summary["wcp_worst"], summary["pcr_at_worst"], summary["coverage_least"]) == (0.5, 0.5, 0.75)
    assert (summary["pcr_least"], summary["pcr_most"], summary["clusters"]) == (0.5, 1.0, 1.5)
    assert (summary["adapt_seconds"], summary["seeds"]) == (3.5, 2)
    line = "| ours, loss | 0.750@0.75 | 0.500@0.50 | 0.50 to 1.00 | 1.5/2 | 0.875 | 2 | 3.5 s |"
    assert line in tables.markdown(found).splitlines()
    assert "| FINCH | 1.000@1.00 | 1.000@1.00 | 1.00 | 2/2 | 1.000 | 1 | - |" in tables.markdown(found).splitlines()


def test_a_setting_that_cannot_be_had_says_why_and_the_others_go_on(runs: FakeRuns, tmp_path: Path) -> None:
    found = little(tmp_path / "a")
    text = tables.markdown(found)
    assert "| base vectors, told the number of people | - | - | - | - | - | 0 | - |" in text
    assert "- base vectors, told the number of people, seed 0: 2 people cannot be found in 1 tracks with faces." in text
    tree = tables.to_json(found)
    problem = [r for r in tree["rows"] if r["setting"]["name"] == "base vectors, told the number of people"]
    assert problem[0]["over_seeds"] is None


def test_a_training_that_was_given_up_is_told(runs: FakeRuns, tmp_path: Path) -> None:
    found = little(tmp_path / "a")
    assert "- adapted, trained in 3 rounds, seed 1: the training collapsed." in tables.markdown(found)
    trained = tables.over_seeds(row(found, 0, "adapted, trained in 3 rounds").cells)
    assert trained is not None
    assert trained["fell_back"] == 1


def test_a_broken_off_ablation_goes_on_and_other_labels_need_no_run(runs: FakeRuns, tmp_path: Path) -> None:
    runs.broken_off_at = 9
    with pytest.raises(KeyboardInterrupt):
        little(tmp_path / "a")
    runs.broken_off_at = None
    first = little(tmp_path / "a")
    again = {c for c, n in runs.asked.items() if n > 1}
    assert all(c.cluster.k for c in again)  # what failed is tried again, what is done is not
    asked = sum(runs.asked.values())
    swapped = little(tmp_path / "a", labels_of(("Ann", "Ben", "Ann", "Ben", None)))
    assert sum(runs.asked.values()) == asked + 1
    assert tables.over_seeds(row(swapped, 3, "HAC").cells)["wcp"] == 0.5  # type: ignore[index]
    assert tables.over_seeds(row(first, 3, "HAC").cells)["wcp"] == 1.0  # type: ignore[index]


def test_the_json_holds_configs_versions_and_every_seed(runs: FakeRuns, tmp_path: Path) -> None:
    tree = json.loads(json.dumps(tables.to_json(little(tmp_path / "a")), allow_nan=False))
    assert tree["schema"] == "vcn-trt/ablation/1"
    assert {"python", "vcn-trt", "torch"} <= set(tree["versions"])
    ours = next(r for r in tree["rows"] if r["setting"]["name"] == "ours, loss")
    assert ours["config"]["cluster"]["metric"] == "loss"
    assert [(c["seed"], c["with_unknown"]["wcp"]) for c in ours["cells"]] == [(0, 1.0), (1, 0.5)]
    assert ours["cells"][0]["rounds"] == [{"matches": 0, "precision": None, "recall": 0.0}]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (replace(labels_of(), width=1280, height=720), "1280x720"),
        (replace(labels_of(), frames=200), "200 frames"),
        (replace(labels_of(), tracks=()), "none of the 5 tracks is a labelled person"),
    ],
)
def test_labels_that_do_not_fit_are_refused(runs: FakeRuns, tmp_path: Path, labels: Labels, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        little(tmp_path / "a", labels)
    assert not runs.asked


def test_labels_of_another_size_are_refused_before_anything_is_read(
    runs: FakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "find_tracks", lambda *_: pytest.fail("the film was read"))
    with pytest.raises(LabelError, match="1280x720"):
        little(tmp_path / "a", replace(labels_of(), width=1280, height=720))


def test_a_folder_of_something_else_is_left_alone(runs: FakeRuns, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no ablation"):
        little(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("more", [{"seeds": 0}, {"bases": ()}])
def test_no_seed_or_no_base_is_refused(runs: FakeRuns, tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a seed and a base"):
        little(tmp_path / "a", **more)


# Matches against labels


def test_matches_of_every_round_are_right_or_missed() -> None:
    # Tracks 0, 1, 2 are Ann, 3 is Ben, 4 is unlabelled: six ordered pairs are there to be found.
    identity = ["Ann", "Ann", "Ann", "Ben", None]
    first = Ragged.from_group_ids(np.array([1, 3, 4, 0]), np.array([0, 0, 0, 1]), 5)
    (found,) = score_rounds([first], identity)
    assert (found.matches, found.precision, found.recall) == (3, 2 / 3, 2 / 6)  # that with track 4 does not count
    (nothing,) = score_rounds([Ragged(np.zeros(0, np.int64), np.zeros(6, np.int64))], identity)
    assert (nothing.matches, nothing.recall) == (0, 0)
    assert np.isnan(nothing.precision)


def test_rounds_are_read_as_they_were_made_the_empty_last_one_too(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    np.savez(tmp_path / ".work" / "matches.npz", **_pairs([[(0, 1), (2, 0)], [(1, 2)]]))

    def pairs(facts: dict[str, Any]) -> list[list[tuple[int, int]]]:
        found = read_rounds(tmp_path, {"stages": {"adapt": facts}}, 3)
        return [list(zip(r.group_ids.tolist(), r.values.tolist(), strict=True)) for r in found]

    assert pairs({"matches": 1, "rounds": [{}]}) == [[(0, 1), (2, 0)], [(1, 2)]]
    assert pairs({"matches": 0, "rounds": [{}, {}, {}]}) == [[(0, 1), (2, 0)], [(1, 2)], [], []]
    assert pairs({"trains": "nothing, as configured"}) == []  # the file is of an earlier config


def test_a_damaged_file_of_matches_is_told(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "matches.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"matches.npz cannot be read"):
        read_rounds(tmp_path, {"stages": {"adapt": {"matches": 3}}}, 3)


def test_rounds_in_the_table_end_with_the_finished_model_though_a_seed_gave_up_early() -> None:
    rounds = [MatchScore(10, 0.5, 0.1), MatchScore(20, 0.8, 0.2), MatchScore(30, 1.0, 0.4)]
    scores = score(np.array([1, 2]), ["a", "b"])
    cells = tuple(
        Cell(seed, scores, scores, 1.0, tuple(r), 2.0)
        for seed, r in enumerate([rounds, [rounds[0], MatchScore(10, 0.6, 0.2)]])
    )
    one = Row(Setting(ablation.TABLES[1], "ours, loss", ()), Config(), cells)
    found = Ablation(("a.mp4",), ("a.json",), 2, 2, 2, (0, 1), "cpu", {"python": "3"}, (one,), ())
    lines = [line for line in tables.markdown(found).splitlines() if " round " in line or "finished" in line]
    assert lines == [
        "| ours, loss | round 1 | 10 | 0.500 | 0.500 | 0.100 | 0.100 |",
        "| ours, loss | round 2 | 20 | 0.800 | 0.800 | 0.200 | 0.200 |",
        "| ours, loss | the finished model | 20 | 0.800 | 0.600 | 0.300 | 0.200 |",
    ]


def test_an_evaluation_tells_of_the_last_round_and_of_none_without_adaptation() -> None:
    people = Clusters(np.array([1, 1, 2, 2, 3], np.int32), np.full(5, np.nan, np.float32))
    wrong, right = (Ragged.from_group_ids(np.array([k]), np.array([0]), 5) for k in (2, 1))
    found = evaluate(production(), people, [labels_of()], rounds=[wrong, right])
    assert found.last_round == MatchScore(1, 1.0, 1 / 4)
    console = Console(width=200, file=io.StringIO())
    console.print(table(found))
    assert isinstance(console.file, io.StringIO)
    (line,) = [x for x in console.file.getvalue().splitlines() if "coarse matches" in x]
    cells = [cell.strip() for cell in line.split("│") if cell.strip()]
    assert cells == ["coarse matches, last round", "1 pair", "precision 1.000, recall 0.250"]
    assert evaluate(production(), people, [labels_of()]).last_round is None


# The command, on film


@pytest.fixture(scope="module")
def labelled_film(face_film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The film and its labels: its three tracks, each a person."""
    run = tmp_path_factory.mktemp("labels")
    config = load(None, ["detect.size=320", "cluster.method=hac"])
    tracks = api.cluster(face_film, run / "run", config).tracks
    named = []
    for number, name in enumerate(("Sam", "Bruno", "Theo")):
        own = tracks.faces[tracks.faces.track == number]
        named.append(LabelledTrack(number, number, name, own.frame, own.box))
    path = run / "film.gt.json"
    write(Labels(path, "film.mp4", Fraction(24), 320, 180, 52, (), tuple(named)), path)
    return face_film, path


def vcn(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["vcn", *map(str, arguments)])
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command_leaves_tables_and_runs_nothing_twice(
    labelled_film: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ("baseline (HAC), cosine", "adapted, trained in 3 rounds")

    def some(bases: Sequence[str], people: int) -> list[Setting]:
        return [s for s in settings(bases, people) if s.name in rows]

    monkeypatch.setattr(ablation, "settings", some)
    sets = [f"--set={s}" for s in ("detect.size=320", "adapt.steps=1", "adapt.outputs=16", "adapt.views=0")]
    out = tmp_path / "ablation"
    command = ("ablate", *labelled_film, "--out", out, "--seeds", "1", "--bases", "sface", *sets, "--json", "-q")
    assert vcn(monkeypatch, *command) == 0
    tree = json.loads(capsys.readouterr().out)
    summaries = {r["setting"]["name"]: r["over_seeds"] for r in tree["rows"]}
    assert set(summaries) == set(rows)
    assert all(s["identities"] == 3 and s["seeds"] == 1 for s in summaries.values())
    assert (summaries[rows[0]]["wcp"], summaries[rows[0]]["pcr"]) == (1, 1)
    trained = next(r for r in tree["rows"] if r["setting"]["name"] == rows[1])
    assert len(trained["cells"][0]["rounds"]) == 4  # before each round, and with the finished model
    assert trained["cells"][0]["adapt_seconds"] > 0
    assert json.loads((out / "ablation.json").read_text(encoding="utf-8")) == tree
    assert "## Table 5" in (out / "ablation.md").read_text(encoding="utf-8")

    monkeypatch.setattr(ablation.api, "cluster_sources", lambda *_, **__: pytest.fail("it ran again"))
    assert vcn(monkeypatch, *command) == 0
    assert json.loads(capsys.readouterr().out) == tree


def test_a_film_that_cannot_be_read_is_told(
    labelled_film: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_home: Path
) -> None:
    broken = tmp_path / "film.mp4"
    broken.write_bytes(b"no film")
    with pytest.raises(VideoError, match=r"film\.mp4"):
        ablate([Source(broken, "f00d")], [labels_of()], tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_labels_the_command_says_what_it_takes(
    face_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcn(monkeypatch, "ablate", face_film, "--out", tmp_path / "a", "--bases", "sface") == 1
    assert "no label file was given" in capsys.readouterr().err
