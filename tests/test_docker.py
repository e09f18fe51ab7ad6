"""The images' recipes and the compose file agree with the package they are made of. No image is built here:
docs/docker.md says how that was tried."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from machines import BARE, WHOLE
from noted import Noted
from pages import ROOT, commands, inline, lines, read_by_vcn
from typer.testing import CliRunner

from vcn_trt import cli, doctor
from vcn_trt.backends import cuda
from vcn_trt.backends.cuda.packages import CAPABILITIES
from vcn_trt.backends.cuda.stack import Found

DOCKER = ROOT / "docker"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHON_OF = {"ubuntu24.04": (3, 12)}
RECIPES = ["cpu", "cuda"]


def instructions(recipe: str) -> list[tuple[str, str]]:
    """(word, the rest) of each instruction of a Dockerfile, lines joined and comments left out."""
    lines = (DOCKER / f"{recipe}.Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            found.append((word, rest.strip()))
    return found


def all_of(recipe: str, word: str) -> list[str]:
    return [rest for found, rest in instructions(recipe) if found == word]


def last_stage(recipe: str) -> list[tuple[str, str]]:
    found = instructions(recipe)
    return found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]


def arguments(recipe: str) -> dict[str, str]:
    return {name: value for name, _, value in (rest.partition("=") for rest in all_of(recipe, "ARG"))}


def variables(recipe: str) -> dict[str, str]:
    """The environment of the last stage."""
    pairs = [pair for word, rest in last_stage(recipe) if word == "ENV" for pair in shlex.split(rest)]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def copied(recipe: str) -> list[str]:
    """What comes from the repository."""
    lines = [shlex.split(rest) for rest in all_of(recipe, "COPY") if "--from=" not in rest]
    return [name for line in lines for name in [word for word in line if not word.startswith("--")][:-1]]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_image_runs_as_a_user_without_rights(recipe: str) -> None:
    users = [rest for word, rest in last_stage(recipe) if word == "USER"]
    assert users
    assert int(users[-1].split(":")[0]) >= 1000  # a number, which a host can check


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_copied_is_there_and_is_not_ignored(recipe: str) -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    for name in copied(recipe):
        assert (ROOT / name).exists()
        assert name in let_in
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"pyproject.toml", PROJECT["project"]["readme"], *wheel["packages"], *wheel["force-include"]} <= set(
        copied(recipe)
    )


def test_nothing_is_let_in_that_no_image_takes() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    taken = {name for recipe in RECIPES for name in copied(recipe)}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == taken


def test_the_extras_are_those_of_the_package() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert any("[cpu]" in rest for rest in all_of("cpu", "RUN"))
    assert extras["cpu"] == []
    assert arguments("cuda")["EXTRAS"] in extras


def test_python_is_one_that_the_package_takes() -> None:
    oldest = tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
    assert tuple(map(int, arguments("cpu")["PYTHON"].split("."))) >= oldest
    bases = all_of("cuda", "FROM")
    assert len(bases) == 2
    for base in bases:
        (system,) = (name for name in PYTHON_OF if name in base)
        assert PYTHON_OF[system] >= oldest


def test_both_stages_have_the_same_python() -> None:
    assert len({base.split(" AS ")[0] for base in all_of("cpu", "FROM")}) == 1
    assert len({re.sub("-(devel|base)-", "-", base.split(" AS ")[0]) for base in all_of("cuda", "FROM")}) == 1


def test_the_drivers_video_part_is_asked_for() -> None:
    name, _, capabilities = CAPABILITIES.partition("=")
    assert variables("cuda")[name] == capabilities
    assert "video" in capabilities.split(",")


@pytest.mark.parametrize("recipe", RECIPES)
def test_everything_that_is_kept_lies_on_the_volume(recipe: str) -> None:
    (volume,) = (rest for word, rest in last_stage(recipe) if word == "VOLUME")
    assert variables(recipe)["VCN_HOME"] == variables(recipe)["HOME"] == volume


@pytest.mark.parametrize("recipe", RECIPES)
def test_onnx_runtime_reports_to_nobody(recipe: str) -> None:
    assert variables(recipe)["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_kernels_are_compiled_for_the_architectures_of_the_tests() -> None:
    tested = re.search(
        r"ARCHITECTURES = \((.*)\)", (ROOT / "tests/kernels/test_compile.py").read_text(encoding="utf-8")
    )
    assert tested is not None
    (compiling,) = (rest for rest in all_of("cuda", "RUN") if "nvcc" in rest)
    assert re.findall(r"compute_(\d+),code=sm_\1", compiling) == tested[1].split(", ")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_health_check_is_a_command_of_vcn(recipe: str) -> None:
    (check,) = all_of(recipe, "HEALTHCHECK")
    words = yaml.safe_load(check.partition("CMD ")[2])
    assert words[0] == "vcn"
    read_by_vcn(words[1:])


# What docs/docker.md types. No image is built and nothing installed: what the words name is looked at.

TAKES = {"run": {"-v", "--user", "--gpus"}, "build": {"-f", "-t", "--secret", "--build-arg"}}
"""The options that have a value; --rm is the one without."""

BUILD_ARGUMENTS = {name for recipe in RECIPES for name in arguments(recipe)}


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    programs = Noted(tmp_path)
    for name in ("docker", "pip", "vcn", "gzip"):
        programs.program(name)
    return programs


def split(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Docker's verb and its options with their values; and what comes behind them."""
    verb, *left = words
    options: dict[str, list[str]] = {}
    while left and left[0].startswith("-"):
        option = left.pop(0)
        assert option in TAKES[verb] | {"--rm"}
        options.setdefault(option, []).append(left.pop(0) if option in TAKES[verb] else "")
    return options, left


