"""Writes the large files of a subdir from the fragments of its names, in one pass and flat memory."""

from __future__ import annotations

import heapq
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec
import orjson
import zstandard
from django.conf import settings

from channels_app.index.maps import ShardMap
from channels_app.index.render import ABOUT_KEYS, Fragment, dump_json, read_fragment, repodata_head, repodata_tail, run_exports_head
from channels_app.models import Shard
from condahub.engine import versions

CHUNK_NAMES = 200
SPOOL_BYTES = 16 * 1024 * 1024


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def fragments(channel_id: int, subdir: str, names: dict[str, bytes]) -> Iterator[Fragment]:
    """The fragments of these names, in the order of the names."""
    ordered = sorted(names)
    # One for all of them: making one costs as much as what it does for a name.
    decompressor = zstandard.ZstdDecompressor()
    for start in range(0, len(ordered), CHUNK_NAMES):
        chunk = ordered[start : start + CHUNK_NAMES]
        found = dict(
            Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256__in=[names[name] for name in chunk]).values_list(
                "sha256", "fragment"
            )
        )
        by_hash = {bytes(sha): fragment for sha, fragment in found.items()}
        for name in chunk:
            yield read_fragment(bytes(by_hash[names[name]]), decompressor)


def write_repodata(channel_id: int, subdir: str, shards: ShardMap, out: Sink) -> None:
    """repodata.json (CEP-36)."""
    removed: list[str] = []

    def pieces() -> Iterator[tuple[bytes, bytes]]:
        for fragment in fragments(channel_id, subdir, shards.get(subdir, {})):
            removed.extend(fragment.removed)
            yield fragment.packages, fragment.packages_conda

    out.write(repodata_head(subdir))
    _write_two_sections(pieces(), out)
    out.write(repodata_tail(sorted(removed)))


def write_run_exports(channel_id: int, subdir: str, shards: ShardMap, out: Sink) -> None:
    """run_exports.json (CEP-12)."""
    out.write(run_exports_head(subdir))
    found = fragments(channel_id, subdir, shards.get(subdir, {}))
    _write_two_sections(((one.run_exports, one.run_exports_conda) for one in found), out)
    out.write(b"}}")


def _write_two_sections(pieces: Iterable[tuple[bytes, bytes]], out: Sink) -> None:
    """Join the first parts, then `},"packages.conda":{`, then the second ones, which wait in a spool meanwhile."""
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=str(settings.CONDAHUB_TEMP_DIR)) as second:
        separators = [b"", b""]
        for first_piece, second_piece in pieces:
            if first_piece:
                out.write(separators[0] + first_piece)
                separators[0] = b","
            if second_piece:
                second.write(separators[1] + second_piece)
                separators[1] = b","
        out.write(b'},"packages.conda":{')
        second.seek(0)
        while block := second.read(1024 * 1024):
            out.write(block)


class Identity(msgspec.Struct, frozen=True):
    """The part of a record that choosing by version needs."""

    name: str = ""
    version: str = ""
    build: str = ""
    build_number: int = 0
    depends: list[str] = []
    timestamp: float = 0


_identities = msgspec.json.Decoder(dict[str, Identity])


def _identities_of(fragment: Fragment) -> dict[str, Identity]:
    found = _identities.decode(b"{" + fragment.packages + b"}")
    found.update(_identities.decode(b"{" + fragment.packages_conda + b"}"))
    return found


_SPEC_NAME = re.compile(r"\s*(?:[^\s\[]+::)?([^\s=<>!~\[;@]*)")


def named(spec: str) -> str:
    """The package name at the beginning of a MatchSpec: `channel::name>=1`, `name 1.*`, `name[...]`."""
    found = _SPEC_NAME.match(spec)
    return found[1].lower() if found else ""


class _Choice:
    """Which files of a subdir belong into current_repodata.json: the latest of each name, then what those need."""

    def __init__(self, channel_id: int, subdir: str, names: dict[str, bytes]) -> None:
        self.channel_id, self.subdir, self.names = channel_id, subdir, names
        self.chosen: dict[str, dict[str, Identity]] = {}
        self.others: set[str] = set()

    def make(self) -> dict[str, set[str]]:
        """name -> filenames."""
        for fragment in fragments(self.channel_id, self.subdir, self.names):
            files = _identities_of(fragment)
            best = versions.latest({one.version for one in files.values()})
            self.chosen[fragment.name] = {filename: one for filename, one in files.items() if one.version == best}
        settled: set[str] = set()
        waiting = self._needs(self.chosen)
        while waiting:
            settled |= waiting
            added = {name: more for spec in sorted(waiting) for name, more in self._satisfy(spec).items()}
            waiting = self._needs(added) - settled
        return {name: set(files) for name, files in self.chosen.items()}

    def _needs(self, chosen: dict[str, dict[str, Identity]]) -> set[str]:
        # A bare name is satisfied by the latest version, which is chosen already.
        return {spec for files in chosen.values() for one in files.values() for spec in one.depends if named(spec) != spec}

    def _satisfy(self, text: str) -> dict[str, dict[str, Identity]]:
        """Choose the latest files that match, where no chosen one does."""
        name = named(text)
        if name not in self.names or (spec := versions.parse_spec(text)) is None:
            return {}
        if any(self._matches(spec, one) for one in self.chosen.get(name, {}).values()):
            return {}
        fragment = next(fragments(self.channel_id, self.subdir, {name: self.names[name]}))
        fitting = {filename: one for filename, one in _identities_of(fragment).items() if self._matches(spec, one)}
        best = versions.latest({one.version for one in fitting.values()})
        added = {filename: one for filename, one in fitting.items() if one.version == best}
        self.chosen.setdefault(name, {}).update(added)
        return {name: added}

    def _matches(self, spec: Any, one: Identity) -> bool:
        return versions.matches(
            spec, name=one.name, version=one.version, build=one.build, build_number=one.build_number, subdir=self.subdir
        )


