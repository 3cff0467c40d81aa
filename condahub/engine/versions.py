"""conda's version order and match language, by py-rattler: pure functions, safe inside a serving process.

Solving and installing start threads and belong into a child process; comparing versions does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from rattler import BuildString, MatchSpec, PackageRecord, Version


@lru_cache(maxsize=65536)
def _parsed(text: str) -> Version | None:
    try:
        return Version(text)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def is_newer(one: str, other: str) -> bool:
    """Whether `one` is a later version than `other` in conda's order (CEP-33)."""
    first, second = _parsed(one), _parsed(other)
    if first is None or second is None:
        return first is not None or (second is None and one > other)
    return bool(first > second)


def latest(versions: Iterable[str]) -> str:
    """The latest of some versions, '' of none."""
    best = ""
    # Sorted, so that of two texts for one version ("1.0", "1.0.0") it is always the same one.
    for version in sorted(versions):
        if best == "" or is_newer(version, best):
            best = version
    return best


@lru_cache(maxsize=65536)
def parse_spec(text: str) -> Any | None:
    """The MatchSpec, or None when the text is none."""
    try:
        return MatchSpec(text, strict=False)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def matches(spec: Any, *, name: str, version: str, build: str, build_number: int, subdir: str) -> bool:
    """Whether a package of this identity matches the spec."""
    try:
        return bool(spec.matches(PackageRecord(name, version, BuildString(build), build_number, subdir)))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return False
