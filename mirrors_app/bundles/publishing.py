"""Makes what a verified bundle brings visible: rows, removals, position and all in one transaction, shown as one revision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import orjson
from django.db import transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.attestations import BadAttestation
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Blob, Channel, ChannelKind, FileState, PackageFile, Policy, PolicyLevel
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies import osv
from channels_app.policies.rules import RULE_NAMES, Rules, as_json, read_rules, stored
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import attesting, packages, policies, quotas
from channels_app.services.scopes import Scope
from condahub.accounts.policy import Actor
from condahub.audit.services import record as audit
from condahub.bundles import traveller
from condahub.errors import HubError
from condahub.events.services import emit
from condahub.packages.names import split_filename
from mirrors_app.bundles.core.errors import BundleRefused, malformed
from mirrors_app.bundles.core.manifest import DOCUMENTS, PACKAGES, RECORDS, Manifest
from mirrors_app.bundles.core.order import Position, decide
from mirrors_app.bundles.core.reader import Place, read_file, stream_file
from mirrors_app.bundles.core.records import Entry, build_number_of, read_lines
from mirrors_app.models import BundleHead, BundleImport, BundleVerified, ImportState

CHUNK_ENTRIES = 300
CHUNK_ROWS = 200
GONE, REPLACED = "gone from the bundle's source", "replaced by the bundle's source"
# A decision that somebody made here; a bundle changes what is known of the file, and not that.
_DECIDED_HERE = (FileState.HELD, FileState.YANKED)
_CHANGED_FIELDS = ("record", "patch", "run_exports", "about", "revoked", "state", "reason", "blob", "changed_at", *VERDICT_FIELDS)

FileKey = tuple[str, str]


class Importer(Actor):
    """The hub, doing what somebody asked for who was allowed to; the audit names them."""

    @property
    def label(self) -> str:
        return self.via


def on_behalf_of(taken: BundleImport) -> Actor:
    return Importer(system=True, via=taken.created_by)


@dataclass
class _Tally:
    """What was done. kept_here: files whose state somebody decided here; purged: those whose bytes were purged here."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    replaced: int = 0
    kept_here: int = 0
    purged: int = 0
    dirty: set[tuple[str, str]] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def touch(self, subdir: str, name: str) -> None:
        self.dirty.add((subdir, name))
        self.names.add(name)

    def as_dict(self) -> dict[str, int]:
        return {key: getattr(self, key) for key in ("added", "changed", "removed", "replaced", "kept_here", "purged")}


def publish(taken: BundleImport, manifest: Manifest, place: Place, *, check: Callable[[], None]) -> None:
    """All of it or nothing. Raises BundleRefused, BundleOutOfOrder, QuotaExceeded."""
    documents = _Documents(taken, manifest, place)
    with quotas.telling(taken.channel), transaction.atomic():
        # Before the channel's own row: advisories take the rows of many, in one order for everybody.
        settled = documents.settle()
        channel = selectors.lock(taken.channel)
        _require_order(channel, manifest)
        writer = _Writer(channel, taken, label=taken.created_by)
        shown = writer.put_all(_entries(manifest, place), check)
        writer.take(_gone(channel, manifest, shown))
        quotas.require_within(channel)
        told = {**writer.tally.as_dict(), **settled, **_unpacked(channel, taken, manifest, place)}
        packages.refresh(channel, writer.tally.names)
        mark_dirty(channel.pk, writer.tally.dirty, cause=f"bundle of {manifest.subject.name}, revision {manifest.head.revision}")
        selectors.bump(channel)
        _note(channel, taken, manifest, told)
    revision = publish_dirty(taken.channel_id)
    settle_import(taken, revision)


def settle_import(taken: BundleImport, revision: int) -> None:
    """It is done once its revision is there, and not before. An import that was killed in between is settled by its next run."""
    BundleImport.objects.filter(pk=taken.pk).update(state=ImportState.DONE, revision=revision, ended_at=timezone.now())


def _require_order(channel: Channel, manifest: Manifest) -> None:
    """Once more, with the channel's row taken: another import may have been faster."""
    row = BundleHead.objects.filter(channel=channel).first()
    position = Position(row.stream, row.source_name, row.sequence, row.revision, row.state_digest) if row is not None else None
    decide(position, manifest)


