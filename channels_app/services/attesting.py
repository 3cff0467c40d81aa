"""Brings attestations to packages: checked, kept as the sidecar that is served beside them, named by their records (CEP-50)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from django.db import transaction

from channels_app import selectors
from channels_app.attestations import BadAttestation, Signer, check_bundle, read_bundles, sidecar_of
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Attestation, Channel, ChannelKind, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import packages
from condahub.accounts.policy import SYSTEM, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound
from condahub.packages.record import canonical_json

KEY = "attestations_sha256"
CHUNK_FILES = 500


def attest(*, actor: Actor, channel: Channel, subdir: str, filename: str, content: bytes) -> Attestation:
    """Add one bundle, or an array of them, to what attests a file; the sidecar as it is now. The same again changes nothing.

    It takes the right to upload the package. Raises Forbidden, NotFound, Conflict `not_hosted`, BadAttestation.
    """
    require(actor, Permission.PACKAGE_UPLOAD, channel.target(filename.rsplit("-", 2)[0]))
    if channel.kind != ChannelKind.HOSTED:
        raise Conflict(f"'{channel.name}' is a {channel.kind} channel: nothing is added to its packages.", code="not_hosted", status=405)
    brought = read_bundles(content)
    with transaction.atomic():
        channel = selectors.lock(channel)
        file = PackageFile.objects.filter(channel=channel, subdir=subdir, filename=filename, state__in=OCCUPYING_STATES).first()
        if file is None:
            raise NotFound(f"There is no '{subdir[:64]}/{filename[:211]}' in '{channel.name}'.", code="no_such_file")
        for bundle in brought:
            check_bundle(bundle, filename=file.filename, sha256=file.sha256)
        before = current_of(file)
        made = _made(actor, file, before, brought)
        if made.pk == (before.pk if before is not None else None):
            return made
        _name(file, made.sha256)
        stamp(view_of(channel, names=[file.name]), [file])
        file.save(update_fields=["record", "changed_at", *VERDICT_FIELDS])
        packages.refresh(channel, {file.name})
        mark_dirty(channel.pk, [(file.subdir, file.name)], cause=f"attestation of {file.filename} by {actor.label}")
        selectors.bump(channel)
        audit(
            actor=actor,
            action="package.attest",
            target=f"channel:{channel.name}/{file.subdir}/{file.filename}",
            organization_id=channel.organization_id,
            details={"sha256": file.sha256, "sidecar": made.sha256, "signers": made.signers},
        )
    publish_dirty(channel.pk)
    return made


def attach(*, channel: Channel, brought: Mapping[int, bytes], by: str) -> dict[int, str]:
    """Sidecars that came from where the files of these ids came from, each checked as one at the door is; why some were refused.

    They take the place of what the records named. The names are marked for the index; the caller has it published.
    """
    refused: dict[int, str] = {}
    with transaction.atomic():
        channel = selectors.lock(channel)
        files = list(PackageFile.objects.filter(channel=channel, pk__in=brought, state__in=OCCUPYING_STATES))
        taken = []
        for file in files:
            try:
                keep(file, brought[file.pk], by=by)
            except BadAttestation as error:
                refused[file.pk] = error.detail
                continue
            taken.append(file)
        stamp(view_of(channel, names={one.name for one in taken}), taken)
        for file in taken:
            file.save(update_fields=["record", "changed_at", *VERDICT_FIELDS])
        packages.refresh(channel, {one.name for one in taken})
        mark_dirty(channel.pk, [(one.subdir, one.name) for one in taken], cause=f"{len(taken)} attestations by {by}")
        if taken:
            selectors.bump(channel)
            audit(
                actor=SYSTEM,
                action="package.attest",
                target=f"channel:{channel.name}",
                organization_id=channel.organization_id,
                details={"files": len(taken), "by": by},
            )
    return refused


def keep(file: PackageFile, content: bytes, *, by: str) -> Attestation:
    """A whole sidecar for a file, which names it from now on, in memory; to be saved: `record`. Raises BadAttestation."""
    bundles = read_bundles(content)
    signers = [check_bundle(one, filename=file.filename, sha256=file.sha256)._asdict() for one in bundles]
    # As it came where it is an array: it is named by the hash of its bytes.
    sidecar = content if content.lstrip()[:1] == b"[" else sidecar_of(bundles)
    made, _ = Attestation.objects.get_or_create(
        file=file, sha256=hashlib.sha256(sidecar).hexdigest(), defaults={"sidecar": sidecar, "signers": signers, "added_by": by[:200]}
    )
    _name(file, made.sha256)
    return made


def name_again(file_ids: Collection[int]) -> None:
    """Records of these files that were written anew name the newest of what attests them."""
    newest: dict[int, str] = {}
    ordered = sorted(file_ids)
    for start in range(0, len(ordered), CHUNK_FILES):
        found = Attestation.objects.filter(file__in=ordered[start : start + CHUNK_FILES]).order_by("pk")
        newest.update(found.values_list("file_id", "sha256"))
    attested = sorted(newest)
    for start in range(0, len(attested), CHUNK_FILES):
        files = list(PackageFile.objects.filter(pk__in=attested[start : start + CHUNK_FILES]).only("record"))
        for file in files:
            _name(file, newest[file.pk])
        PackageFile.objects.bulk_update(files, ["record"])


def current_of(file: PackageFile) -> Attestation | None:
    """The sidecar that the file's record names."""
    sha256 = msgspec.json.decode(file.record).get(KEY)
    return Attestation.objects.filter(file=file, sha256=sha256).first() if sha256 else None


def carry(original: PackageFile, copied: PackageFile) -> Attestation | None:
    """A copy, about to be saved, names what attests the bytes that it has; what is to be saved with it."""
    sidecar = current_of(original)
    if sidecar is None:
        return None
    _name(copied, sidecar.sha256)
    if not copied._state.adding and Attestation.objects.filter(file=copied, sha256=sidecar.sha256).exists():
        return None
    values = {"sha256": sidecar.sha256, "sidecar": bytes(sidecar.sidecar), "signers": sidecar.signers, "added_by": sidecar.added_by}
    return Attestation(file=copied, **values)


def check_upload(content: bytes, *, filename: str, sha256: str) -> list[Signer]:
    """Before anything is kept. Raises BadAttestation."""
    return [check_bundle(one, filename=filename, sha256=sha256) for one in read_bundles(content)]


def _made(actor: Actor, file: PackageFile, before: Attestation | None, brought: list[Any]) -> Attestation:
    bundles = msgspec.json.decode(bytes(before.sidecar)) if before is not None else []
    bundles += [one for at, one in enumerate(brought) if one not in bundles and one not in brought[:at]]
    sidecar = sidecar_of(bundles)
    read_bundles(sidecar)
    signers = [check_bundle(one, filename=file.filename, sha256=file.sha256)._asdict() for one in bundles]
    made, _ = Attestation.objects.get_or_create(
        file=file, sha256=hashlib.sha256(sidecar).hexdigest(), defaults={"sidecar": sidecar, "signers": signers, "added_by": actor.label}
    )
    return made


def _name(file: PackageFile, sha256: str) -> None:
    record: dict[str, Any] = msgspec.json.decode(file.record)
    file.record = canonical_json({**record, KEY: sha256}).decode()
