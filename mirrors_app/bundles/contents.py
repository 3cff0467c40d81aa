"""What a channel shows in a revision, as entries of a bundle, and how two revisions differ."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import zstandard
from django.utils import timezone

from channels_app.index import maps
from channels_app.index.render import hotfix_between, read_fragment
from channels_app.models import Attestation, Channel, Effect, FileState, PackageFile, Revision, Shard
from channels_app.policies.view import View, stamp, view_of
from channels_app.services.attesting import KEY
from condahub.errors import Forbidden, NotFound
from condahub.packages.record import canonical_json
from mirrors_app.bundles.core.records import Entry

CHUNK_NAMES = 200
# Bytes of these are given out at no door, whatever revision shows them.
_CLOSED = (FileState.HELD, FileState.PURGED)

FileKey = tuple[str, str]
NameKey = tuple[str, str]


class Difference(NamedTuple):
    """One name's share: entries that are new or changed, whether the bytes of each are new, files that are gone, files left out."""

    put: list[tuple[Entry, bool]]
    take: list[FileKey]
    left_out: list[FileKey]


def shards_of(channel: Channel, number: int) -> maps.ShardMap:
    """Raises NotFound for a revision that is not kept; 0 is empty."""
    try:
        return maps.load(channel.pk, number)
    except Revision.DoesNotExist:
        raise NotFound(f"'{channel.name}' has no revision {number} any more.", code="no_such_revision") from None


def state_digest(shards: maps.ShardMap, left_out: Iterable[FileKey]) -> str:
    """One word for all that a revision shows, less what is left out, sha256 hex; only this hub can make it."""
    found = hashlib.sha256()
    for subdir in sorted(shards):
        names = shards[subdir]
        found.update(f"#{subdir}\n".encode())
        for name in sorted(names):
            found.update(name.encode() + b" " + names[name] + b"\n")
    for subdir, filename in sorted(left_out):
        found.update(f"-{subdir}/{filename}\n".encode())
    return found.hexdigest()


def changed_names(base: maps.ShardMap, head: maps.ShardMap, *, also: Collection[FileKey]) -> list[NameKey]:
    """(subdir, name) of what differs, in order. also: files that the base left out, whose names are looked at anyway."""
    found = {(subdir, filename.rsplit("-", 2)[0]) for subdir, filename in also}
    for subdir in {*base, *head}:
        before, after = base.get(subdir, {}), head.get(subdir, {})
        found.update((subdir, name) for name in {*before, *after} if before.get(name) != after.get(name))
    return sorted(found)


