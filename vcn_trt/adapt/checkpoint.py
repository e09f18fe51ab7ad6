"""The state of a training between two rounds, on disk: whole or not at all, and never taken for another training's."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

FILE = "training.pt"


def save(folder: Path, state: dict[str, Any], identity: str) -> None:
    """Write the state (tensors, numbers, text, lists and dicts of them) in place of the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    memory = io.BytesIO()
    torch.save({"identity": identity, "state": state}, memory)
    content = memory.getbuffer()
    scratch = folder / f"{FILE}.tmp"
    with scratch.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, folder / FILE)


def load(folder: Path, identity: str) -> tuple[dict[str, Any] | None, str | None]:
    """The state of the training with this identity, or None, with what to tell the user where there was one that cannot
    be used."""
    path = folder / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path} cannot be read ({error.strerror}): the adaptation starts from the beginning"
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None, f"{path} is damaged: the adaptation starts from the beginning"
    found = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    if found["identity"] != identity:
        return None, f"{path} is of another config, base or footage: the adaptation starts from the beginning"
    return found["state"], None
