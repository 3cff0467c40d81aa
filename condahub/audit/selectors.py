"""Reads of the audit: an organization's own events for its owners, all of them for staff and auditors."""

from __future__ import annotations

from django.db.models import QuerySet

from condahub.accounts.policy import HUB, AccessTarget, Actor, HasAccessTarget, Permission, require, target_of
from condahub.audit.models import AuditEvent


def all_events(actor: Actor) -> QuerySet[AuditEvent]:
    """Every event of the installation, newest first."""
    require(actor, Permission.AUDIT_READ, HUB)
    return AuditEvent.objects.all()


def events_of(actor: Actor, organization: HasAccessTarget | AccessTarget) -> QuerySet[AuditEvent]:
    """The events of one organization, newest first."""
    require(actor, Permission.ORGANIZATION_AUDIT, organization)
    return AuditEvent.objects.filter(organization_id=target_of(organization).organization_id)
