"""What is shipped: the wheel and the sdist work outside the checkout, the editable install inside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ("kernels", "models", "engines")
WHERE = "from vcn_trt import assets; import vcn_trt; print(vcn_trt.__file__, assets.folder('models'), sep='\\n')"


def call(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def hatch(target: str, source: Path, out: Path) -> Path:
    call(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out, cwd=source)
    (built,) = out.iterdir()
    return built


def install(wheel: Path, target: Path) -> None:
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", "--target")
    call(sys.executable, "-m", "pip", "install", *options, target, wheel, cwd=target.parent)


def members(wheel: Path) -> set[str]:
    """The files of a wheel, less its metadata."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hatch("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare folder with nothing but the wheel in it."""
    target = tmp_path_factory.mktemp("outside") / "site"
    install(wheel, target)
    return target


def test_the_wheel_carries_kernels_models_and_engines(wheel: Path) -> None:
    names = members(wheel)
    for folder in DATA:
        shipped = {name.removeprefix(f"vcn_trt/_assets/{folder}/") for name in names if f"_assets/{folder}/" in name}
        assert shipped == {p.name for p in (ROOT / folder).iterdir() if p.is_file()}
    assert {"vcn_trt/py.typed", "vcn_trt/pipeline.py"} <= names
    assert {f"vcn_trt/report/{name}" for name in ("report.html.j2", "report.css", "js/main.js")} <= names
    assert all(name.startswith("vcn_trt/") for name in names)


def test_the_wheel_carries_no_weights_and_no_pictures(wheel: Path) -> None:
    assert [n for n in members(wheel) if Path(n).suffix in {".onnx", ".safetensors", ".jpg", ".png", ".mp4"}] == []
    assert wheel.stat().st_size < 2_000_000


def test_the_installed_wheel_finds_its_manifests_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    package, models = call(sys.executable, "-c", WHERE, cwd=tmp_path, PYTHONPATH=str(installed)).splitlines()
    assert Path(package).is_relative_to(installed)
    assert Path(models) == installed / "vcn_trt" / "_assets" / "models"
    assert list(Path(models).glob("*.toml"))


def test_the_installed_wheel_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    said = call(sys.executable, "-m", "vcn_trt", "--version", cwd=tmp_path, PYTHONPATH=str(installed))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert version[1] in said


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "sdist").mkdir()
    (tmp_path / "again").mkdir()
    archive = hatch("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    again = hatch("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "again")
    assert members(again) == members(wheel)


def test_an_editable_install_resolves_to_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "editable").mkdir()
    install(hatch("wheel:editable", ROOT, tmp_path / "editable"), tmp_path / "site")
    # -I and -S leave out the working directory, PYTHONPATH and whatever this environment has installed.
    program = f"import site; site.addsitedir({str(tmp_path / 'site')!r}); {WHERE}"
    package, models = call(sys.executable, "-I", "-S", "-c", program, cwd=tmp_path).splitlines()
    assert Path(package) == ROOT / "vcn_trt" / "__init__.py"
    assert Path(models) == ROOT / "models"


PLACE = re.compile(r"(?<![\w./-])/(?:work|home|root|opt/[\w.-]+)/[\w.-]+|file:/{2}")
"""A path that one machine has: its owner's folders, and two levels below the one for add-ons."""
ADDRESS = re.compile(r"https?:/{2}|--(?:extra-)?index-url|--trusted-host|--find-links")
"""Where packages come from is pip's configuration, the user's own."""
DOCKER = ("docker/cpu.Dockerfile", "docker/cuda.Dockerfile", "docker/compose.yaml", "docker/night.sh")
BUILD = ("Makefile", "pyproject.toml", "constraints.txt", ".ci/run", *DOCKER)


@pytest.mark.parametrize("folders", [("work", "main"), ("home", "ann", "films"), ("root", ".cache"), ("opt", "a", "b")])
def test_a_path_of_one_machine_is_known_as_such(folders: tuple[str, ...]) -> None:
    path = "/".join(("", *folders))
    assert PLACE.search(f'FILM = "{path}"')
    assert PLACE.search(f"run {path}")
    assert not PLACE.search(f"films{path} or {path[1:]} or /{folders[0]}")


def test_no_tracked_file_names_a_registry_or_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    found = []
    for name in call("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        path = ROOT / name
        if not path.is_file():
            continue
        patterns = (PLACE, ADDRESS) if name in BUILD else (PLACE,)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{name}:{i}: {line}" for i, line in enumerate(lines, 1) if any(p.search(line) for p in patterns)]
    assert found == []
    assert all((ROOT / name).is_file() for name in BUILD)