_raw_records = msgspec.json.Decoder(dict[str, msgspec.Raw])


def write_current_repodata(channel_id: int, subdir: str, shards: ShardMap, out: Sink) -> None:
    """current_repodata.json: the latest version of each package plus what those need."""
    names = shards.get(subdir, {})
    chosen = _Choice(channel_id, subdir, names).make()

    def only(section: bytes, wanted: set[str]) -> bytes:
        records = _raw_records.decode(b"{" + section + b"}")
        return b",".join(orjson.dumps(filename) + b":" + bytes(raw) for filename, raw in records.items() if filename in wanted)

    def pieces() -> Iterator[tuple[bytes, bytes]]:
        for fragment in fragments(channel_id, subdir, names):
            wanted = chosen.get(fragment.name, set())
            yield only(fragment.packages, wanted), only(fragment.packages_conda, wanted)

    out.write(repodata_head(subdir))
    _write_two_sections(pieces(), out)
    out.write(repodata_tail([]))


def write_channeldata(channel_id: int, _subdir: str, shards: ShardMap, out: Sink) -> None:
    """channeldata.json (CEP-38), of all subdirs together."""
    out.write(b'{"channeldata_version":1,"packages":{')
    separator = b""
    streams = [_named_fragments(channel_id, subdir, names) for subdir, names in sorted(shards.items())]
    group: list[tuple[str, str, Fragment]] = []
    for item in _then_end(heapq.merge(*streams, key=lambda item: item[:2])):
        if group and (item is None or item[0] != group[0][0]):
            if (entry := _channeldata_entry(group)) is not None:
                out.write(separator + orjson.dumps(group[0][0]) + b":" + dump_json(entry))
                separator = b","
            group = []
        if item is not None:
            group.append(item)
    # Those that say anything now, and noarch, which every channel has (CEP-26): a function of the shards alone.
    subdirs = sorted({"noarch"} | {subdir for subdir, names in shards.items() if names})
    out.write(b'},"subdirs":' + orjson.dumps(subdirs) + b"}")


def _named_fragments(channel_id: int, subdir: str, names: dict[str, bytes]) -> Iterator[tuple[str, str, Fragment]]:
    for fragment in fragments(channel_id, subdir, names):
        yield fragment.name, subdir, fragment


def _then_end(items: Iterable[tuple[str, str, Fragment]]) -> Iterator[tuple[str, str, Fragment] | None]:
    yield from items
    yield None


_exports = msgspec.json.Decoder(dict[str, dict[str, dict[str, Any]]])


def _channeldata_entry(group: list[tuple[str, str, Fragment]]) -> dict[str, Any] | None:
    subdirs = []
    newest: tuple[float, dict[str, Any]] = (-1, {})
    found_versions: set[str] = set()
    run_exports: dict[str, Any] = defaultdict(dict)
    for _name, subdir, fragment in group:
        files = _identities_of(fragment)
        if not files:
            continue
        subdirs.append(subdir)
        found_versions |= {one.version for one in files.values()}
        timestamp = max(one.timestamp for one in files.values())
        about: dict[str, Any] = msgspec.json.decode(fragment.about)
        if timestamp >= newest[0]:
            newest = (timestamp, about or newest[1])
        exports = {**_exports.decode(b"{" + fragment.run_exports + b"}"), **_exports.decode(b"{" + fragment.run_exports_conda + b"}")}
        for filename, value in sorted(exports.items()):
            if value["run_exports"]:
                run_exports[files[filename].version] = value["run_exports"]
    if not subdirs:
        return None
    entry: dict[str, Any] = {key: newest[1][key] for key in sorted(ABOUT_KEYS) if key in newest[1]}
    seconds = int(newest[0] / 1000 if newest[0] > 253402300799 else newest[0])
    return {
        **entry,
        "run_exports": run_exports,
        "subdirs": subdirs,
        "timestamp": max(seconds, 0),
        "version": versions.latest(found_versions),
    }


# What each file of the index is made by; channeldata.json belongs to no subdir.
WRITERS: dict[str, Callable[[int, str, ShardMap, Sink], None]] = {
    "channeldata.json": write_channeldata,
    "current_repodata.json": write_current_repodata,
    "repodata.json": write_repodata,
    "run_exports.json": write_run_exports,
}
