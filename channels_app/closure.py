"""What a package would bring with it: its dependency closure inside its channel, by the newest file that fits each need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from channels_app.models import Channel, Effect, FileState, PackageFile
from channels_app.policies.patterns import name_of
from condahub.engine import versions

MAX_NAMES = 1000
NOARCH = "noarch"


class _Needs(msgspec.Struct):
    depends: list[str] = []


class _Patch(msgspec.Struct):
    depends: list[str] | None = None


_needs, _patch = msgspec.json.Decoder(_Needs), msgspec.json.Decoder(_Patch)


class _Candidate(NamedTuple):
    pk: int
    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    size: int
    verdict: str
    record: str
    patch: str

    @property
    def depends(self) -> list[str]:
        patched = _patch.decode(self.patch).depends if self.patch else None
        return patched if patched is not None else _needs.decode(self.record).depends


@dataclass
class Closure:
    """packages and bytes, the package itself included; hidden: those of them that policy hides; missing: needs that nothing
    in the channel fits. complete: False where it has more names than are followed.
    """

    packages: int = 0
    bytes: int = 0
    hidden: int = 0
    missing: list[str] = field(default_factory=list)
    complete: bool = True


def closures(channel: Channel, files: Sequence[PackageFile]) -> dict[int, Closure]:
    """The closure of each file, by its id; names are read level by level, together for all of the files."""
    known = _read_names(channel, files)
    return {file.pk: _closure(file, known.candidates, known.complete) for file in files}


class _Known(NamedTuple):
    candidates: Mapping[str, list[_Candidate]]
    complete: bool


def _read_names(channel: Channel, files: Sequence[PackageFile]) -> _Known:
    """Every name that can be reached, with all its files: more than the closures need, in few queries."""
    found: dict[str, list[_Candidate]] = {}
    frontier = {file.name for file in files}
    while frontier and len(found) + len(frontier) <= MAX_NAMES:
        for name in frontier:
            found[name] = []
        rows = PackageFile.objects.filter(channel=channel, name__in=frontier, state=FileState.LIVE)
        fresh = [_Candidate(*row) for row in rows.values_list(*_Candidate._fields)]
        for one in fresh:
            found[one.name].append(one)
        frontier = {name for one in fresh for need in one.depends if (name := _name(need))} - found.keys()
    return _Known(found, not frontier)


def _name(need: str) -> str:
    """Of a requirement; '' of a virtual package, which no channel holds."""
    name = name_of(need)
    return "" if name.startswith("__") else name


def _closure(file: PackageFile, known: Mapping[str, list[_Candidate]], complete: bool) -> Closure:
    result = Closure(complete=complete)
    start = next((one for one in known.get(file.name, ()) if one.pk == file.pk), None)
    waiting = [start] if start is not None else []
    seen = {file.name}
    subdirs = {file.subdir, NOARCH}
    while waiting:
        one = waiting.pop()
        result.packages += 1
        result.bytes += one.size
        result.hidden += one.verdict != Effect.ALLOW
        for need in one.depends:
            name = _name(need)
            if not name or name in seen:
                continue
            seen.add(name)
            best = _newest(candidate for candidate in known.get(name, ()) if candidate.subdir in subdirs and _fits(candidate, need))
            if best is not None:
                waiting.append(best)
            elif name in known or complete:
                result.missing.append(need)
    result.missing.sort()
    return result


def _fits(one: _Candidate, need: str) -> bool:
    spec = versions.parse_spec(need)
    return spec is not None and versions.matches(
        spec, name=one.name, version=one.version, build=one.build, build_number=one.build_number, subdir=one.subdir
    )


def _newest(candidates: Iterable[_Candidate]) -> _Candidate | None:
    best: _Candidate | None = None
    for one in candidates:
        if best is None or _is_newer(one, best):
            best = one
    return best


def _is_newer(one: _Candidate, other: _Candidate) -> bool:
    if versions.is_same(one.version, other.version):
        return (one.build_number, one.pk) > (other.build_number, other.pk)
    return versions.is_newer(one.version, other.version)
