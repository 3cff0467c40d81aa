"""Brings attestations to packages: checked, kept as the sidecar that is served beside them, named by their records (CEP-50)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from django.db import transaction

from channels_app import selectors
from channels_app.attestations import Signer, check_bundle, read_bundles, sidecar_of
from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Attestation, Channel, ChannelKind, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import VERDICT_FIELDS, stamp, view_of
from channels_app.services import packages
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, NotFound
from condahub.packages.record import canonical_json

KEY = "attestations_sha256"


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
