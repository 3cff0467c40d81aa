"""The order in which advisories mean versions, which is the upstream's own: 1.1.1s is later than 1.1.1, and 1.1.1rc1 earlier.

conda's order (CEP-33) has any letters before the number that they follow, so that 1.1.1s would come before 1.1.1. Upstreams
that mark corrections by letters (openssl 1.0.2zh, jpeg 9f, tzdata 2023c, openssh 9.8p1) number them the other way round, and so
do the ranges of advisories. PyPI's advisories go by PEP 440, in which a bare letter is a pre-release.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from condahub.engine import versions

# Whose word for a version is PEP 440, where a letter behind a number is always a pre-release ("1.0b" is 1.0b0).
PEP_440_ECOSYSTEMS = frozenset({"pypi"})
_VERSION = re.compile(r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)([^+]*)(?:\+.*)?")
_PIECE = re.compile(r"\d+|[a-z]+")
_BEFORE = {"dev": 0, "snapshot": 0, "alpha": 1, "beta": 2, "pre": 3, "preview": 3, "rc": 4}
# A single letter is a pre-release only with a number of its own: 1.0b2, yet not openssl's 1.1.1b.
_BEFORE_A_NUMBER = {"a": 1, "b": 2, "c": 4}
_END, _LETTERS, _NUMBER = 1, 2, 3

_Piece = tuple[int, int, str]


class _Key(NamedTuple):
    """Compared field by field. rest: what follows the numbers; pre-releases before its end, letters and numbers behind it."""

    epoch: int
    numbers: tuple[int, ...]
    rest: tuple[_Piece, ...]


def is_later(one: str, other: str, *, ecosystem: str = "") -> bool:
    """Whether `one` is a later version than `other` for an advisory of this ecosystem (OSV's word, in lower case)."""
    bare_letters = ecosystem in PEP_440_ECOSYSTEMS
    first, second = _key(one, bare_letters), _key(other, bare_letters)
    if first is not None and second is not None:
        return first > second
    return versions.is_newer(one, other)


@lru_cache(maxsize=65536)
def _key(text: str, bare_letters: bool) -> _Key | None:
    """bare_letters: whether they are pre-releases. None for what does not begin with a number: conda's order has a place for it."""
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None or len(text) > 64:
        return None
    numbers = [int(part) for part in found[2].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return _Key(int(found[1] or 0), tuple(numbers), _rest(_PIECE.findall(found[3]), bare_letters))


def _rest(pieces: list[str], bare_letters: bool) -> tuple[_Piece, ...]:
    made: list[_Piece] = []
    for at, piece in enumerate(pieces):
        before_a_number = at + 1 < len(pieces) and pieces[at + 1].isdigit()
        if piece.isdigit():
            made.append((_NUMBER, int(piece), ""))
        elif piece in _BEFORE:
            made.append((0, _BEFORE[piece], ""))
        elif (before_a_number or bare_letters) and piece in _BEFORE_A_NUMBER:
            made.append((0, _BEFORE_A_NUMBER[piece], ""))
        else:
            made.append((_LETTERS, 0, piece))
    return (*made, (_END, 0, ""))
