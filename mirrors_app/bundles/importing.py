"""Imports: begun, their files received or found in a folder, read and verified, published as one revision; nothing half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, ChannelKind, PackageFile
from channels_app.services import quotas
from condahub.accounts.policy import HUB, Actor, Permission, can, reads_all, require
from condahub.audit.services import record as audit
from condahub.bundles import traveller
from condahub.errors import Conflict, Forbidden, HubError, Invalid, NotFound, QuotaExceeded, TooLarge, Unprocessable
from condahub.events.services import emit
from condahub.jobs.context import JobCancelled, JobReleased
from condahub.jobs.services import enqueue
from condahub.storage.blobs import TemporaryBlob, blobs
from mirrors_app.bundles import publishing, signing
from mirrors_app.bundles.core import keys
from mirrors_app.bundles.core.errors import INCOMPLETE, MANIFEST, SIGNATURE, BundleOutOfOrder, BundleRefused
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, PACKAGES, SIGNATURE_NAME, Manifest, Part
from mirrors_app.bundles.core.order import Position, decide
from mirrors_app.bundles.core.reader import BundleFolder, Place
from mirrors_app.bundles.exporting import Watch
from mirrors_app.bundles.planning import NAMESPACE
from mirrors_app.bundles.verifying import verify_packages
from mirrors_app.models import BundleHead, BundleImport, BundlePiece, ImportState

IMPORT_KIND = "mirrors.import"
_OPEN = (ImportState.RECEIVING, ImportState.READY, ImportState.REFUSED, ImportState.FAILED, ImportState.CANCELLED)


def begin_import(*, actor: Actor, channel: Channel, folder: str = "", options: dict[str, Any] | None = None) -> BundleImport:
    """Say that a bundle is brought to the channel: by uploading its files, or from a folder of this machine that IT has listed.

    options: policies "propose" (the default) or "apply"; advisories: whether OSV files are loaded. Raises Forbidden, Conflict,
    Unprocessable; of a folder's bundle all that its manifest alone can be refused for.
    """
    require(actor, Permission.MIRROR_UPDATE, channel)
    chosen = _options(actor, channel, options or {})
    _require_fit(channel)
    place = _listed_folder(actor, folder) if folder else None
    taken = BundleImport(channel=channel, folder=str(place or ""), options=chosen, created_by=actor.label)
    if place is None:
        taken.save()
        return taken
    raw, signature = BundleFolder(place).manifest()
    with _refusals_are_told(actor, channel):
        _accept(actor, taken, raw, signature)
    return taken


def _options(actor: Actor, channel: Channel, given: dict[str, Any]) -> dict[str, Any]:
    policies, advisories = given.get("policies", "propose"), given.get("advisories", can(actor, Permission.HUB_OPERATE, HUB))
    if policies not in ("propose", "apply") or not isinstance(advisories, bool):
        raise Unprocessable("policies is 'propose' or 'apply', advisories is true or false.", code="bad_import")
    if policies == "apply":
        require(actor, Permission.POLICY_UPDATE, channel)
    if advisories:
        # They act on the whole installation.
        require(actor, Permission.HUB_OPERATE, HUB)
    return {"policies": policies, "advisories": advisories}


def _require_fit(channel: Channel) -> None:
    """A bundle decides of all that its channel holds: it goes into an empty one, or one that bundles filled."""
    if BundleHead.objects.filter(channel=channel).exists():
        return
    if channel.kind not in (ChannelKind.HOSTED, ChannelKind.MIRROR) or hasattr(channel, "mirror"):
        raise Conflict(f"'{channel.name}' is filled from elsewhere.", code="channel_not_empty", hint="Import into a channel of its own.")
    if PackageFile.objects.filter(channel=channel).exists():
        raise Conflict(
            f"'{channel.name}' holds packages that no bundle brought.",
            code="channel_not_empty",
            hint="Import into an empty channel; a bundle decides of all that its channel holds.",
        )


def _listed_folder(actor: Actor, folder: str) -> Path:
    """The folder's real path. Whoever may not operate the hub learns nothing of folders that IT did not list."""
    path = Path(folder)
    if actor.system and actor.via == "shell":
        return path.resolve()
    listed = [Path(one).resolve() for one in settings.CONDAHUB_BUNDLE_FOLDERS]
    real = path.resolve() if path.is_absolute() else None
    if real is None or not any(real.is_relative_to(one) for one in listed) or not real.is_dir():
        raise Unprocessable(
            "There is no such folder among those that bundles are taken from.",
            code="bad_folder",
            hint="IT lists them in CONDAHUB_BUNDLE_FOLDERS; name one below them by its full path.",
        )
    return real


