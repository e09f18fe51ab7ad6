"""The config: typed, limited, written as TOML that reads back to the same."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vcn_trt.config import LIMITS, Config, load, to_dict, to_toml
from vcn_trt.errors import UsageError

printable = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def read_back(config: Config, folder: Path) -> Config:
    path = folder / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    return load(path)


def fields() -> dict[str, Any]:
    """Every value's dotted name and type."""
    hints = typing.get_type_hints(Config)
    found = {name: hint for name, hint in hints.items() if not dataclasses.is_dataclass(hint)}
    for section in set(hints) - set(found):
        found |= {f"{section}.{key}": hint for key, hint in typing.get_type_hints(hints[section]).items()}
    return found


FIELDS = fields()


def values_of(name: str, hint: Any) -> st.SearchStrategy[Any]:
    low, high = LIMITS.get(name, (-1e6, 1e6))
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(choices)
    if choices:
        return st.none() | values_of(name, choices[0])
    if name == "detect.size":
        return st.just(0) | st.integers(128, 8192)
    return {bool: st.booleans(), int: st.integers(int(low), int(high)), float: st.floats(low, high), str: printable}[
        hint
    ]


@st.composite
def configs(draw: st.DrawFn) -> Config:
    config = Config()
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=6)):
        section, _, key = name.rpartition(".")
        value = draw(values_of(name, FIELDS[name]))
        part = dataclasses.replace(getattr(config, section), **{key: value}) if section else value
        config = dataclasses.replace(config, **{section or key: part})
    assume(config.track.low <= config.track.high <= config.track.new)
    assume(config.cluster.threshold is None or config.cluster.method in ("hac", "dbscan"))
    assume(not config.cluster.k or config.cluster.method in ("hac", "finch"))
    return config


def test_the_defaults_need_no_file_and_are_within_their_limits() -> None:
    assert load() == Config()
    assert set(LIMITS) <= set(FIELDS)


@settings(max_examples=50)
@given(configs())
def test_toml_reads_back_to_the_same_config(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    assert read_back(config, tmp_path_factory.mktemp("config")) == config


def test_none_is_absent_from_toml_and_comes_back(tmp_path: Path) -> None:
    assert "threshold" not in tomllib.loads(to_toml(Config()))["cluster"]
    assert read_back(Config(), tmp_path).cluster.threshold is None
    given = load(overrides=["cluster.method=hac", "cluster.threshold=0.5"])
    assert read_back(given, tmp_path).cluster.threshold == 0.5


@pytest.mark.parametrize("key", ["threshold", "k"])
def test_the_method_has_neither_a_threshold_nor_a_number_of_people(key: str) -> None:
    with pytest.raises(UsageError, match=r"vcn (has no cluster\.threshold|finds the number of people itself)"):
        load(overrides=[f"cluster.{key}=1"])


@settings(max_examples=50)
@given(configs())
def test_overrides_reach_every_config_from_the_defaults(config: Config) -> None:
    changes = [
        f"{name}={value}"
        for name in FIELDS
        for value in [_at(config, name)]
        if value != _at(Config(), name) and not (isinstance(value, str) and value != value.strip())
    ]
    expected = to_dict(config)
    found = to_dict(load(overrides=changes))
    for name in FIELDS:
        if any(change.startswith(f"{name}=") for change in changes):
            assert _at_dict(found, name) == _at_dict(expected, name)


def _at(config: Config, name: str) -> Any:
    return _at_dict(to_dict(config), name)


def _at_dict(tree: dict[str, Any], name: str) -> Any:
    section, _, key = name.rpartition(".")
    return tree[section][key] if section else tree[key]


def test_a_file_then_the_overrides_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("seed = 3\n[detect]\nstride = 2\nscore = 1\n")
    config = load(path, ["detect.stride=4", "detect.stride=5", "device=cpu"])
    assert (config.seed, config.detect.stride, config.detect.score, config.device) == (3, 5, 1.0, "cpu")
    assert isinstance(config.detect.score, float)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stride", r"--set takes section\.key=value"),
        ("a.b.c=1", r"--set takes section\.key=value"),
        (".stride=1", r"--set takes section\.key=value"),
        ("detect.sise=3", r"unknown config key detect\.sise; known here: .*detect\.size"),
        ("detekt.size=3", r"unknown config key detekt; known here: .*detect"),
        ("detect=3", "detect is a section; set one of its keys"),
        ("device.x=1", "device is a section|device must be|value, not a section"),
        ("detect.stride=two", "detect.stride must be a whole number; found 'two'"),
        ("detect.stride=1.5", "detect.stride must be a whole number"),
        ("detect.score=nan", "detect.score must be a number"),
        ("detect.score=inf", "detect.score must be a number"),
        ("detect.close_up=maybe", "detect.close_up must be true or false; found 'maybe'"),
        ("shots.detector=eyes", "shots.detector must be one of content, adaptive; found 'eyes'"),
        ("cluster.threshold=far", "cluster.threshold must be a number"),
        ("detect.stride=0", "detect.stride must be from 1 to 1000; found 0"),
        ("detect.size=64", "at least 128; found 64"),
        ("decode.batch=0", "decode.batch must be from 1"),
        ("crops.interval_seconds=0", "crops.interval_seconds must be from 0.001"),
        ("cluster.threshold=2.1", "cluster.threshold must be from 0 to 2; found 2.1"),
        ("seed=-1", "seed must be from 0"),
    ],
)
def test_a_wrong_override_says_what_was_found_and_what_is_expected(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(overrides=[override])


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("detect = 3", "detect is a section"),
        ("[detect]\nstride = true", "detect.stride must be a whole number; found True"),
        ("[detect]\nstride = '3'", "detect.stride must be a whole number; found '3'"),
        ("[detect]\nclose_up = 1", "detect.close_up must be true or false"),
        ("[detect]\nmodel = 1", "detect.model must be a text"),
        ("[detect\n", "is not TOML"),
    ],
)
def test_a_wrong_file_says_what_was_found_and_what_is_expected(tmp_path: Path, toml: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(toml)
    with pytest.raises(UsageError, match=message):
        load(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the config .*none\.toml"):
        load(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not TOML"):
        load(tmp_path / "binary.toml")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False), ("False", False)])
def test_switches_are_read_from_words_and_numbers(text: str, value: bool) -> None:
    assert load(overrides=[f"detect.close_up={text}"]).detect.close_up is value


def test_ingests_slice_holds_what_decides_its_result_and_nothing_else() -> None:
    assert Config().ingest == load(overrides=["cluster.method=finch", "embed.batch=1", "seed=4"]).ingest
    for name, hint in FIELDS.items():
        if name.split(".")[0] in ("decode", "shots", "detect", "track", "crops"):
            assert name.split(".")[1] in to_dict(Config().ingest)[name.split(".")[0]], hint
