"""A made run, and its review served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, made, served


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made(tmp_path / "monday")


@pytest.fixture
def server(run: Path) -> Iterator[Served]:
    with served(run) as opened:
        yield opened
