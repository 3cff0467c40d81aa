"""Who fetches a package: one in all processes and nodes, by a lease in the database; and for how long a failure is remembered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from channels_app.models import PackageFile
from condahub.errors import HubError
from mirrors_app.models import Demand

LEASE_SECONDS = 15.0
TAKE_TRIES = 5


class Here(NamedTuple):
    """The bytes came meanwhile."""


class Mine(NamedTuple):
    """It is for this process to fetch. leftover: the temporary file of a holder that died, "" if none."""

    leftover: str = ""


class Theirs(NamedTuple):
    """Another process fetches it, into this temporary file."""

    part: str


class Refused(NamedTuple):
    """The last try failed a moment ago; the upstream is not asked again yet."""

    error: HubError


Word = Here | Mine | Theirs | Refused


def take(file_id: int, *, holder: str, part: str) -> Word:
    """Take the lease on this file, or say why not. part: the name of the temporary file that the bytes will come into."""
    for _ in range(TAKE_TRIES):
        word = _try(file_id, holder, part)
        if word is not None:
            return word
    return Theirs("")


def _try(file_id: int, holder: str, part: str) -> Word | None:
    now = timezone.now()
    row = Demand.objects.filter(file_id=file_id).first()
    if row is not None and row.until > now:
        return Refused(_failure(row, now)) if not row.holder else Theirs(row.part)
    values = {"holder": holder, "part": part, "until": now + timedelta(seconds=LEASE_SECONDS), "status": 0, "code": ""}
    leftover = ""
    if row is None:
        try:
            with transaction.atomic():
                Demand.objects.create(file_id=file_id, **values)
        except IntegrityError:
            return None
    elif Demand.objects.filter(pk=row.pk, holder=row.holder, until=row.until).update(**values):
        leftover = row.part
    else:
        return None
    # Whoever fetched it said so in the transaction that ended the lease: only now is it certain that nobody did.
    if PackageFile.objects.filter(pk=file_id, blob__isnull=False).exists():
        release(file_id, holder=holder)
        return Here()
    return Mine(leftover)


def renew(file_id: int, *, holder: str) -> bool:
    """False when the lease is another's by now."""
    until = timezone.now() + timedelta(seconds=LEASE_SECONDS)
    return bool(Demand.objects.filter(file_id=file_id, holder=holder).update(until=until))


def release(file_id: int, *, holder: str) -> None:
    """The next who asks may fetch it at once."""
    Demand.objects.filter(file_id=file_id, holder=holder).delete()


def fail(file_id: int, *, holder: str, error: HubError, seconds: float) -> None:
    """Remember for so long that it could not be had; not at all for 0."""
    if seconds <= 0:
        release(file_id, holder=holder)
        return
    Demand.objects.filter(file_id=file_id, holder=holder).update(
        holder="",
        part="",
        until=timezone.now() + timedelta(seconds=seconds),
        status=error.status,
        code=error.code[:64],
        detail=error.detail[:500],
        hint=error.hint[:500],
    )


def look(file_id: int) -> Here | Theirs | Refused | None:
    """How another process gets on; None when nobody fetches it and it is not here."""
    now = timezone.now()
    row = Demand.objects.filter(file_id=file_id).first()
    if row is not None and row.until > now:
        return Refused(_failure(row, now)) if not row.holder else Theirs(row.part)
    if PackageFile.objects.filter(pk=file_id, blob__isnull=False).exists():
        return Here()
    return None


def _failure(row: Demand, now: datetime) -> HubError:
    left = max(1, round((row.until - now).total_seconds()))
    # Nobody should come back earlier than the upstream is asked again; a 404 stands for itself.
    headers = {} if row.status == 404 else {"Retry-After": str(left)}
    return HubError(row.detail, code=row.code, hint=row.hint, status=row.status, headers=headers)


def sweep() -> list[str]:
    """Forget leases and failures that are over; the temporary files that dead holders left."""
    over = Demand.objects.filter(until__lt=timezone.now() - timedelta(seconds=4 * LEASE_SECONDS))
    parts = [part for part in over.values_list("part", flat=True) if part]
    over.delete()
    return parts