def import_for(actor: Actor, pk: int) -> BundleImport:
    """The import, if the actor may bring bundles there; hidden and unknown ones get the same answer."""
    found = BundleImport.objects.select_related("channel__organization").filter(pk=pk, channel__deleted_at=None).first()
    if found is None or not can(actor, Permission.MIRROR_UPDATE, found.channel):
        raise Forbidden()
    return found


def import_seen(actor: Actor, pk: int) -> BundleImport:
    """The same for a look, which auditors may take too."""
    found = BundleImport.objects.select_related("channel__organization").filter(pk=pk, channel__deleted_at=None).first()
    return found if found is not None and reads_all(actor) else import_for(actor, pk)


# -- receiving -----------------------------------------------------------------------------------------------------------


def permit_file(*, actor: Actor, taken: BundleImport, name: str, declared_bytes: int | None) -> int:
    """How many bytes the file may have, settled before one of them is read. Raises Forbidden, Conflict, NotFound, TooLarge."""
    require(actor, Permission.MIRROR_UPDATE, taken.channel)
    if taken.state not in _OPEN or taken.folder:
        raise Conflict(f"The import takes no files: it is {taken.state}.", code="import_closed")
    limit = _limit_of(taken, name)
    if declared_bytes is not None and declared_bytes > limit:
        raise TooLarge(f"{name} has at most {limit:,} bytes.")
    return limit


def _limit_of(taken: BundleImport, name: str) -> int:
    if name == SIGNATURE_NAME:
        return 4096
    if name == MANIFEST_NAME:
        if not taken.signature:
            raise Conflict("The signature comes first.", code="signature_first", hint=f"Send {SIGNATURE_NAME}, then {MANIFEST_NAME}.")
        return MAX_MANIFEST_BYTES
    return _part_named(taken, name).size


def _part_named(taken: BundleImport, name: str) -> Part:
    if not taken.manifest_sha256:
        raise Conflict("The manifest comes before the parts.", code="manifest_first", hint=f"Send {MANIFEST_NAME}.")
    found = next((part for part in manifest_of(taken).parts if part.name == name), None)
    if found is None:
        raise NotFound(f"The bundle has no file '{name[:40]}'.", code="no_such_part")
    return found


def receive(*, actor: Actor, taken: BundleImport, name: str, temporary: TemporaryBlob) -> BundleImport:
    """Take one file of the bundle, all of whose bytes came. The manifest is refused here already for what it alone shows."""
    if name == SIGNATURE_NAME:
        if temporary.size != keys.SIGNATURE_BYTES:
            raise BundleRefused("A signature has 64 bytes.", code=SIGNATURE)
        taken.signature, taken.manifest_sha256 = temporary.path.read_bytes().hex(), ""
        taken.touched_at = timezone.now()
        taken.save(update_fields=["signature", "manifest_sha256", "touched_at"])
    elif name == MANIFEST_NAME:
        with _refusals_are_told(actor, taken.channel):
            _accept(actor, taken, temporary.path.read_bytes(), bytes.fromhex(taken.signature))
    else:
        _take_part(taken, _part_named(taken, name), temporary)
    return taken


