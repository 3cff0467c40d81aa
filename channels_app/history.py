"""Reads a channel's past: its revisions, and what differs between two of them, record by record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from django.db.models import QuerySet

from channels_app.index import maps
from channels_app.index.render import zstd_decompress
from channels_app.models import Channel, Revision, Shard
from condahub.errors import Invalid, NotFound, Unprocessable

MAX_DIFF_RECORDS = 20_000
CHUNK_SHARDS = 200
SECTIONS = ("packages", "packages.conda")


class Record(NamedTuple):
    """One file as a revision's index shows it. fields: its record, hashes in hex."""

    subdir: str
    filename: str
    fields: dict[str, Any]

    def brief(self) -> dict[str, Any]:
        """What says which file it is."""
        chosen = ("name", "version", "build", "build_number", "sha256", "size")
        return {"subdir": self.subdir, "filename": self.filename, **{key: self.fields.get(key) for key in chosen}}


def revisions_of(channel: Channel) -> QuerySet[Revision]:
    """The kept revisions, newest first, without the maps that make them large."""
    return Revision.objects.filter(channel=channel).defer("delta", "checkpoint").order_by("-number")


def revision_of(channel: Channel, number: int) -> Revision:
    """Raises NotFound for one that never was or is not kept."""
    revision = revisions_of(channel).filter(number=number).first()
    if revision is None:
        raise NotFound(f"'{channel.name}' has no revision {number}.", code="no_such_revision", hint="Old revisions are not kept for ever.")
    return revision


def differences(channel: Channel, *, since: int, until: int) -> dict[str, Any]:
    """What was added, changed and removed in the index after revision `since` up to `until`; 0 is before anything.

    `{"since", "until", "added": [...], "changed": [...], "removed": [...]}`; each a list of files, a changed one with the
    names of the keys that differ. Raises NotFound, Invalid, Unprocessable `diff_too_large`.
    """
    if since > until:
        raise Invalid("'since' must not be past the revision itself.", code="bad_since", hint=f"Ask for revision {since} since {until}.")
    for number in {since, until} - {0}:
        revision_of(channel, number)
    try:
        old, new = maps.load(channel.pk, since), maps.load(channel.pk, until)
    except Revision.DoesNotExist:
        raise NotFound("One of the revisions is not kept any more.", code="no_such_revision") from None
    result: dict[str, Any] = {"since": since, "until": until, "added": [], "changed": [], "removed": []}
    budget = MAX_DIFF_RECORDS
    for subdir in sorted(set(old) | set(new)):
        before, after = old.get(subdir, {}), new.get(subdir, {})
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        for start in range(0, len(names), CHUNK_SHARDS):
            chunk = names[start : start + CHUNK_SHARDS]
            was = records(channel.pk, subdir, [before[name] for name in chunk if name in before])
            now = records(channel.pk, subdir, [after[name] for name in chunk if name in after])
            budget -= _compare(was, now, result)
            if budget < 0:
                raise Unprocessable(
                    f"More than {MAX_DIFF_RECORDS:,} files differ between these revisions.",
                    code="diff_too_large",
                    hint="Ask for revisions that are nearer to each other.",
                )
    return result


def _compare(was: dict[str, Record], now: dict[str, Record], result: dict[str, Any]) -> int:
    """Add what differs to the result; how many files that were."""
    count = 0
    for filename in sorted(was.keys() | now.keys()):
        old, new = was.get(filename), now.get(filename)
        if old is not None and new is not None:
            keys = sorted(key for key in old.fields.keys() | new.fields.keys() if old.fields.get(key) != new.fields.get(key))
            if not keys:
                continue
            result["changed"].append({**new.brief(), "keys": keys})
        elif new is not None:
            result["added"].append(new.brief())
        elif old is not None:
            result["removed"].append(old.brief())
        count += 1
    return count


def records(channel_id: int, subdir: str, hashes: list[bytes]) -> dict[str, Record]:
    shards = Shard.objects.filter(channel_id=channel_id, subdir=subdir, sha256__in=hashes)
    return {record.filename: record for payload in shards.values_list("payload", flat=True) for record in _read(subdir, bytes(payload))}


def _read(subdir: str, payload: bytes) -> Iterator[Record]:
    shard: dict[str, Any] = msgspec.msgpack.decode(zstd_decompress(payload))
    for section in SECTIONS:
        for filename, fields in shard.get(section, {}).items():
            yield Record(subdir, filename, {key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()})
