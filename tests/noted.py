"""Programs that only note how they were called, for commands whose effect no test should have."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAM = """#!/bin/sh
# Stands in for a program: notes its name, its words and its environment, and is content.
{before}
note=$(printf '%s\\037' "${{0##*/}}" "$@"; printf '\\036')
printf '%s' "$note" >> {log}  # by one write: two in a pipe note at once
env > {log}.env
"""


@dataclass(frozen=True)
class Noted:
    """folder: where the notes are, and the programs that stand before those of the PATH."""

    folder: Path

    @property
    def _log(self) -> Path:
        return self.folder / "calls"

    def program(self, name: str, folder: Path | None = None, before: str = "") -> Path:
        """A stand-in, among those of the PATH or in another folder. before: in sh, what it does else."""
        path = (folder or self.folder / "bin") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM.format(before=before, log=shlex.quote(str(self._log))))
        path.chmod(0o755)
        return path

    def typed(self, line: str, cwd: Path, status: int = 0, **variables: str) -> tuple[list[list[str]], str]:
        """A line as a shell takes it. -> each stand-in's name and words, and what the line printed."""
        environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"} | variables
        done = subprocess.run(["sh", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True)
        assert done.returncode == status, f"{line}\n{done.stdout}{done.stderr}"
        text = self._log.read_text() if self._log.exists() else ""
        self._log.unlink(missing_ok=True)
        return [call.split("\037")[:-1] for call in text.split("\036")[:-1]], done.stdout

    def environment(self) -> dict[str, str]:
        """What the last of them was given."""
        lines = self._log.with_suffix(".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)