def _take_part(taken: BundleImport, part: Part, temporary: TemporaryBlob) -> None:
    if (temporary.sha256, temporary.size) != (part.sha256, part.size):
        raise Invalid(f"What came as {part.name} is not what the manifest says.", code="wrong_sha256", status=406, hint="Send it again.")
    blobs(NAMESPACE).keep(temporary)
    BundlePiece.objects.get_or_create(taken_by=taken, name=part.name, defaults={"sha256": part.sha256, "size": part.size})
    BundleImport.objects.filter(pk=taken.pk).update(touched_at=timezone.now())
    if not missing_parts(taken):
        BundleImport.objects.filter(pk=taken.pk, state=ImportState.RECEIVING).update(state=ImportState.READY)
        taken.refresh_from_db(fields=["state"])


def missing_parts(taken: BundleImport) -> list[str]:
    """Which files must still come, in order."""
    if taken.folder:
        return []
    if not taken.signature:
        return [SIGNATURE_NAME, MANIFEST_NAME]
    if not taken.manifest_sha256:
        return [MANIFEST_NAME]
    here = set(taken.pieces.values_list("name", flat=True))
    return [part.name for part in manifest_of(taken).parts if part.name not in here]


def _accept(actor: Actor, taken: BundleImport, raw: bytes, signature: bytes) -> None:
    """Keep a manifest that a trusted key has signed and that follows what is here; else nothing is kept. Raises BundleRefused."""
    manifest, signer = keys.open_manifest(raw, signature, signing.trusted_keys())
    what = decide(position_of(taken.channel), manifest)
    if manifest.subject.kind == "environment":
        _permit_environment(actor, taken.channel)
    if what == "apply":
        with quotas.telling(taken.channel):
            quotas.require_room(taken.channel, _package_bytes(manifest))
    taken.signature, taken.manifest_sha256, taken.signer = signature.hex(), blobs(NAMESPACE).put_bytes(raw), signer.public
    taken.stream, taken.sequence, taken.size = manifest.subject.stream, manifest.sequence, manifest.size
    taken.touched_at = timezone.now()
    taken.source_name, taken.source_revision = manifest.subject.name[:200], manifest.head.revision
    taken.state = ImportState.READY if taken.folder or not manifest.parts else ImportState.RECEIVING
    if what == "unchanged":
        taken.state, taken.ended_at, taken.revision = ImportState.UNCHANGED, timezone.now(), taken.channel.head
    taken.save()
    if manifest.parts and not taken.folder and not missing_parts(taken):
        BundleImport.objects.filter(pk=taken.pk, state=ImportState.RECEIVING).update(state=ImportState.READY)


def _package_bytes(manifest: Manifest) -> int:
    return sum(member.size for member in manifest.members() if member.path.startswith(PACKAGES))


def _permit_environment(actor: Actor, channel: Channel) -> None:
    try:
        traveller("environment").permit(actor=actor, organization_id=channel.organization_id)
    except LookupError:
        raise Conflict("This hub takes no environments.", code="no_environments") from None


def position_of(channel: Channel) -> Position | None:
    """How far bundles brought the channel."""
    row = BundleHead.objects.filter(channel=channel).first()
    return Position(row.stream, row.source_name, row.sequence, row.revision, row.state_digest) if row is not None else None


def manifest_of(taken: BundleImport) -> Manifest:
    """The manifest, its signature checked again: a key may have been revoked meanwhile. Raises BundleRefused."""
    raw = blobs(NAMESPACE).read_bytes(taken.manifest_sha256)
    return keys.open_manifest(raw, bytes.fromhex(taken.signature), signing.trusted_keys())[0]


class _Uploaded:
    """The parts of an import that were uploaded."""

    def __init__(self, taken: BundleImport) -> None:
        self._pieces = dict(taken.pieces.values_list("name", "sha256"))

    def open_part(self, part: Part) -> BinaryIO:
        sha256 = self._pieces.get(part.name)
        if sha256 is None:
            raise BundleRefused(f"{part.name} did not come yet.", code=INCOMPLETE, hint="Send it, then run the import again.")
        return blobs(NAMESPACE).open(sha256)


# -- running -------------------------------------------------------------------------------------------------------------


