"""What each kernel must move and do, whatever its form: the floor that its time on a card is held to.

Bytes count every input that must be read and every output once; operations a multiplication or addition each, an
exponential as one. Gaussians are in double, whose rate is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Work(NamedTuple):
    """bytes moved to and from memory, operations in float, operations in double."""

    bytes: float
    operations: float = 0
    doubles: float = 0

    def seconds(self, card: Card) -> float:
        """The least time, were one of the three alone to count."""
        return max(self.bytes / card.bandwidth, self.operations / card.operations, self.doubles / card.doubles)


class Card(NamedTuple):
    """A card's rates a second: bytes, operations in float and in double, without tensor cores."""

    name: str
    bandwidth: float
    operations: float
    doubles: float


H100 = Card("H100 SXM", 3.35e12, 67e12, 34e12)
H200 = Card("H200 SXM", 4.8e12, 67e12, 34e12)
"""From NVIDIA's data sheets."""

_CROP = 112 * 112
_COLOUR = 24  # operations of the matrix, clipping and normalising, a pixel


def letterbox(n: int, width: int, height: int, padded_width: int, padded_height: int, sample: int = 1) -> Work:
    """n frames of width x height, `sample` bytes a sample: each sample weighed once an axis."""
    out = n * padded_width * padded_height
    return Work(_planes(n, width, height) * sample + out * 12, 4 * _planes(n, width, height) + _COLOUR * out)


def thumbnails(n: int, width: int, height: int, out_width: int, out_height: int, sample: int = 1) -> Work:
    out = n * out_width * out_height
    return Work(_planes(n, width, height) * sample + out * 3, 4 * _planes(n, width, height) + _COLOUR * out)


def warp_faces(faces: int, sample: int = 1) -> Work:
    """At the face's own scale: a sample a pixel; four colours mixed for each."""
    return Work(faces * _CROP * (1.5 * sample + 3), faces * _CROP * 4 * (_COLOUR + 6))


def sharpness(faces: int, sample: int = 1) -> Work:
    return Work(faces * (_CROP * sample + 4), faces * _CROP * (4 * 5 + 6 + 3))


def retinaface_faces(n: int, anchors: int, found: int) -> Work:
    """Scores come in pairs, of which memory gives both; the rest is read of what is found alone."""
    return Work(n * anchors * 8 + found * (56 + 68), n * anchors + found * 60)


def scrfd_faces(n: int, anchors: int, found: int) -> Work:
    return Work(n * anchors * 4 + found * (56 + 68), n * anchors + found * 45)


def nms(boxes: int, kept: int) -> Work:
    """Each kept box against those after it, half of all in the mean."""
    return Work(boxes * 17, kept * boxes / 2 * 17)


def softmax_means(crops: int, tracks: int, k: int) -> Work:
    return Work((crops * 2 + tracks * 2) * k * 4, crops * k * 18)


def pair_edges(n: int, k: int, edges: int, share: float = 1.0) -> Work:
    """share: of the pairs, those in tiles that may hold an edge."""
    return Work(2 * n * k * 4 + edges * 12, share * n * (n - 1) / 2 * 4 * k)


def gaussian_fit(fits: int, n: int, d: int, gram: bool = True) -> Work:
    """fits of n crops each. gram: for "shrunk" and "full", with the Gram matrix, its factor and the substitution."""
    doubles = 5.0 * n * d + gram * (n * (n + 1) * d + n**3 / 3 + n * n * d)
    return Work(fits * 8 * (n * d * (1 + gram) + 2 * d), 0, fits * doubles)


def log_densities(fits: int, points: int, rows: int, d: int) -> Work:
    """Every fit, with so many rows in its basis (0 for "spherical" and "diag"), asked for every point."""
    moved = fits * (rows + 2) * d + points * d + fits * points
    return Work(8 * moved, 0, fits * points * d * (4.0 + 2 * rows))


FLOORS: dict[str, Callable[..., Work]] = {
    f.__name__: f
    for f in (
        letterbox,
        thumbnails,
        warp_faces,
        sharpness,
        retinaface_faces,
        scrfd_faces,
        nms,
        softmax_means,
        pair_edges,
        gaussian_fit,
        log_densities,
    )
}


def _planes(n: int, width: int, height: int) -> int:
    """Samples of n frames."""
    return n * (width * height + 2 * -(-width // 2) * -(-height // 2))
