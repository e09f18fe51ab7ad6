"""Tests that need what must be fetched first: skipped where it is missing, failing where it must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = "pytester"

FETCHING = """
import pytest
from vcn_trt.errors import ModelError, VcnError
from vcn_trt.sample import sources
from vcn_trt.zoo import fetch

@pytest.fixture(autouse=True, scope="session")
def no_network():
    def refuse(*_):
        raise {error}("no network")
    fetch.fetch = {weights}
    sources.fetch = refuse

def test_it({fixture}):
    pass
"""
CASES = {"weights_home": "refuse", "sample_archives": "refuse", "face_photographs": "lambda name: None"}


@pytest.mark.parametrize("fixture", CASES)
@pytest.mark.parametrize(("required", "outcome"), [("0", "skipped"), ("1", "errors")])
def test_missing_assets_skip_a_test_and_fail_it_where_they_are_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, fixture: str, required: str, outcome: str
) -> None:
    monkeypatch.setenv("VCN_REQUIRE_ASSETS", required)
    monkeypatch.setenv("VCN_HOME", str(pytester.path))
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    error = "ModelError" if fixture == "weights_home" else "VcnError"
    pytester.makepyfile(FETCHING.format(error=error, weights=CASES[fixture], fixture=fixture))
    result = pytester.runpytest_subprocess("-rsE", "-p", "no:cacheprovider")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*no network*"])


def test_continuous_integration_requires_them() -> None:
    script = (Path(__file__).parents[1] / ".ci" / "run").read_text(encoding="utf-8")
    assert "export VCN_REQUIRE_ASSETS=1\n" in script.split("make test")[0]
