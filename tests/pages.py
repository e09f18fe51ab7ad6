"""The commands of the documentation: those of its ```sh blocks, and those that stand in backticks among its sentences.

Each page with commands is run by one test module, which asks for them by the page's name; test_pages.py sees to that.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from vcn_trt import cli

Command = TyperCommand | TyperGroup
ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"))
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_OPERATORS = re.compile(r"[|;&<>]+")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block; "" where no language is named."""
    return _BLOCK.findall(text(page))


def lines(page: str) -> list[str]:
    """What is typed, as it stands in the ```sh blocks; lines that end in a backslash go on in the next."""
    shell = "\n".join(content for language, content in blocks(page) if language == "sh")
    return [line for line in shell.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def commands(page: str) -> list[list[str]]:
    """The words of each command of the ```sh blocks. A comment and variables that stand before it are left out, and at
    && another one begins; what else a shell makes of a line is refused, as it would not be tested."""
    found = []
    for line in lines(page):
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word == "&&":
                found.append(command)
                command = []
            elif _OPERATORS.fullmatch(word):
                raise ValueError(f"{page} has {line!r}: no test runs a command with {word!r}")
            elif command or not _VARIABLE.match(word):
                command.append(word)
    return found


def inline(page: str) -> list[str]:
    """What stands in backticks among the sentences, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _BLOCK.sub("", text(page)))]


def verb(words: Sequence[str]) -> tuple[Command, list[str]]:
    """What `vcn` would call for these words, and what is left for it. Raises KeyError for a verb that is none."""
    command, left = typer.main.get_command(cli.app), list(words)
    while isinstance(command, TyperGroup) and left and not left[0].startswith("-"):
        command = command.commands[left.pop(0)]
    assert isinstance(command, Command)
    return command, left


def read_by_vcn(words: Sequence[str]) -> None:
    """Have `vcn` read the words, as far as before it does anything. Raises what tells the user of wrong usage."""
    command, left = verb(words)
    command.make_context(words[0], left)


def options(command: Command) -> set[str]:
    """As they are typed."""
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"--help"}
