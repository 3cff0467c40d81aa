"""What one export carries, settled once: the list of its files in order, kept, so that a run which was killed writes the same parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import orjson

from channels_app import selectors
from channels_app.index.render import zstd_compress, zstd_decompress
from channels_app.models import Channel, ChannelKind, FileState, PackageFile, Policy, PolicyLevel
from channels_app.policies.rules import as_json, stored
from condahub.accounts.policy import HUB, Actor, Permission, can, require
from condahub.bundles import Luggage, WantedPackage, traveller
from condahub.errors import Conflict, Forbidden
from condahub.storage.blobs import blobs
from mirrors_app.bundles import advisories, contents
from mirrors_app.bundles.core.layout import BundleFile
from mirrors_app.bundles.core.manifest import DOCUMENTS, PACKAGES, RECORDS, Counts, Gone
from mirrors_app.bundles.core.records import Entry, digest_of, write_lines
from mirrors_app.models import BundleExport

POLICIES, ADVISORIES = "policies", "advisories"
INCLUDABLE = (POLICIES, ADVISORIES)
NAMESPACE = "bundles"
MAX_PLAN_BYTES = 2 * 1024**3


class Plan(msgspec.Struct, frozen=True):
    """files: in the order that they are written; takes, counts: as the manifest has them; left_out: what the state shows and this lacks."""

    files: list[tuple[str, int, str]]
    takes: list[Gone]
    counts: Counts
    state: str
    revision: int
    left_out: list[tuple[str, str]]

    def bundle_files(self) -> Iterator[BundleFile]:
        return (BundleFile(*one) for one in self.files)


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Plan)


def keep(plan: Plan) -> str:
    """Store it; the name it is found under."""
    return blobs(NAMESPACE).put_bytes(zstd_compress(_encoder.encode(plan)))


def load(sha256: str) -> Plan:
    return _decoder.decode(zstd_decompress(blobs(NAMESPACE).read_bytes(sha256), MAX_PLAN_BYTES))


@dataclass
class _Gathered:
    """Records on their way into the store, and what they speak of."""

    records: list[BundleFile] = field(default_factory=list)
    packages: list[BundleFile] = field(default_factory=list)
    takes: list[Gone] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    put: int = 0

    def entries(self, found: Iterator[contents.Difference], check: Callable[[], None]) -> Iterator[Entry]:
        for one in found:
            check()
            self.takes += [Gone(subdir=subdir, filename=filename) for subdir, filename in one.take]
            self.left_out += one.left_out
            for entry, is_new in one.put:
                yield self.taken(entry, is_new)

    def taken(self, entry: Entry, is_new: bool) -> Entry:
        self.put += 1
        if is_new:
            self.packages.append(BundleFile(f"{PACKAGES}{entry.subdir}/{entry.filename}", entry.size, entry.sha256))
        return entry

    def store(self, entries: Iterator[Entry]) -> None:
        for number, data in enumerate(write_lines(entries), start=1):
            self.records.append(_kept(f"{RECORDS}{number:05d}.jsonl", data))


def _kept(path: str, data: bytes) -> BundleFile:
    blobs(NAMESPACE).put_bytes(data)
    return BundleFile(path, len(data), digest_of(data))


def plan_channel(export: BundleExport, *, base_left_out: Sequence[Sequence[str]], check: Callable[[], None]) -> Plan:
    """What the export of a channel carries."""
    channel = export.channel
    head, base = contents.shards_of(channel, export.revision), contents.shards_of(channel, export.base_revision)
    reader = contents.Reader(channel, base_left_out=[(one[0], one[1]) for one in base_left_out])
    names = contents.changed_names(base, head, also=[(one[0], one[1]) for one in base_left_out])
    gathered = _Gathered()
    gathered.store(gathered.entries(reader.differences(base, head, names), check))
    documents = _documents(export, {name for table in head.values() for name in table})
    return _plan(gathered, documents, contents.state_digest(head, gathered.left_out), export.revision)


def _plan(gathered: _Gathered, documents: list[BundleFile], state: str, revision: int) -> Plan:
    packages = sorted(gathered.packages)
    counts = Counts(
        put=gathered.put,
        take=len(gathered.takes),
        packages=len(packages),
        bytes=sum(one.size for one in packages),
        left_out=len(gathered.left_out),
    )
    files = [(one.path, one.size, one.sha256) for one in (*gathered.records, *documents, *packages)]
    return Plan(files, gathered.takes, counts, state, revision, sorted(gathered.left_out))


def _documents(export: BundleExport, names: set[str]) -> list[BundleFile]:
    found = []
    if POLICIES in export.include:
        row = Policy.objects.filter(level=PolicyLevel.CHANNEL, channel=export.channel).first()
        rules = as_json(stored(row.rules)) if row is not None else {}
        found.append(_kept(f"{DOCUMENTS}policies.json", _json({"level": "channel", "rules": rules})))
    if ADVISORIES in export.include:
        found.append(_kept(f"{DOCUMENTS}advisories.json", advisories.entries_about(names)))
    return found


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class Packed(NamedTuple):
    """An environment as it was when the export was asked for."""

    luggage: Luggage
    files: list[PackageFile]


def pack(*, actor: Actor, name: str) -> Packed:
    """The environment and its packages, as far as the actor may carry them out of every channel they lie in. Raises HubError."""
    try:
        luggage = traveller("environment").pack(actor=actor, name=name)
    except LookupError:
        raise Conflict("This hub carries no environments.", code="no_environments") from None
    channels = {
        one.pk: one
        for one in Channel.objects.existing().select_related("organization").filter(pk__in={w.channel_id for w in luggage.packages})
    }
    for channel in channels.values():
        require_carrying(actor, channel)
    return Packed(luggage, [_wanted(one, channels) for one in luggage.packages])


def require_carrying(actor: Actor, channel: Channel) -> None:
    """Raises Forbidden unless the actor may make bundles of that channel: keep its mirrors, and give it to others unless it is public.

    Conflict for a channel that holds no packages of its own.
    """
    require(actor, Permission.CHANNEL_READ, channel)
    require(actor, Permission.MIRROR_SYNC, channel)
    if channel.visibility != "public":
        require(actor, Permission.CHANNEL_REDISTRIBUTE, channel)
    require_own_packages(channel)


def require_own_packages(channel: Channel) -> None:
    """Raises Conflict for a channel that holds none."""
    if channel.kind == ChannelKind.VIRTUAL:
        raise Conflict(f"'{channel.name}' is made of other channels.", code="virtual_channel", hint="Export each of them.")


def require_reading(actor: Actor, export: BundleExport) -> None:
    """An environment's bundle holds what other channels hold: who may carry the one need not read the others.

    Raises Forbidden unless it was the actor who made it, or who may do anything.
    """
    if export.created_by != actor.label and not can(actor, Permission.HUB_OPERATE, HUB):
        raise Forbidden()


def _wanted(wanted: WantedPackage, channels: dict[int, Channel]) -> PackageFile:
    channel = channels.get(wanted.channel_id)
    rows = PackageFile.objects.filter(channel=channel, subdir=wanted.subdir, filename=wanted.filename, sha256=wanted.sha256)
    row = rows.first() if channel is not None else None
    if channel is None or row is None or row.blob_id is None or row.state in (FileState.HELD, FileState.PURGED):
        raise Conflict(f"'{wanted.filename}' is not to be had any more, so the environment can't be carried.", code="package_missing")
    contents.require_open(channel, row)
    return row


def plan_environment(packed: Packed) -> Plan:
    """What the export of an environment carries: its packages as they are, its documents."""
    gathered = _Gathered()
    unique = {(one.subdir, one.filename): one for one in packed.files}
    gathered.store(gathered.taken(contents.entry_of(row), True) for _, row in sorted(unique.items()))
    documents = [_kept(f"{DOCUMENTS}environment/{name}", data) for name, data in sorted(packed.luggage.documents.items())]
    state = digest_of(b"".join(one.sha256.encode() + b"\n" for one in (*gathered.records, *documents)))
    return _plan(gathered, documents, state, packed.luggage.revision)


def channel_of(actor: Actor, name: str) -> Channel:
    """The channel, if the actor may make bundles of it; hidden and unknown ones get the same answer."""
    channel = selectors.channel_for(actor, name, Permission.MIRROR_SYNC)
    require_carrying(actor, channel)
    return channel