def check_docker(words: Sequence[str], images: set[str]) -> None:
    """images: those that the page has built so far."""
    if words[0] == "build":
        options, context = split(words)
        assert all((ROOT / path).is_file() for path in options["-f"])
        assert context == ["."]
        images.update(options["-t"])
    elif words[0] == "run":
        options, (image, *given) = split(words)
        assert image in images
        assert {volume.split(":")[1] for volume in options["-v"]} <= {"/data", variables("cpu")["VCN_HOME"]}
        assert all(re.fullmatch(r"\d+:\d+", user) for user in options.get("--user", []))
        assert ("--gpus" in options) == ("cuda:0" in given)
        read_by_vcn(given)
    else:
        assert words == ["compose", "-f", "docker/compose.yaml", "up", "--build"]


def check_pip(words: Sequence[str]) -> None:
    verb, *wanted = words
    assert verb == "install"
    for name in wanted:
        package, _, extras = name.rstrip("]").partition("[")
        assert package in ("torch", PROJECT["project"]["name"])
        assert set(filter(None, extras.split(","))) <= set(PROJECT["project"]["optional-dependencies"])


def test_the_lines_of_the_page_name_what_there_is(noted: Noted, tmp_path: Path) -> None:
    images: set[str] = set()
    asked = []
    for line in lines("docs/docker.md"):
        for program, *words in noted.typed(line, tmp_path)[0]:
            asked.append((program, words[0]))
            if program == "docker":
                check_docker(words, images)
            elif program == "pip":
                check_pip(words)
            else:
                read_by_vcn(words)
    assert asked == [
        *[("pip", "install")] * 2,
        *[("vcn", "doctor"), ("docker", "build"), ("docker", "build")],
        *[("docker", "run"), ("docker", "run"), ("docker", "compose")],
    ]
    assert images == {"vcn-trt:cpu", "vcn-trt:cuda"}
    composed = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{(\w+)", composed))
    given = {name for name in re.findall(r"(\w+)=", line) if name in noted.environment()}
    assert given == wanted
    assert f"image: {max(images)}" in composed


@pytest.mark.parametrize("span", [span for span in inline("docs/docker.md") if span.startswith("docker ")])
def test_a_command_in_its_sentences_names_what_there_is(noted: Noted, tmp_path: Path, span: str) -> None:
    typed = span.removesuffix(" ...")
    for _, *words in noted.typed(typed, tmp_path)[0]:
        if words[:1] == ["run"]:
            check_docker(words, {"vcn-trt:cuda"})
        elif words[:1] == ["build"]:
            (secret,) = split(words)[0]["--secret"]
            assert f"id={secret.split(',')[0].removeprefix('id=')}," in "".join(all_of("cuda", "RUN"))
        elif words:
            assert " ".join(words) in ("save vcn-trt:cuda", "load", "compose config")


def test_what_it_says_of_build_arguments_is_in_the_recipes() -> None:
    said = [word.partition("=") for span in inline("docs/docker.md") for word in span.split()]
    given = [(name, value) for name, equals, value in said if equals and re.fullmatch("[A-Z_]+", name)]
    assert {name for name, _ in given} == BUILD_ARGUMENTS
    extras = {extra for name, value in given if name == "EXTRAS" for extra in value.split(",")}
    assert extras <= set(PROJECT["project"]["optional-dependencies"])
    assert {arguments("cpu")["PYTHON"]} <= {value for name, value in given if name == "PYTHON"}


@pytest.mark.parametrize(("machine", "status"), [(BARE, 1), (WHOLE, 0)], ids=["bare", "whole"])
def test_the_doctor_of_the_page_ends_as_it_says(machine: Found, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_weights", list)
    monkeypatch.setattr(doctor, "look", lambda: machine)
    monkeypatch.setattr(cuda, "look", lambda: machine)
    for program, *words in commands("docs/docker.md"):
        if program == "vcn":
            assert CliRunner().invoke(cli.app, words).exit_code == status


# A night


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def test_each_worker_has_a_card_of_its_own(compose: dict[str, Any]) -> None:
    workers = {name: service for name, service in compose["services"].items() if name.startswith("gpu")}
    cards = []
    for name, worker in workers.items():
        (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert device["capabilities"] == ["gpu"]
        assert device["device_ids"] == [name.removeprefix("gpu")]
        cards += device["device_ids"]
    assert len(cards) == len(set(cards)) == 2


def test_workers_cannot_reach_the_network_nor_write_to_the_footage(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert not service["user"].startswith("${VCN_USER:-0")
        assert "home:/var/lib/vcn" in service["volumes"]
        if name.startswith("gpu"):
            assert service["network_mode"] == "none"
            assert any(volume.endswith(":/footage:ro") for volume in service["volumes"])
            read_by_vcn(["run", "/footage/monday", "--out", "monday", *service["command"]])
        else:
            read_by_vcn(service["command"])


def test_the_services_are_made_of_the_recipe(compose: dict[str, Any]) -> None:
    build = compose["services"]["weights"]["build"]
    context = DOCKER / build["context"]
    assert context.resolve() == ROOT
    assert (context / build["dockerfile"]).is_file()
    (script,) = (rest for rest in all_of("cuda", "COPY") if "night.sh" in rest)
    for name, service in compose["services"].items():
        assert service["image"] == compose["services"]["weights"]["image"]
        assert not name.startswith("gpu") or script.endswith(f"/{service['entrypoint'][0]}")
