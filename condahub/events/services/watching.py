"""What nobody does and the hub tells of by itself: tokens about to end, quotas nearly used up, lanes without a worker."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from condahub.accounts import quota
from condahub.accounts.models import ApiToken, Organization, TokenKind
from condahub.accounts.permissions import HUB
from condahub.events.services.emitting import emit
from condahub.jobs.models import WorkerBeat
from condahub.jobs.states import Lane

EXPIRING_DAYS = 7
NEAR_SHARE = 0.9
SILENT_SECONDS = 120


def tell_expiring_tokens() -> int:
    """Tell of each token once before it ends; returns of how many. Those of jobs end by themselves."""
    now = timezone.now()
    ending = ApiToken.objects.filter(revoked_at__isnull=True, expires_at__gt=now, expires_at__lte=now + timedelta(days=EXPIRING_DAYS))
    ending = ending.exclude(kind=TokenKind.JOB).filter(owner__is_active=True)
    # A token that was made for a few days was made to end: its maker knows.
    lasting = [token for token in ending.select_related("owner", "owner__organization") if _lasts(token)]
    return sum(_tell_of_token(token) for token in lasting)


def _lasts(token: ApiToken) -> bool:
    return token.expires_at is not None and token.expires_at - token.created_at > timedelta(days=EXPIRING_DAYS)


def _tell_of_token(token: ApiToken) -> bool:
    assert token.expires_at is not None
    home = token.owner.organization
    event = emit(
        type="token.expiring",
        target=home or HUB,
        object_name=token.name,
        object_id=token.pk,
        payload={"owner": token.owner.username, "prefix": token.prefix, "expires_at": f"{token.expires_at:%Y-%m-%d %H:%M} UTC"},
        only_for=None if home is not None else token.owner_id,
        once_key=f"token.expiring:{token.pk}:{token.expires_at.isoformat()}",
    )
    return event is not None


def tell_quotas() -> int:
    """Tell of organizations at nine tenths of their quota, and of those past it; each at most once a week. Returns of how many."""
    organizations = Organization.objects.filter(quota_bytes__isnull=False, deleted_at__isnull=True)
    return sum(tell_quota(organization) for organization in organizations.iterator())


def tell_quota(organization: Organization) -> bool:
    """The same for one, for whoever has just added to it or was refused. Counts what it holds."""
    limit = organization.quota_bytes
    if limit is None:
        return False
    used = quota.used_bytes(organization)
    if used < limit * NEAR_SHARE or not used:
        return False
    name = "quota.exceeded" if used >= limit else "quota.near"
    year, week, _ = timezone.now().isocalendar()
    event = emit(
        type=name,
        target=organization,
        object_name=organization.name,
        object_id=organization.pk,
        payload={"used_bytes": used, "quota_bytes": limit, "percent": round(100 * used / limit) if limit else 100},
        once_key=f"{name}:{organization.pk}:{limit}:{year}-{week}",
    )
    return event is not None


def tell_silent_lane(lane: Lane) -> bool:
    """Tell of a lane of which no worker was heard for two minutes; asked by a worker of another lane. Once for each silence."""
    now = timezone.now()
    since = now - timedelta(seconds=SILENT_SECONDS)
    if WorkerBeat.objects.filter(lane=lane, seen_at__gt=since).exists():
        return False
    # Where everything has only just started, the lane's first word may be still to come.
    if not WorkerBeat.objects.filter(~Q(lane=lane), started_at__lte=since, seen_at__gt=since).exists():
        return False
    last = WorkerBeat.objects.filter(lane=lane).order_by("-seen_at").values_list("seen_at", flat=True).first()
    event = emit(
        type="worker.silent",
        target=HUB,
        object_name=lane.value,
        payload={"lane": lane.value, "last_seen": last.isoformat() if last else None},
        once_key=f"worker.silent:{lane}:{_silence(last, now)}",
    )
    return event is not None


def _silence(last: datetime | None, now: datetime) -> str:
    """What tells one silence from the next; a worker that stopped in good order leaves no trace, so that is told of daily."""
    return last.isoformat() if last is not None else now.date().isoformat()