class Reader:
    """Reads entries of one channel; `base_left_out` are files that the base did not carry."""

    def __init__(self, channel: Channel, *, base_left_out: Collection[FileKey] = ()) -> None:
        self._channel = channel
        self._base_left_out = frozenset(base_left_out)
        self._decompressor = zstandard.ZstdDecompressor()
        self._now = timezone.now()

    def differences(self, base: maps.ShardMap, head: maps.ShardMap, names: Sequence[NameKey]) -> Iterator[Difference]:
        """Name by name, in the order given."""
        for start in range(0, len(names), CHUNK_NAMES):
            chunk = names[start : start + CHUNK_NAMES]
            rows = self._rows(chunk)
            view = view_of(self._channel, names={name for _, name in chunk})
            shards = self._shards(
                {(subdir, sha) for subdir, name in chunk for one in (base, head) if (sha := one.get(subdir, {}).get(name))}
            )
            for subdir, name in chunk:
                before = shards.get((subdir, base.get(subdir, {}).get(name, b"")), {})
                after = shards.get((subdir, head.get(subdir, {}).get(name, b"")), {})
                yield self._difference(subdir, before, after, rows, view)

    def _difference(
        self, subdir: str, before: Mapping[str, _Shown], after: Mapping[str, _Shown], rows: Mapping[_RowKey, PackageFile], view: View
    ) -> Difference:
        put, left_out = list[tuple[Entry, bool]](), list[FileKey]()
        had = {filename for filename in before if (subdir, filename) not in self._base_left_out}
        for filename, shown in sorted(after.items()):
            row = rows.get((subdir, filename, shown.sha256))
            if row is None or not self._is_open(row, view):
                left_out.append((subdir, filename))
                continue
            same_bytes = filename in had and before[filename].sha256 == shown.sha256
            if not (same_bytes and before[filename] == shown):
                put.append((_entry(row, shown), not same_bytes))
        here = set(after) - {filename for _, filename in left_out}
        return Difference(put, [(subdir, filename) for filename in sorted(had - here)], left_out)

    def _is_open(self, row: PackageFile, view: View) -> bool:
        """What is denied today is carried out by no door."""
        if row.state in _CLOSED or row.blob_id is None:
            return False
        stamp(view, [row])
        return row.verdict != Effect.DENY

    def _rows(self, names: Sequence[NameKey]) -> dict[_RowKey, PackageFile]:
        wanted = set(names)
        rows = PackageFile.objects.filter(channel=self._channel, name__in={name for _, name in names})
        return {(row.subdir, row.filename, row.sha256): row for row in rows if (row.subdir, row.name) in wanted}

    def _shards(self, wanted: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], dict[str, _Shown]]:
        rows = Shard.objects.filter(channel=self._channel, sha256__in={sha for _, sha in wanted})
        found = rows.values_list("subdir", "sha256", "fragment")
        return {(subdir, bytes(sha)): self._shown(fragment) for subdir, sha, fragment in found}

    def _shown(self, data: bytes | memoryview) -> dict[str, _Shown]:
        fragment = read_fragment(bytes(data), self._decompressor)
        exports = {**_joined(fragment.run_exports), **_joined(fragment.run_exports_conda)}
        records = {**_joined(fragment.packages), **_joined(fragment.packages_conda)}
        return {
            filename: _Shown(record["sha256"], canonical_json(record), canonical_json(exports[filename]["run_exports"]))
            for filename, record in records.items()
        }


_RowKey = tuple[str, str, str]


class _Shown(NamedTuple):
    """A file as the index shows it: texts are canonical JSON."""

    sha256: str
    record: bytes
    run_exports: bytes


def _joined(pieces: bytes) -> dict[str, Any]:
    table: dict[str, Any] = orjson.loads(b"{" + pieces + b"}")
    return table


def _entry(row: PackageFile, shown: _Shown) -> Entry:
    after = orjson.loads(shown.record)
    patch, revoked = hotfix_between(orjson.loads(row.record), after)
    record, sidecar = _attested(row, after.get(KEY))
    return Entry(
        subdir=row.subdir,
        filename=row.filename,
        sha256=row.sha256,
        md5=row.md5,
        size=row.size,
        record=record,
        run_exports=shown.run_exports.decode(),
        about=row.about,
        patch=patch,
        revoked=revoked,
        first_seen_ms=int(row.first_sight.timestamp() * 1000),
        sidecar=sidecar,
    )


def _attested(row: PackageFile, sha256: str | None) -> tuple[str, str]:
    """The row's record as it names this sidecar (CEP-50), or none, and the sidecar's text: it may name a later one by now."""
    if sha256 is None and KEY not in row.record:
        return row.record, ""
    found = Attestation.objects.filter(file=row, sha256=sha256).values_list("sidecar", flat=True).first() if sha256 else None
    table = orjson.loads(row.record)
    table.pop(KEY, None)
    if found is None:
        return canonical_json(table).decode(), ""
    return canonical_json({**table, KEY: sha256}).decode(), bytes(found).decode()


def require_open(channel: Channel, row: PackageFile) -> None:
    """Raises Forbidden for what policy denies today."""
    stamp(view_of(channel, names=[row.name]), [row])
    if row.verdict == Effect.DENY:
        raise Forbidden(f"'{row.filename}' is denied by policy. {row.verdict_reason}", code="policy_denied", hint="Nothing was exported.")


def entry_of(row: PackageFile) -> Entry:
    """The file as it is now, whatever revision shows it."""
    record, sidecar = _attested(row, orjson.loads(row.record).get(KEY))
    return Entry(
        subdir=row.subdir,
        filename=row.filename,
        sha256=row.sha256,
        md5=row.md5,
        size=row.size,
        record=record,
        run_exports=row.run_exports,
        about=row.about,
        patch=row.patch,
        revoked=row.revoked,
        first_seen_ms=int(row.first_sight.timestamp() * 1000),
        sidecar=sidecar,
    )
