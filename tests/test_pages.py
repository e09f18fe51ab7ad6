"""No command of the documentation goes untested: every page with commands has a module that runs them, and what stands
in backticks among its sentences is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pages
import pytest
from pages import PAGES, ROOT, commands, inline, options, read_by_vcn, verb

from vcn_trt.config import load
from vcn_trt.errors import UsageError

BY = {
    ("README.md", "make"): "test_make.py",
    ("README.md", "vcn"): "test_docs_commands.py",
    ("docs/bench.md", "benchmarks/gpu_check.sh"): "bench/test_gpu_check.py",
    ("docs/bench.md", "vcn"): "bench/test_bench_command.py",
    ("docs/corrections.md", "vcn"): "corrections/test_corrections_commands.py",
    ("docs/docker.md", "docker"): "test_docker.py",
    ("docs/docker.md", "pip"): "test_docker.py",
    ("docs/docker.md", "vcn"): "test_docker.py",
    ("docs/editors.md", "vcn"): "test_editors.py",
    ("docs/engines.md", "vcn"): "test_docs_commands.py",
    ("docs/gpu.md", "benchmarks/gpu_check.sh"): "bench/test_gpu_check.py",
    ("docs/method.md", "vcn"): "test_docs_commands.py",
    ("docs/models.md", "vcn"): "test_docs_commands.py",
    ("docs/operators.md", "vcn"): "test_docs_commands.py",
    ("docs/report.md", "vcn"): "test_report_command.py",
    ("docs/researchers.md", "vcn"): "test_docs_commands.py",
    ("docs/review.md", "vcn"): "review/test_review_command.py",
}
"""Which module types the commands of a page that begin with a program. Each names the page."""

PROGRAMS = ("benchmarks/gpu_check.sh", "docker", "make", "pip", "python", "vcn")


def test_every_program_of_a_page_is_run_by_a_module() -> None:
    assert {(page, words[0]) for page in PAGES for words in commands(page)} == set(BY)
    for (page, _), module in BY.items():
        assert f'"{page}"' in (ROOT / "tests" / module).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_that_say_sh(page: str) -> None:
    """Elsewhere no test would see them."""
    fences = pages.text(page).count("```")
    assert fences == 2 * len(pages.blocks(page))
    for language, content in pages.blocks(page):
        if language != "sh":
            assert not [line for line in content.splitlines() if line.split()[:1] and line.split()[0] in PROGRAMS]


def of_vcn(page: str) -> list[str]:
    return [span for span in inline(page) if re.match(r"(\w+=\S+ )*vcn\b(?!-)(?!_)", span)]


@pytest.mark.parametrize("page", [page for page in PAGES if of_vcn(page)])
def test_what_a_page_says_of_vcn_in_its_sentences_is_there(page: str) -> None:
    """A verb, and its options. Their values are words like NAME as often as not, and are only read by --set."""
    for span in of_vcn(page):
        command, words = verb(shlex.split(span)[1:])
        assert {word for word in words if word.startswith("-")} <= options(command), span


def settings(span: str) -> list[str]:
    return re.findall(r"--set (\S+=\S+)", span)


def test_every_value_that_a_page_sets_is_one_of_the_config() -> None:
    found = {(page, value) for page in PAGES for span in inline(page) for value in settings(span)}
    assert len(found) > 5
    for _, value in found:
        load(None, [value])
    with pytest.raises(UsageError):
        load(None, ["detect.sise=1280"])


@pytest.mark.parametrize("page", [page for page in PAGES if any("pytest " in span for span in inline(page))])
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    for span in inline(page):
        if "pytest " in span:
            assert all((ROOT / word).exists() for word in span.split() if word.startswith("tests/")), span


# The reading of pages


def test_a_command_is_split_as_a_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "Say `vcn run\nfilm.mp4`.\n\n```sh\n# first\nA=1 B='x y' vcn run 'my film.mp4' && vcn doctor  # and then\n"
        "vcn \\\n  report monday\n\n```\n\n```json\n{`vcn x`}\n```\n"
    )
    assert commands("page.md") == [["vcn", "run", "my film.mp4"], ["vcn", "doctor"], ["vcn", "report", "monday"]]
    assert inline("page.md") == ["vcn run film.mp4"]
    (tmp_path / "page.md").write_text("```sh\nvcn models list | fetch\n```\n")
    with pytest.raises(ValueError, match=r"no test runs a command with '\|'"):
        commands("page.md")


@pytest.mark.parametrize(
    "words",
    [
        *(["doctor", "--gpu"], ["models", "bring"], ["reprot", "monday"], ["run"], ["bench", "--seconds", "long"]),
        *(["report", "monday", "tuesday"], ["--versions"]),
    ],
)
def test_words_that_vcn_does_not_take_are_known(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|valid number|unexpected|bring|reprot"):
        read_by_vcn(words)


def test_words_that_vcn_takes_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["run", "a.mp4", "--out", "b"], ["models", "list"], ["sample"]):
        read_by_vcn(words)
    assert not list(tmp_path.iterdir())
