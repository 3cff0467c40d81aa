"""Exports: asked for, planned, written part by part, signed; a run that was killed goes on where it was."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from channels_app import selectors
from channels_app.index.render import zstd_compress, zstd_decompress
from channels_app.models import Channel, Revision
from condahub import __version__
from condahub.accounts import quota
from condahub.accounts.policy import Actor, reads_all
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, HubError, NotFound, Unprocessable
from condahub.events.services import emit
from condahub.jobs.services import enqueue
from condahub.storage.blobs import blobs
from mirrors_app.bundles import planning, signing
from mirrors_app.bundles.core import manifest as format_
from mirrors_app.bundles.core.layout import DEFAULT_PART_BYTES, BundleFile, PartPlan, check_part_bytes, lay_out
from mirrors_app.bundles.core.manifest import Manifest, Part, Pointer, Signer, Subject
from mirrors_app.bundles.core.writer import write_part
from mirrors_app.bundles.planning import NAMESPACE, Plan
from mirrors_app.models import BundleExport, BundlePart, BundleStream, ExportState

EXPORT_KIND = "mirrors.export"
MAX_PARTS_BYTES = 1024**3
_members = msgspec.msgpack.Decoder(Part)


def order_export(
    *,
    actor: Actor,
    channel: Channel,
    revision: int | None = None,
    since: int | None = None,
    environment: str = "",
    part_bytes: int | None = None,
    include: Sequence[str] = planning.INCLUDABLE,
) -> BundleExport:
    """Ask for a bundle of the channel (its head unless a revision is said), or of an environment; a job makes it.

    since: a revision that an earlier bundle brought; then only the difference is carried. Raises Forbidden, NotFound, Conflict,
    Unprocessable.
    """
    planning.require_carrying(actor, channel)
    part_bytes = DEFAULT_PART_BYTES if part_bytes is None else part_bytes
    check_part_bytes(part_bytes)
    if unknown := sorted(set(include) - set(planning.INCLUDABLE)):
        raise Unprocessable(f"'{unknown[0][:40]}' is nothing that can be included.", code="bad_include", hint="policies, advisories")
    if environment and (since is not None or revision is not None):
        raise Unprocessable("An environment is carried whole.", code="bad_export", hint="Leave out revision and since.")
    key = signing.signing_key()
    # Outside of the transaction: it reads all the packages' rows.
    packed = planning.pack(actor=actor, name=environment) if environment else None
    plan = planning.plan_environment(packed) if packed is not None else None
    with transaction.atomic():
        channel = selectors.lock(channel)
        stream = _stream(channel, environment)
        export = BundleExport(
            channel=channel, stream=stream, sequence=stream.last_sequence, environment=environment, include=sorted(set(include)),
            part_bytes=part_bytes, key=key, created_by=actor.label, revision=channel.head if revision is None else revision,
        )  # fmt: skip
        if plan is not None and packed is not None:
            export.sources = sorted({one.channel_id for one in packed.files})
            _settle(export, plan)
        else:
            _pin(channel, export.revision)
            if since is not None:
                _stand_on(export, since)
        export.save()
        job = enqueue(
            kind=EXPORT_KIND,
            payload={"export": export.pk},
            coalesce_key=str(export.pk),
            organization_id=channel.organization_id,
            actor_label=actor.label,
        )
        BundleExport.objects.filter(pk=export.pk).update(job_id=job.pk)
        export.job_id = job.pk
        details = {"revision": export.revision, "since": export.base_revision, "environment": environment}
        audit(
            actor=actor, action="bundle.export", target=f"channel:{channel.name}", organization_id=channel.organization_id, details=details
        )
    return export


def _stream(channel: Channel, subject: str) -> BundleStream:
    stream, _ = BundleStream.objects.get_or_create(channel=channel, subject=subject, defaults={"uid": secrets.token_hex(16)})
    BundleStream.objects.filter(pk=stream.pk).update(last_sequence=F("last_sequence") + 1)
    stream.refresh_from_db()
    return stream


def _pin(channel: Channel, number: int) -> None:
    """The revision outlives its bundle. Raises NotFound."""
    if not Revision.objects.filter(channel=channel, number=number).update(pinned=True):
        raise NotFound(f"'{channel.name}' has no revision {number}.", code="no_such_revision")


def _stand_on(export: BundleExport, since: int) -> None:
    made = BundleExport.objects.filter(stream=export.stream, revision=since).exclude(manifest_sha256="").order_by("-sequence").first()
    if made is None:
        raise Conflict(
            f"No bundle brought revision {since}, so nobody can have it to stand on.",
            code="no_base_bundle",
            hint="Export without 'since' first, or give the revision of an earlier bundle.",
        )
    if since >= export.revision:
        raise Conflict(f"Nothing came after revision {since}.", code="nothing_new", hint="There is nothing to carry.")
    export.base_revision, export.base_digest, export.previous = since, made.state_digest, made.manifest_sha256


def _settle(export: BundleExport, plan: Plan) -> None:
    export.planned = planning.keep(plan)
    export.revision, export.state_digest = plan.revision, plan.state
    export.counts, export.left_out = msgspec.to_builtins(plan.counts), [list(one) for one in plan.left_out]


class Watch:
    """What a run tells, and asks."""

    def phase(self, name: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def log(self, line: str) -> None: ...

    def check(self) -> None:
        """Raises when the run should end."""


def run_export(export: BundleExport, watch: Watch | None = None) -> BundleExport:
    """Make the bundle, or go on making it. What fails for good is noted on the export and raised."""
    watch = watch or Watch()
    if export.state in (ExportState.READY, ExportState.DELETED):
        return export
    BundleExport.objects.filter(pk=export.pk).update(state=ExportState.RUNNING)
    try:
        plan = _planned(export, watch)
        with_room_for(export, plan)
        _write_parts(export, plan, watch)
        return _sign(export, plan)
    except HubError as error:
        if error.status < 500:
            _note_failure(export, error)
        raise


def with_room_for(export: BundleExport, plan: Plan) -> None:
    """Raises QuotaExceeded."""
    made = export.parts.aggregate(total=Sum("size"))["total"] or 0
    total = sum(part.size for part in lay_out(plan.bundle_files(), part_bytes=export.part_bytes))
    quota.room_for(export.channel.organization, max(0, total - made))


def _planned(export: BundleExport, watch: Watch) -> Plan:
    if export.planned:
        return planning.load(export.planned)
    watch.phase("planning")
    plan = planning.plan_channel(export, base_left_out=_left_out_of_base(export), check=watch.check)
    _settle(export, plan)
    export.save(update_fields=["planned", "revision", "state_digest", "counts", "left_out"])
    watch.log(f"{plan.counts.put} records, {plan.counts.packages} packages of {plan.counts.bytes:,} bytes, {plan.counts.take} removals")
    for subdir, filename in plan.left_out[:100]:
        watch.log(f"left out: {subdir}/{filename} may not be given out")
    return plan


def _left_out_of_base(export: BundleExport) -> Sequence[Sequence[str]]:
    if not export.base_revision:
        return ()
    made = BundleExport.objects.filter(stream_id=export.stream_id, state_digest=export.base_digest).order_by("-sequence")
    return made.values_list("left_out", flat=True).first() or ()


class _Stores:
    """Packages lie in one namespace of the store, what was made for bundles in another."""

    def read(self, file: BundleFile, offset: int, length: int) -> Iterator[bytes]:
        namespace = "packages" if file.path.startswith(format_.PACKAGES) else NAMESPACE
        return blobs(namespace).stream(file.sha256, start=offset, length=length)


def _write_parts(export: BundleExport, plan: Plan, watch: Watch) -> None:
    written = dict(export.parts.values_list("number", "size"))
    parts = list(lay_out(plan.bundle_files(), part_bytes=export.part_bytes))
    total, done = sum(part.size for part in parts), sum(written.values())
    watch.phase("writing")
    watch.progress(done, total)
    if written:
        watch.log(f"{len(written)} parts were written before")
    for part in parts:
        if part.number in written:
            continue
        _write(export, part, watch, before=done, total=total)
        done += part.size
        watch.progress(done, total)


def _write(export: BundleExport, plan: PartPlan, watch: Watch, *, before: int, total: int) -> None:
    store = blobs(NAMESPACE)
    with store.temporary(plan.size) as temporary:

        def write(data: bytes) -> None:
            temporary.write(data)
            watch.progress(before + temporary.size, total)

        part = write_part(plan, _Stores(), write, check=watch.check)
        store.keep(temporary)
    members = zstd_compress(msgspec.msgpack.encode(part))
    BundlePart.objects.create(export=export, number=plan.number, sha256=part.sha256, size=part.size, members=members)
    watch.log(f"{plan.name}: {part.size:,} bytes, sha256 {part.sha256}")


def _sign(export: BundleExport, plan: Plan) -> BundleExport:
    key = export.key
    assert key is not None
    if key.revoked_at is not None or not key.sealed:
        key = signing.signing_key()
    parts = [_members.decode(zstd_decompress(bytes(row.members), MAX_PARTS_BYTES)) for row in export.parts.order_by("number")]
    name = export.environment or export.channel.name
    manifest = Manifest(
        format=format_.FORMAT,
        version=format_.FORMAT_VERSION,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        made_by=f"condahub {__version__}",
        subject=Subject(kind="environment" if export.environment else "channel", name=name, stream=export.stream.uid),
        sequence=export.sequence,
        base=Pointer(revision=export.base_revision, state=export.base_digest) if export.base_revision else None,
        head=Pointer(revision=plan.revision, state=plan.state),
        previous=export.previous or None,
        counts=plan.counts,
        takes=plan.takes if export.base_revision else [],
        parts=parts,
        signer=Signer(key=key.public, name=key.name),
        rotations=signing.rotations_of(key),
    )
    raw = manifest.to_bytes()
    signature = signing.private_of(key).sign(raw)
    sha256 = blobs(NAMESPACE).put_bytes(raw)
    export.key, export.signature, export.manifest_sha256, export.manifest_size = key, signature.hex(), sha256, len(raw)
    export.state, export.ready_at, export.size = ExportState.READY, timezone.now(), manifest.size + len(raw)
    export.error_code = export.error_sentence = ""
    with transaction.atomic():
        export.save()
        _tell(export, "bundle.exported", {"revision": export.revision, "channel": export.channel.name})
    return export


def _note_failure(export: BundleExport, error: HubError) -> None:
    BundleExport.objects.filter(pk=export.pk).update(
        state=ExportState.FAILED, error_code=error.code[:64], error_sentence=error.detail[:2000]
    )


def _tell(export: BundleExport, type_: str, payload: dict[str, Any]) -> None:
    emit(type=type_, target=export.channel.target(), object_name=export.channel.name, object_id=export.channel_id, payload=payload)


def export_for(actor: Actor, pk: int) -> BundleExport:
    """The bundle, if the actor may carry its channel; hidden and unknown ones get the same answer."""
    found = BundleExport.objects.select_related("channel__organization", "stream", "key").filter(pk=pk, channel__deleted_at=None).first()
    if found is None:
        raise Forbidden()
    planning.require_carrying(actor, found.channel)
    if found.environment:
        planning.require_reading(actor, found)
    return found


def export_seen(actor: Actor, pk: int) -> BundleExport:
    """The same for a look at what there is, which auditors may take too; its bytes are not theirs."""
    found = BundleExport.objects.select_related("channel__organization").filter(pk=pk, channel__deleted_at=None).first()
    return found if found is not None and reads_all(actor) else export_for(actor, pk)


def delete_export(*, actor: Actor, export: BundleExport) -> None:
    """Let go of the bundle's bytes; that it was made, and what it brought, stays known. Raises Forbidden."""
    planning.require_carrying(actor, export.channel)
    with transaction.atomic():
        export.parts.all().delete()
        BundleExport.objects.filter(pk=export.pk).update(state=ExportState.DELETED, size=0)
        others = BundleExport.objects.filter(channel=export.channel_id, revision=export.revision).exclude(state=ExportState.DELETED)
        if not export.environment and not others.filter(environment="").exists():
            Revision.objects.filter(channel=export.channel_id, number=export.revision).update(pinned=False)
        audit(
            actor=actor,
            action="bundle.delete",
            target=f"channel:{export.channel.name}",
            organization_id=export.channel.organization_id,
            details={"export": export.pk, "revision": export.revision},
        )


def used_by_organization(organization_id: int) -> int:
    """Bytes of all bundles that are kept of an organization's channels."""
    return BundlePart.objects.filter(export__channel__organization_id=organization_id).aggregate(total=Sum("size"))["total"] or 0


def usage_rows(organization_ids: Collection[int]) -> list[QuerySet[Any, Any]]:
    """The same of several organizations: rows of (organization id, bytes), unasked."""
    parts = BundlePart.objects.filter(export__channel__organization_id__in=organization_ids).order_by()
    return [parts.values_list("export__channel__organization_id").annotate(total=Sum("size"))]