def _entries(manifest: Manifest, place: Place) -> Iterator[Entry]:
    paths = dict.fromkeys(member.whole.path for member in manifest.members() if member.whole.path.startswith(RECORDS))
    for path in paths:
        yield from read_lines(stream_file(place, manifest, path))


def _gone(channel: Channel, manifest: Manifest, shown: set[FileKey]) -> Iterator[FileKey]:
    """What this state does not show: as a difference says it, else all that a whole one does not name. An environment takes nothing."""
    if manifest.base is not None:
        yield from ((one.subdir, one.filename) for one in manifest.takes)
    elif manifest.subject.kind == "channel":
        live = PackageFile.objects.filter(channel=channel, state=FileState.LIVE).values_list("subdir", "filename")
        yield from [key for key in live if key not in shown]


class _Writer:
    """Writes entries as files of a channel whose row is taken."""

    def __init__(self, channel: Channel, taken: BundleImport, *, label: str) -> None:
        self.tally = _Tally()
        self._channel, self._taken, self._label = channel, taken, label
        self._now = timezone.now()

    def put_all(self, entries: Iterator[Entry], check: Callable[[], None]) -> set[FileKey]:
        """The keys of all of them."""
        shown = set[FileKey]()
        while chunk := list(islice(entries, CHUNK_ENTRIES)):
            check()
            self._put(chunk)
            keys = {entry.key for entry in chunk}
            if len(keys) != len(chunk) or shown & keys:
                raise malformed("The bundle names a file twice.")
            shown |= keys
        return shown

    def _put(self, chunk: Sequence[Entry]) -> None:
        rows = _rows(self._channel, [entry.key for entry in chunk])
        blobs = self._blobs(chunk, rows)
        view = view_of(self._channel, names={split_filename(entry.filename).name for entry in chunk})
        made, changed, ended = list[PackageFile](), list[PackageFile](), list[PackageFile]()
        for entry in chunk:
            several = rows.get(entry.key, [])
            same = next((row for row in several if row.sha256 == entry.sha256), None)
            other = next((row for row in several if row is not same and row.state in OCCUPYING_STATES), None)
            if (other is not None and other.state == FileState.HELD) or (same is not None and same.state == FileState.PURGED):
                # The hold, or the purge, was decided here, and stands.
                self.tally.purged += same is not None and same.state == FileState.PURGED
                self.tally.kept_here += other is not None
                continue
            if other is not None:
                other.state, other.reason = FileState.DELETED, REPLACED
                self.tally.replaced += 1
                ended.append(other)
            if same is None:
                made.append(self._new(entry, blobs[entry.sha256]))
            elif self._change(same, entry, blobs.get(entry.sha256)):
                changed.append(same)
        # The old ones first: one of a name occupies it at a time.
        self._save(ended, ["state", "reason", "changed_at"])
        stamp(view, (*made, *changed))
        PackageFile.objects.bulk_create(made, batch_size=CHUNK_ROWS)
        self._save(changed, list(_CHANGED_FIELDS))
        self._attest((*made, *changed), {entry.key: entry.sidecar for entry in chunk if entry.sidecar})
        quotas.add(self._channel, sum(row.size for row in made))
        self.tally.added += len(made)
        for row in (*made, *changed, *ended):
            self.tally.touch(row.subdir, row.name)

    def _attest(self, rows: Sequence[PackageFile], sidecars: Mapping[FileKey, str]) -> None:
        for row in rows:
            if (sidecar := sidecars.get((row.subdir, row.filename))) is not None:
                try:
                    attesting.keep(row, sidecar.encode(), by=self._label)
                except BadAttestation as error:
                    raise malformed(f"What attests '{row.filename}' is not right. {error.detail}") from None

    def _save(self, rows: Sequence[PackageFile], fields: list[str]) -> None:
        for row in rows:
            row.changed_at = self._now
        if rows:
            PackageFile.objects.bulk_update(rows, fields, batch_size=CHUNK_ROWS)

    def _new(self, entry: Entry, blob: Blob) -> PackageFile:
        name = split_filename(entry.filename)
        seen = datetime.fromtimestamp(entry.first_seen_ms / 1000, UTC)
        return PackageFile(
            channel=self._channel,
            subdir=entry.subdir,
            filename=entry.filename,
            name=name.name,
            version=name.version,
            build=name.build,
            build_number=build_number_of(entry),
            sha256=entry.sha256,
            md5=entry.md5,
            size=entry.size,
            blob=blob,
            record=entry.record,
            run_exports=entry.run_exports,
            about=entry.about,
            patch=entry.patch,
            revoked=entry.revoked,
            indexed_at=self._now,
            # Whom one trusts to carry the bytes, one trusts to say since when it knew them.
            first_seen_at=min(seen, self._now),
            uploaded_by=self._label,
        )

    def _change(self, row: PackageFile, entry: Entry, blob: Blob | None) -> bool:
        """Whether the row is another now."""
        values: dict[str, Any] = {key: getattr(entry, key) for key in ("record", "patch", "run_exports", "about", "revoked")}
        if row.state in _DECIDED_HERE:
            self.tally.kept_here += 1
        else:
            self.tally.added += row.state == FileState.DELETED
            values |= {"state": FileState.LIVE, "reason": ""}
        if blob is not None:
            values["blob"] = blob
        if row.blob_id is None and blob is None:
            raise BundleRefused(f"The bytes of '{entry.filename}' are neither here nor in the bundle.", code="bundle_incomplete")
        if all(getattr(row, key) == value for key, value in values.items()):
            return False
        self.tally.changed += row.state == FileState.LIVE
        for key, value in values.items():
            setattr(row, key, value)
        return True

    def _blobs(self, chunk: Sequence[Entry], rows: dict[FileKey, list[PackageFile]]) -> dict[str, Blob]:
        """Rows of the bytes that the bundle brought, taken; of each entry whose bytes are not the channel's own already."""
        paths = {f"{PACKAGES}{entry.subdir}/{entry.filename}": entry for entry in chunk}
        verified = {row.path: row for row in BundleVerified.objects.filter(taken_by=self._taken, path__in=list(paths))}
        wanted: dict[str, BundleVerified] = {}
        for path, entry in paths.items():
            found = verified.get(path)
            if found is None:
                if not any(row.sha256 == entry.sha256 for row in rows.get(entry.key, [])):
                    raise BundleRefused(f"The bytes of '{entry.filename}' are neither here nor in the bundle.", code="bundle_incomplete")
                continue
            if (found.sha256, found.size) != (entry.sha256, entry.size) or entry.md5 not in ("", found.md5):
                raise malformed(f"The record of '{entry.filename}' is of other bytes than those that came.")
            wanted[found.sha256] = found
        fresh = [Blob(sha256=one.sha256, md5=one.md5, size=one.size) for one in wanted.values()]
        Blob.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=CHUNK_ROWS)
        # Taken in one order, and held until the end: the collector waits, and sees then that they are referred to.
        taken = Blob.objects.select_for_update().filter(sha256__in=sorted(wanted)).order_by("sha256")
        return {blob.sha256: blob for blob in taken}

    def take(self, keys: Iterator[FileKey]) -> None:
        """Files that the source shows no more are gone here too, from now on; past revisions keep them."""
        while chunk := list(islice(keys, CHUNK_ENTRIES)):
            ended = [row for several in _rows(self._channel, chunk).values() for row in several if row.state == FileState.LIVE]
            for row in ended:
                row.state, row.reason = FileState.DELETED, GONE
                self.tally.touch(row.subdir, row.name)
            self._save(ended, ["state", "reason", "changed_at"])
            self.tally.removed += len(ended)


