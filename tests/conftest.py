"""Shared fixtures: the labelled footage where it is at hand, and the default weights where they were fetched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from quick import Films

    from vcn_trt.sample.sources import Footage

# Threads that wait for each other give way: on cores that others use as well, those that spin halve the speed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shared machine pauses at will: only pytest's own limit holds.
settings.register_profile("vcn", deadline=None)
settings.load_profile("vcn")


@pytest.fixture(autouse=True)
def scheduling() -> Iterator[None]:
    """No test leaves a real-time thread behind: a pool that spins on it would hold every core for ever."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before


def missing(what: str) -> NoReturn:
    """Skip what cannot be tested here; fail instead where VCN_REQUIRE_ASSETS=1 says that all can be fetched."""
    if os.environ.get("VCN_REQUIRE_ASSETS") == "1":
        pytest.fail(f"{what}; VCN_REQUIRE_ASSETS=1 asks for it")
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; skips where it is not here. tests/browser.py opens windows in it."""
    from browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of labelled footage: $VCN_FOOTAGE, else `../shared/data` beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("VCN_FOOTAGE", default))
    if not (path / "episodes").is_dir():
        pytest.skip(f"the labelled footage is not here (set VCN_FOOTAGE; looked in {path})")
    return path


@pytest.fixture(scope="session")
def weights_home() -> Path:
    """$VCN_HOME with the default weights in it, fetched where they are missing."""
    from vcn_trt.errors import ModelError
    from vcn_trt.zoo import fetch

    try:
        for name in ("retinaface_mnet025", "sface"):
            fetch.fetch(name)
    except ModelError as error:
        missing(f"the default weights are not here: run `vcn models fetch` where there is a network ({error})")
    return fetch.home()


@pytest.fixture(scope="session")
def sample_archives() -> Path:
    """The archives of the sample film, fetched once under $VCN_HOME: photographs and clips of real faces."""
    from vcn_trt.errors import VcnError
    from vcn_trt.sample import sources
    from vcn_trt.zoo import fetch

    folder = fetch.home() / "sample"
    try:
        sources.fetch(folder)
    except VcnError as error:
        missing(f"the sample's archives cannot be fetched here ({error})")
    return folder


@pytest.fixture(scope="session")
def face_photographs(weights_home: Path) -> Footage:
    """The pictures of the sample film, fetched into $VCN_HOME where they are missing; tests/faces.py films them."""
    from vcn_trt.errors import VcnError
    from vcn_trt.sample.sources import Footage, fetch

    try:
        fetch(weights_home / "sample")
    except VcnError as error:
        missing(f"the sample's archives cannot be fetched here ({error})")
    return Footage(weights_home / "sample")


@pytest.fixture(scope="session")
def face_film(face_photographs: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, three shots, three people, 320x180."""
    import faces

    return faces.write(tmp_path_factory.mktemp("film") / "film.mp4", face_photographs)


@pytest.fixture
def films(face_film: Path, weights_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Films:
    """An empty folder to be in, and $VCN_HOME with the weights alone, for commands that are made quick. Called with
    names, it puts the film there under each of them."""
    import quick

    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (home / "weights").symlink_to(weights_home / "weights")
    monkeypatch.setenv("VCN_HOME", str(home))
    monkeypatch.chdir(here)
    quick.runs(monkeypatch, tmp_path)
    quick.bench(monkeypatch)

    def put(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(exist_ok=True)
            shutil.copy(face_film, name)

    return put
