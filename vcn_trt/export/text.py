"""Names made fit for a line of text: a video or a person may be called anything at all."""

from __future__ import annotations

import re
import unicodedata

# What turns the direction of the text after it: a name must not rearrange the line that it stands in. Letters that are
# written from right to left stay as they are.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(name: str) -> str:
    """A name on one line that every text and XML format can hold: controls and line ends become a space, bytes that
    were no UTF-8 the replacement character; marks that turn the text's direction go."""
    text = "".join(_harmless(c) for c in unicodedata.normalize("NFC", name))
    return " ".join(text.split()) or "unnamed"


def reel(name: str) -> str:
    """A reel for the fixed columns of an edit list: letters, digits, `_`, `-` and `.`, at most 32."""
    return re.sub(r"[^\w.-]", "_", one_line(name))[:32]


def _harmless(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    if kind == "Cs":
        return "\ufffd"
    return "" if character in _TURNS or ord(character) & 0xFFFE == 0xFFFE else character