def _rows(channel: Channel, keys: Iterable[FileKey]) -> dict[FileKey, list[PackageFile]]:
    wanted = set(keys)
    found: dict[FileKey, list[PackageFile]] = {}
    names = sorted({split_filename(filename).name for _, filename in wanted})
    for row in PackageFile.objects.filter(channel=channel, name__in=names, filename__in=sorted({filename for _, filename in wanted})):
        if (row.subdir, row.filename) in wanted:
            found.setdefault((row.subdir, row.filename), []).append(row)
    return found


class _Documents:
    """What rides along for a channel: policies, and advisories. All that can be wrong with them is found when this is made."""

    def __init__(self, taken: BundleImport, manifest: Manifest, place: Place) -> None:
        self._taken = taken
        here = {member.whole.path for member in manifest.members()}
        self._rules: Rules | None = None
        self._entries: list[osv.Entry] = []
        try:
            if f"{DOCUMENTS}policies.json" in here:
                self._rules = read_rules(orjson.loads(read_file(place, manifest, f"{DOCUMENTS}policies.json"))["rules"])
            if f"{DOCUMENTS}advisories.json" in here:
                self._entries = osv.read_entries(read_file(place, manifest, f"{DOCUMENTS}advisories.json"))
        except (ValueError, KeyError, TypeError, msgspec.MsgspecError):
            raise malformed("A document of the bundle can't be read.") from None
        except BundleRefused:
            raise
        except HubError as error:
            raise malformed(f"A document of the bundle can't be read: {error.detail}") from None

    def settle(self) -> dict[str, Any]:
        """In the transaction that publishes, so that what is to be hidden is never seen; what to tell."""
        told: dict[str, Any] = {}
        if self._entries and self._taken.options.get("advisories"):
            loaded = policies.load_advisories(actor=on_behalf_of(self._taken), entries=self._entries)
            told["advisories"] = loaded.entries
        elif self._entries:
            told["advisories_not_loaded"] = len(self._entries)
        if self._rules is not None:
            told.update(self._policies(self._rules))
        return told

    def _policies(self, given: Rules) -> dict[str, Any]:
        """A rule that the channel has not makes it stricter, and is set when that was asked for; any other difference is a proposal."""
        row = Policy.objects.filter(level=PolicyLevel.CHANNEL, channel=self._taken.channel).first()
        own = stored(row.rules) if row is not None else Rules()
        new = [name for name in RULE_NAMES if getattr(own, name) is None and getattr(given, name) is not None]
        applied = new if self._taken.options.get("policies") == "apply" else []
        if applied:
            wanted = {**as_json(own), **{name: as_json(given)[name] for name in applied}}
            policies.set_policy(actor=on_behalf_of(self._taken), scope=Scope.of_channel(self._taken.channel), rules=wanted)
        differing = [name for name in RULE_NAMES if name not in applied and getattr(own, name) != getattr(given, name)]
        table = as_json(given)
        told: dict[str, Any] = {"policies_applied": applied} if applied else {}
        if differing:
            # None: the source has no such rule.
            told["policies_proposed"] = {name: table.get(name) for name in differing}
        return told


