"""Organizations: made, described, limited, deleted with a grace period."""

from __future__ import annotations

import re
from itertools import count

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.policy import HUB, Actor, Permission, Role, require
from condahub.audit.services import record
from condahub.errors import Conflict, HubError, Unprocessable
from condahub.names import MAX_NAME_CHARS, RESERVED_NAMES, check_name


def create_organization(
    *, actor: Actor, name: str, title: str = "", description: str = "", quota_bytes: int | None = None, owner: User | None = None
) -> Organization:
    """A new organization, owned by who makes it unless another owner is named. Staff may, and whom the setting names."""
    require(actor, Permission.ORGANIZATION_CREATE, HUB)
    if quota_bytes is not None:
        require(actor, Permission.ORGANIZATION_QUOTA, HUB)
        _check_quota(quota_bytes)
    owner = owner or actor.user
    if owner is None or owner.is_robot or not owner.is_active:
        raise Unprocessable("An organization needs a person as its owner.", code="owner_missing", hint="Name an active person as owner.")
    organization = Organization(name=_checked(name), title=title.strip(), description=description, quota_bytes=quota_bytes)
    _check_texts(organization)
    with transaction.atomic():
        _insert(organization)
        Grant.objects.create(organization=organization, user=owner, role=Role.OWNER, granted_by=actor.user)
        record(
            actor=actor,
            action="organization.create",
            target=organization.name,
            organization_id=organization.pk,
            details={"owner": owner.username, "quota_bytes": quota_bytes},
        )
    return organization


def create_personal_organization(*, user: User) -> Organization:
    """A person's own organization, named after him. Part of making a person, which audits and is allowed as a whole."""
    stem = re.sub(r"[^a-z0-9]+", "-", user.username.lower()).strip("-")[: MAX_NAME_CHARS - 12].strip("-") or "user"
    if stem in RESERVED_NAMES:
        # "admin-2" would make a newcomer look for the first one.
        stem = f"{stem}-home"
    for number in count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        if Organization.objects.filter(name=name).exists():
            continue
        try:
            organization = Organization(
                name=_checked(name), title=user.shown_name, personal_of=user, quota_bytes=settings.CONDAHUB_PERSONAL_QUOTA_BYTES or None
            )
            _insert(organization)
        except Conflict:
            continue
        return organization
    raise AssertionError("count() ends")


def update_organization(
    *, actor: Actor, organization: Organization, title: str | None = None, description: str | None = None
) -> Organization:
    require(actor, Permission.ORGANIZATION_UPDATE, organization)
    require_alive(organization)
    changed = [name for name, value in (("title", title), ("description", description)) if value is not None]
    if title is not None:
        organization.title = title.strip()
    if description is not None:
        organization.description = description
    _check_texts(organization)
    with transaction.atomic():
        organization.save(update_fields=changed)
        record(
            actor=actor,
            action="organization.update",
            target=organization.name,
            organization_id=organization.pk,
            details={"changed": changed},
        )
    return organization


def set_quota(*, actor: Actor, organization: Organization, quota_bytes: int | None) -> Organization:
    """Limit the logical bytes that an organization may hold; None lifts the limit. What it holds already stays."""
    require(actor, Permission.ORGANIZATION_QUOTA, organization)
    if quota_bytes is not None:
        _check_quota(quota_bytes)
    before = organization.quota_bytes
    organization.quota_bytes = quota_bytes
    with transaction.atomic():
        organization.save(update_fields=["quota_bytes"])
        record(
            actor=actor,
            action="organization.quota",
            target=organization.name,
            organization_id=organization.pk,
            details={"before": before, "after": quota_bytes},
        )
    return organization


def delete_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Close an organization: nobody but staff reaches it any more; its bytes go after the grace period. A personal one: staff only."""
    require(actor, Permission.ORGANIZATION_DELETE, organization)
    if organization.is_personal:
        require(actor, Permission.USER_MANAGE, HUB)
    require_alive(organization)
    organization.deleted_at = timezone.now()
    with transaction.atomic():
        organization.save(update_fields=["deleted_at"])
        record(actor=actor, action="organization.delete", target=organization.name, organization_id=organization.pk)
    return organization


def restore_organization(*, actor: Actor, organization: Organization) -> Organization:
    """Open a deleted organization again, with the grants it had. Staff only: a deleted one has nobody else."""
    require(actor, Permission.ORGANIZATION_DELETE, organization)
    organization.deleted_at = None
    with transaction.atomic():
        organization.save(update_fields=["deleted_at"])
        record(actor=actor, action="organization.restore", target=organization.name, organization_id=organization.pk)
    return organization


def require_alive(organization: Organization) -> None:
    if organization.deleted_at is not None:
        raise Conflict("This organization is deleted.", code="organization_deleted", hint="Ask IT staff to restore it.")


def name_unavailable() -> Conflict:
    """The same answer for a taken, a reserved and a retired name."""
    return Conflict("This name is not available.", code="name_unavailable", hint="Choose another name.")


def _checked(name: str) -> str:
    try:
        return check_name(name, what="an organization")
    except HubError as error:
        if error.code == "reserved_name":
            raise name_unavailable() from None
        raise


def _insert(organization: Organization) -> None:
    try:
        with transaction.atomic():
            organization.save(force_insert=True)
    except IntegrityError:
        raise name_unavailable() from None


def _check_texts(organization: Organization) -> None:
    if len(organization.title) > 200:
        raise Unprocessable("The title is too long.", hint="Use at most 200 characters.")
    if "\x00" in organization.title + organization.description:
        raise Unprocessable("Text can't hold NUL characters.", hint="Remove them.")


def _check_quota(quota_bytes: int) -> None:
    if not 0 <= quota_bytes < 2**63:
        raise Unprocessable("A quota is a number of bytes from 0.", code="invalid_quota", hint="Give bytes, or nothing for no limit.")
