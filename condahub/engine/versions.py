"""conda's version order and match language, by py-rattler: pure functions, safe inside a serving process.

Solving and installing start threads and belong into a child process; comparing versions does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key, lru_cache
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


def is_same(one: str, other: str) -> bool:
    """Whether two texts write the same version ("1.0" and "1.0.0")."""
    first, second = _parsed(one), _parsed(other)
    return one == other or (first is not None and second is not None and bool(first == second))


def is_version(text: str) -> bool:
    """Whether it is a version at all (CEP-33)."""
    return _parsed(text) is not None


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


@lru_cache(maxsize=65536)
def parse_pattern(text: str) -> Any | None:
    """Like parse_spec, but the name may be a glob (`py*`) or a regular expression (`^py.*$`), as in filters."""
    try:
        return MatchSpec(text, strict=False, exact_names_only=False)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def exact_name(spec: Any) -> str | None:
    """The one package name that the spec can match, or None when its name is a pattern."""
    name = spec.name
    found = name.as_package_name() if name is not None else None
    return str(found.normalized) if found is not None else None


def candidate(*, name: str, version: str, build: str, build_number: int, subdir: str, license: str = "") -> Any | None:
    """A package's identity in the form that `matching` takes, made once for many specs; None when clients could not read it."""
    try:
        return PackageRecord(name, version, BuildString(build), build_number, subdir, license=license or None)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return None


def matching(spec: Any, candidate: Any | None, *, subdir: str) -> bool:
    """Whether the candidate matches; a subdir in the spec counts as well, which rattler leaves to its caller."""
    if candidate is None or (spec.subdir and str(spec.subdir) != subdir):
        return False
    return bool(spec.matches(candidate))


def newest(versions: Iterable[str], count: int) -> set[str]:
    """The latest `count` versions; texts for one and the same version ("1.0", "1.0.0") count once and come together."""
    groups: list[list[str]] = []
    previous: Version | None = None
    for text in sorted(set(versions), key=cmp_to_key(_order), reverse=True):
        parsed = _parsed(text)
        if groups and parsed is not None and previous is not None and parsed == previous:
            groups[-1].append(text)
            continue
        if len(groups) == count:
            break
        groups.append([text])
        previous = parsed
    return {text for group in groups for text in group}


def _order(one: str, other: str) -> int:
    return is_newer(one, other) - is_newer(other, one)