def _unpacked(channel: Channel, taken: BundleImport, manifest: Manifest, place: Place) -> dict[str, Any]:
    if manifest.subject.kind != "environment":
        return {}
    prefix = f"{DOCUMENTS}environment/"
    paths = dict.fromkeys(member.whole.path for member in manifest.members() if member.whole.path.startswith(prefix))
    documents = {path.removeprefix(prefix): read_file(place, manifest, path) for path in paths}
    told = traveller("environment").unpack(
        label=taken.created_by,
        organization_id=channel.organization_id,
        channel_id=channel.pk,
        name=manifest.subject.name.rpartition("/")[2],
        documents=documents,
    )
    return {"environment": dict(told)}


def _note(channel: Channel, taken: BundleImport, manifest: Manifest, told: dict[str, Any]) -> None:
    """The channel's new position, and who is told of it."""
    if channel.kind == ChannelKind.HOSTED:
        # From now on packages come to it by bundles, and not by upload.
        Channel.objects.filter(pk=channel.pk).update(kind=ChannelKind.MIRROR)
    BundleHead.objects.update_or_create(
        channel=channel,
        defaults={
            "stream": manifest.subject.stream,
            "source_name": manifest.subject.name[:200],
            "sequence": manifest.sequence,
            "revision": manifest.head.revision,
            "state_digest": manifest.head.state,
            "manifest_sha256": taken.manifest_sha256,
        },
    )
    taken.verified.all().delete()
    taken.pieces.all().delete()
    BundleImport.objects.filter(pk=taken.pk).update(result=told, error_code="", error_sentence="")
    details = {"from": manifest.subject.name, "revision": manifest.head.revision, "signer": taken.signer, **told}
    audit(
        actor=on_behalf_of(taken),
        action="bundle.import",
        target=f"channel:{channel.name}",
        organization_id=channel.organization_id,
        details=details,
    )
    payload = {
        "source": manifest.subject.name,
        "revision": manifest.head.revision,
        "added": told["added"],
        "removed": told["removed"],
    }
    emit(
        type="bundle.imported",
        target=channel.target(),
        object_name=channel.name,
        object_id=channel.pk,
        payload=payload,
        actor=on_behalf_of(taken),
    )