def ask_to_run(*, actor: Actor, taken: BundleImport) -> BundleImport:
    """Let a job read and publish the bundle. Raises Forbidden, Conflict, BundleRefused."""
    require(actor, Permission.MIRROR_UPDATE, taken.channel)
    if taken.state in (ImportState.UNCHANGED, ImportState.DONE):
        return taken
    if missing := missing_parts(taken):
        raise BundleRefused(f"{missing[0]} did not come yet.", code=INCOMPLETE, hint="Send all parts, then run the import.")
    with transaction.atomic():
        job = enqueue(
            kind=IMPORT_KIND,
            payload={"import": taken.pk},
            coalesce_key=str(taken.pk),
            organization_id=taken.channel.organization_id,
            actor_label=actor.label,
        )
        BundleImport.objects.filter(pk=taken.pk).update(job_id=job.pk, touched_at=timezone.now())
    taken.job_id = job.pk
    return taken


def run_import(taken: BundleImport, watch: Watch | None = None) -> BundleImport:
    """Read, verify, publish; or go on with it after it was interrupted. A refusal is noted, told, and raised."""
    watch = watch or Watch()
    if taken.state in (ImportState.DONE, ImportState.UNCHANGED):
        return taken
    _move(taken, ImportState.RUNNING)
    try:
        manifest = manifest_of(taken)
        if decide(position_of(taken.channel), manifest) == "unchanged":
            return _found_here(taken, watch)
        with quotas.telling(taken.channel):
            quotas.require_room(taken.channel, _package_bytes(manifest))
        place = _place(taken)
        verify_packages(taken, manifest, place, watch)
        watch.phase("publishing")
        publishing.publish(taken, manifest, place, check=watch.check)
    except (JobCancelled, JobReleased):
        _move(taken, ImportState.READY)
        raise
    except HubError as error:
        if error.status < 500:
            _refuse(taken, error)
        raise
    taken.refresh_from_db()
    return taken


def _found_here(taken: BundleImport, watch: Watch) -> BundleImport:
    """The channel has this state: from earlier, or from this very import, which was killed before it could say so."""
    revision = publish_dirty(taken.channel_id)
    if taken.result:
        publishing.settle_import(taken, revision)
        taken.refresh_from_db()
    else:
        _move(taken, ImportState.UNCHANGED, ended_at=timezone.now(), revision=revision)
        watch.log("The channel has this state already: nothing was changed.")
    return taken


def _place(taken: BundleImport) -> Place:
    return BundleFolder(Path(taken.folder)) if taken.folder else _Uploaded(taken)


def _move(taken: BundleImport, state: ImportState, **values: Any) -> None:
    BundleImport.objects.filter(pk=taken.pk).update(state=state, **values)
    taken.state = state
    for key, value in values.items():
        setattr(taken, key, value)


def _refuse(taken: BundleImport, error: HubError) -> None:
    state = ImportState.FAILED if isinstance(error, QuotaExceeded) else ImportState.REFUSED
    _move(taken, state, error_code=error.code[:64], error_sentence=error.detail[:2000], ended_at=timezone.now())
    tell_refusal(publishing.on_behalf_of(taken), taken.channel, error)


@contextmanager
def _refusals_are_told(actor: Actor, channel: Channel) -> Iterator[None]:
    try:
        yield
    except (BundleRefused, BundleOutOfOrder) as error:
        if error.code not in (INCOMPLETE, MANIFEST):
            tell_refusal(actor, channel, error)
        raise


def tell_refusal(actor: Actor, channel: Channel, error: HubError) -> None:
    """Owners hear of a bundle that was not what it should be."""
    said = {"code": error.code, "reason": error.detail}
    with transaction.atomic():
        audit(actor=actor, action="bundle.refuse", target=f"channel:{channel.name}", organization_id=channel.organization_id, details=said)
        emit(type="bundle.refused", target=channel.target(), object_name=channel.name, object_id=channel.pk, payload=said, actor=actor)


def forget_import(*, actor: Actor, taken: BundleImport) -> None:
    """Let go of what was uploaded and not published. Raises Forbidden, Conflict while it runs."""
    require(actor, Permission.MIRROR_UPDATE, taken.channel)
    if taken.state == ImportState.RUNNING:
        raise Conflict("The import runs.", code="import_runs", hint="Cancel its job first.")
    taken.delete()
