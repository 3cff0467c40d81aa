"""One atomic change of what a mirrored channel shows.

Rows that nobody sees are written first, a thousand at a time, so that others can write in between; then one transaction turns
them live, together with what was changed, taken and left, and the states of the subdirs. The index follows as one revision;
a process that dies before it is made good by the settle job, or by the mirror's next run.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from channels_app import selectors
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, Effect, FileState, PackageFile
from channels_app.policies.view import VERDICT_FIELDS, View, view_of
from channels_app.services import attesting, packages
from condahub.accounts.policy import SYSTEM
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Unavailable
from condahub.storage.blobs import blobs
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.core.target import Publication, SubdirState
from mirrors_app.filling import holding, rows, sidecars
from mirrors_app.filling.first import FirstFill
from mirrors_app.filling.rows import SHOWN_ROLES, NewFile
from mirrors_app.filling.staging import Staging, note
from mirrors_app.models import Mirror, MirroredFile, MirrorSubdir, SyncRun, UpstreamRevision

Role = MirroredFile.Role
# Other writers of SQLite come in between two chunks; now and then its log is written back.
PAUSE_SECONDS = 0.01
CHECKPOINT_EVERY_CHUNKS = 20
# A change of more names than these becomes a revision past the lock that others publish under.
LARGE_NAMES = 2000
# How many raw indexes of a subdir are kept.
KEPT_INDEXES = 3
NAMESPACE = "upstream"
TAKEN = "The upstream has it no more."
REPLACED = "The upstream has other bytes under this name now."


@dataclass
class _Change:
    """Ids of what the transaction does. show: files, mirrored: what the mirror knows of these; records: new metadata of files that
    are shown; aside: of shown files that give way to others of their name; take, left: mirrored files with their files; keys:
    (subdir, name) of all of them; fill: what shows all of it, into a channel that held nothing.
    """

    # A first run has hundreds of thousands.
    show: array[int] = field(default_factory=lambda: array("q"))
    mirrored: array[int] = field(default_factory=lambda: array("q"))
    records: list[tuple[UpstreamRecord, str, int, int, int]] = field(default_factory=list)
    aside: list[tuple[int | None, int]] = field(default_factory=list)
    take: list[tuple[int | None, int]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)
    fill: FirstFill | None = None

    def add(self, shown: Mapping[int, int]) -> None:
        self.show.extend(shown)
        self.mirrored.extend(shown.values())

    @property
    def moves(self) -> bool:
        """Whether what a URL gives may become something else."""
        return bool(self.aside or self.take or self.records)

    @property
    def is_large(self) -> bool:
        return len(self.keys) > LARGE_NAMES


class Publishing:
    """One publication. lazily: what is shown has no bytes yet; check: raises when the run has lost the right to publish."""

    def __init__(self, mirror: Mirror, run: SyncRun | None, staging: Staging, *, lazily: bool, check: Callable[[], None]) -> None:
        self.mirror, self.run, self.staging = mirror, run, staging
        self.lazily, self.check = lazily, check
        self.now = timezone.now()
        self.is_empty = False

    def publish(self, publication: Publication) -> int:
        """The revision that shows it. Raises Conflict when bytes that were held are gone since, Forbidden, QuotaExceeded."""
        change = _Change()
        ordered = sorted(publication.put, key=lambda one: (one.subdir, one.name, one.filename))
        self.is_empty = not PackageFile.objects.filter(channel=self.mirror.channel_id).exists()
        if self.is_empty and self.lazily and ordered:
            change.fill = FirstFill(self.mirror, ordered, first_seen_at=self.staging.first_seen_at, now=self.now)
            change.fill.stage(self._locked, _let_others_in)
            change.show, change.keys = change.fill.ids, set(change.fill.keys)
        else:
            self._stage_all(ordered, change)
        self._find(publication.take, publication.left, change)
        stored = {subdir: blobs(NAMESPACE).put_bytes(raw) for subdir, raw in publication.raw.items()}
        judged = self._judged(change)
        if change.fill is None:
            sidecars.note(self.mirror, (*publication.put, *publication.moved))
        with transaction.atomic():
            channel = self._locked()
            self._turn(channel, change, judged)
            if change.fill is None:
                self._set_states(publication, stored)
            mark_dirty(channel.pk, change.keys, cause=f"sync: {publication.summary}", waits=change.is_large)
            ahead = change.fill.ahead(channel) if change.fill is not None and not judged.said_something else {}
            if change.moves:
                selectors.bump(channel)
            if change.keys:
                self._audit(channel, change)
            if not change.is_large:
                packages.refresh(channel, {name for _, name in change.keys})
        number = publish_dirty(channel.pk, waiting=change.is_large, ahead=ahead)
        if change.fill is not None:
            # Clients wait for the index alone; until the states are there, the next run takes nothing for done.
            change.fill.note(self._locked, _let_others_in)
            sidecars.note(self.mirror, publication.put)
            with transaction.atomic():
                self._locked()
                self._set_states(publication, stored)
        self._forget_old_indexes(publication.states)
        if change.is_large:
            refresh_packages(channel, {name for _, name in change.keys})
        return number

    # -- before: nobody sees it -----------------------------------------------------------------------------------

    def _stage_all(self, ordered: Sequence[UpstreamRecord], change: _Change) -> None:
        for number, chunk in enumerate(rows.chunks(ordered, rows.CHUNK_NEW_ROWS), 1):
            self._stage(chunk, change)
            if len(ordered) > rows.CHUNK_NEW_ROWS:
                _let_others_in(number)

    def _stage(self, records: Sequence[UpstreamRecord], change: _Change) -> None:
        """See that each record has a row, and note what is to become of it."""
        change.keys.update((one.subdir, one.name) for one in records)
        if self.is_empty:
            # It is filled by this run alone: nothing of it has to be looked for.
            change.add(self._make(records, change))
            return
        found = rows.of_names(self.mirror, records)
        missing, outdated = [], []
        for record in records:
            exact = next((one for one in found.get(record.key, ()) if self._is(one, record)), None)
            if exact is None:
                missing.append(record)
            elif exact.role in SHOWN_ROLES:
                change.records.append((record, exact.sha256, exact.size, exact.file_id or 0, exact.pk))
            else:
                change.add({exact.file_id or 0: exact.pk})
                if bytes(exact.digest) != record.digest:
                    outdated.append((record, exact.sha256, exact.size, exact.file_id or 0, exact.pk))
            if exact is None or exact.role not in SHOWN_ROLES:
                change.aside += [(one.file_id, one.pk) for one in found.get(record.key, ()) if one.role in SHOWN_ROLES]
        if outdated:
            # Nobody sees them yet: they need not wait for the transaction.
            with transaction.atomic():
                rows.set_records(outdated)
                attesting.name_again([one[3] for one in outdated])
        if missing:
            change.add(self._make(missing, change))

    def _is(self, row: rows.Row, record: UpstreamRecord) -> bool:
        facts = record.facts
        if facts.sha256 and row.sha256:
            return row.sha256 == facts.sha256
        if self.lazily and not row.sha256 and not facts.sha256:
            # Never fetched, or it would have a sha256: other bytes take its row, as nobody can have the old ones any more.
            return True
        return bool(facts.md5 and row.md5) and row.md5 == facts.md5

    @transaction.atomic
    def _make(self, records: Sequence[UpstreamRecord], change: _Change) -> Mapping[int, int]:
        """Rows of those whose bytes are held elsewhere, or (lazily) nowhere yet; id of the file -> of what the mirror knows of it."""
        channel = self._locked()
        if self.lazily:
            files = [self._unfetched(record) for record in records]
        else:
            files = [_copied(record, file, self.staging.first_seen_at) for record, file in holding.elsewhere(channel, records, whole=True)]
        if len(files) < len(records):
            lost = next(iter({one.filename for one in records} - {one.record.filename for one in files}))
            raise Conflict(f"'{lost}' can't be shown: its bytes are gone.", code="bytes_gone", hint="The next run fetches it.")
        noted = note(self.mirror, channel, {one.key: (one, Role.STAGED) for one in files}, is_empty=self.is_empty)
        # Of a run that was cut short, or deleted since: the upstream may say something else by now.
        change.records += [(new.record, new.sha256, new.size, file_id, noted.mirrored[file_id]) for new, file_id in noted.outdated]
        return noted.mirrored

    def _unfetched(self, record: UpstreamRecord) -> NewFile:
        facts = record.facts
        return NewFile(record, facts, facts.sha256 or "", facts.md5 or "", record.size, None, "{}", "{}", self.staging.first_seen_at)

    def _find(self, take: Collection[tuple[str, str]], left: Collection[tuple[str, str]], change: _Change) -> None:
        for gone, wanted in ((True, take), (False, left)):
            for subdir in sorted({subdir for subdir, _ in wanted}):
                filenames = {filename for one, filename in wanted if one == subdir}
                names = {filename.rsplit("-", 2)[0] for filename in filenames}
                for chunk in rows.chunks(sorted(names)):
                    for row in MirroredFile.objects.filter(mirror=self.mirror, subdir=subdir, name__in=chunk, role__in=SHOWN_ROLES):
                        if row.filename not in filenames:
                            continue
                        if gone:
                            change.take.append((row.file_id, row.pk))
                            change.keys.add((subdir, row.name))
                        else:
                            change.left.append(row.pk)

    # -- the transaction ------------------------------------------------------------------------------------------

    def _locked(self) -> Channel:
        channel = selectors.lock(self.mirror.channel)
        if not Mirror.objects.filter(pk=self.mirror.pk).exists():
            raise Conflict("The mirror was deleted meanwhile; nothing was published.", code="mirror_gone")
        self.check()
        return channel

    def _turn(self, channel: Channel, change: _Change, judged: _Judged) -> None:
        now = self.now
        stored = (FileState.LIVE, FileState.YANKED)
        rows.set_states([pk for pk, _ in change.take if pk], FileState.DELETED, TAKEN, before=stored, now=now)
        for chunk in rows.chunks([pk for _, pk in change.take]):
            MirroredFile.objects.filter(pk__in=chunk).delete()
        rows.set_states([pk for pk, _ in change.aside if pk], FileState.ASIDE, REPLACED, before=stored, now=now)
        rows.set_roles([pk for _, pk in change.aside], Role.ASIDE)
        rows.set_roles(change.left, Role.LEFT)
        rows.set_records(change.records)
        attesting.name_again([one[3] for one in change.records])
        rows.set_roles([one[4] for one in change.records], Role.SHOWN)
        if change.fill is not None:
            change.fill.show(channel)
        else:
            rows.show(channel, change.show, now=now)
            rows.set_roles(change.mirrored, Role.SHOWN)
        judged.apply(channel, [one[3] for one in change.records])

    def _audit(self, channel: Channel, change: _Change) -> None:
        counts = {"shown": len(change.show), "changed": len(change.records), "taken": len(change.take), "set_aside": len(change.aside)}
        audit(
            actor=SYSTEM,
            action="mirror.publish",
            target=f"channel:{channel.name}",
            organization_id=channel.organization_id,
            details={"run": self.run.pk if self.run is not None else None, **counts},
        )

    def _judged(self, change: _Change) -> _Judged:
        """What policy says of new files, made before the transaction."""
        channel = Channel.objects.select_related("organization").get(pk=self.mirror.channel_id)
        return _Judged(channel, change.show)

    def _set_states(self, publication: Publication, stored: dict[str, str]) -> None:
        for subdir, state in publication.states.items():
            digest = stored.get(subdir, "")
            revision = UpstreamRevision.objects.filter(mirror=self.mirror, subdir=subdir, digest=state.digest).order_by("-id").first()
            if revision is None or not state.digest:
                revision = UpstreamRevision.objects.create(
                    mirror=self.mirror,
                    subdir=subdir,
                    run=self.run,
                    kind=state.kind,
                    url=state.url[:2000],
                    etag=state.etag[:500],
                    last_modified=state.last_modified[:100],
                    digest=state.digest,
                    count=state.count,
                )
            if digest:
                UpstreamRevision.objects.filter(pk=revision.pk).update(stored=digest, size=len(publication.raw[subdir]))
            values = {"state": encode_state(state), "revision": revision, "records": state.records, "base_url": state.base_url[:2000]}
            MirrorSubdir.objects.update_or_create(mirror=self.mirror, subdir=subdir, defaults=values)

    # -- after ----------------------------------------------------------------------------------------------------

    def _forget_old_indexes(self, subdirs: Collection[str]) -> None:
        """Raw indexes past the newest few: nobody compares with them."""
        for subdir in subdirs:
            kept = UpstreamRevision.objects.filter(mirror=self.mirror, subdir=subdir).exclude(stored="").order_by("-id")
            old = list(kept.values_list("pk", "stored")[KEPT_INDEXES:])
            UpstreamRevision.objects.filter(pk__in=[pk for pk, _ in old]).update(stored="")
            for _, digest in old:
                if not UpstreamRevision.objects.filter(stored=digest).exists():
                    blobs(NAMESPACE).delete(digest)


def refresh_packages(channel: Channel, names: Collection[str]) -> None:
    """What lists and searches say of these names, in small transactions."""
    for chunk in rows.chunks(sorted(names), packages.CHUNK_NAMES):
        with transaction.atomic():
            packages.refresh(selectors.lock(channel), chunk)


class _Judged:
    """Verdicts on files that are about to be shown; made anew in the transaction where rules or files changed since."""

    def __init__(self, channel: Channel, file_ids: Sequence[int]) -> None:
        self._marker, self._ids = channel.policy_edit, file_ids
        self._view = view_of(channel)
        self._made = _verdicts(channel, self._view, file_ids)
        self.said_something = False

    def apply(self, channel: Channel, changed_ids: Sequence[int]) -> None:
        """In the transaction; `said_something` afterwards: of any file. changed_ids: of files with new metadata, which are judged now."""
        if channel.policy_edit != self._marker:
            self._view = view_of(channel)
            self._made = _verdicts(channel, self._view, self._ids)
        made = self._made + _verdicts(channel, self._view, changed_ids)
        self.said_something = bool(made)
        adapt = connection.ops.adapt_datetimefield_value
        with connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {PackageFile._meta.db_table} SET verdict = %s, verdict_reason = %s, verdict_changes_at = %s WHERE id = %s",  # noqa: S608
                [(effect, reason, changes_at and adapt(changes_at), pk) for effect, reason, changes_at, pk in made],
            )


def _verdicts(channel: Channel, view: View, file_ids: Sequence[int]) -> list[tuple[str, str, datetime | None, int]]:
    """(effect, reason, when it may change, file) of those that get another verdict than they have."""
    now = timezone.now()
    if view.says_nothing:
        return [(str(Effect.ALLOW), "", None, pk) for pk in rows.hidden(channel, file_ids)]
    made: list[tuple[str, str, datetime | None, int]] = []
    for chunk in rows.chunks(file_ids):
        for pk, *values in PackageFile.objects.filter(pk__in=chunk).values_list("pk", *VERDICT_FIELDS, *view.columns):
            one = view.verdict(values[len(VERDICT_FIELDS) :], now)
            if [one.effect, one.reason, one.changes_at] != values[: len(VERDICT_FIELDS)]:
                made.append((str(one.effect), one.reason, one.changes_at, pk))
    return made


def _copied(record: UpstreamRecord, file: PackageFile, first_seen_at: datetime | None) -> NewFile:
    return NewFile(
        record=record,
        facts=record.facts,
        sha256=file.sha256,
        md5=file.md5,
        size=file.size,
        blob_id=file.blob_id,
        run_exports=file.run_exports,
        about=file.about,
        first_seen_at=first_seen_at or file.first_sight,
    )


def _let_others_in(number: int) -> None:
    if connection.vendor == "sqlite":
        if number % CHECKPOINT_EVERY_CHUNKS == 0:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
        time.sleep(PAUSE_SECONDS)


def encode_state(state: SubdirState) -> bytes:
    return msgspec.msgpack.encode(state)


def decode_state(data: bytes) -> SubdirState:
    """Raises Unavailable for what this release can't read."""
    try:
        return msgspec.msgpack.decode(data, type=SubdirState)
    except msgspec.DecodeError as error:
        raise Unavailable("The mirror's state was written by another release of the hub.") from error
