"""Lets the old beginning of the chain go from the database into files, proven before and told of by an event after.

In parts: a part is checked and written, then one transaction records `audit.released`, moves the Released row and deletes. Killed
between file and transaction, the next run writes the same file again. The events of KEPT_ACTIONS are in the files too and stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from condahub.audit import archive, chain, forwarding
from condahub.audit.models import KEPT_ACTIONS, AuditEvent, ChainHead, Forwarded, Released
from condahub.audit.services import Someone, record
from condahub.audit.triggers import RELEASED_ID
from condahub.errors import Conflict, HubError, Unavailable

FILE_EVENTS = 10_000
# A million events a run: the first run of a hub that kept all of them for years is divided over nights.
MAX_FILES = 100


@dataclass
class _Part:
    """A file's worth of the chain: its ends, how many events in it stay in the database, and the hash over all that stay."""

    first: int
    last: int
    hash: str
    until: datetime
    kept: int
    kept_hash: str

    @property
    def count(self) -> int:
        return self.last - self.first + 1


def release(*, between: Callable[[int], None] = lambda released: None) -> tuple[int, list[str]]:
    """Release what is sealed, older than CONDAHUB_AUDIT_DAYS and, where they are streamed, forwarded: how many events, which files.

    between: called after each part with how many were released so far; it may raise to end the run there. Raises HubError, and
    deletes nothing, when the chain is broken anywhere, and Unavailable when the folder does not take the file.
    """
    if not settings.CONDAHUB_AUDIT_DAYS:
        return 0, []
    cutoff = timezone.now() - timedelta(days=settings.CONDAHUB_AUDIT_DAYS)
    oldest = _candidates(chain.released().sequence, limit=None).first()
    if oldest is None or oldest.at >= cutoff:
        return 0, []
    report = chain.verify()
    if not report.ok:
        raise _broken(report.problem)
    count, files = 0, list[str]()
    while len(files) < MAX_FILES:
        start = chain.released()
        try:
            written = _write(start, cutoff)
        except OSError as error:
            raise Unavailable(
                f"Audit events cannot be written to {settings.CONDAHUB_AUDIT_DIR} ({error.strerror or type(error).__name__}).",
                hint="Nothing was deleted. Make room, or set CONDAHUB_AUDIT_DIR to a folder that the hub may write.",
            ) from None
        if written is None:
            break
        part, place, sha256 = written
        _let_go(start, part, place, sha256)
        count += part.count
        files.append(place.name)
        between(count)
    return count, files


def _broken(problem: str) -> HubError:
    return HubError(f"The audit was tampered with, so nothing was released: {problem}", code="audit_broken", status=500)


def _candidates(after: int, *, limit: int | None) -> models.QuerySet[AuditEvent]:
    """Sealed events past a number, in the chain's order; where they are streamed, those that the syslog server was given."""
    events = AuditEvent.objects.filter(sequence__gt=after).order_by("sequence")
    if forwarding.is_configured():
        sent = Forwarded.objects.filter(pk=forwarding.CURSOR_ID).values_list("sequence", flat=True).first() or 0
        limit = sent if limit is None else min(sent, limit)
    return events if limit is None else events.filter(sequence__lte=limit)


def _write(start: Released, cutoff: datetime) -> tuple[_Part, Path, str] | None:
    """The next part as a durable file, with the sha256 of its bytes; None when there is none worth a file."""
    folder: Path = settings.CONDAHUB_AUDIT_DIR
    first = start.sequence + 1
    events = _candidates(start.sequence, limit=archive.left_over(folder, first))[:FILE_EVENTS]
    part = _Part(first, start.sequence, start.hash, cutoff, 0, str(chain.last_release().get("kept_hash", "")) if start.sequence else "")
    draft = archive.Draft(folder)
    try:
        for event in events.iterator(chunk_size=500):
            if event.at >= cutoff:
                break
            problem = chain.problem_of(chain.content_of(event), event.hash, expected=part.last + 1, previous=part.hash)
            if problem:
                raise _broken(problem)
            draft.add(event)
            part.last, part.hash, part.until = part.last + 1, event.hash, event.at
            if event.action in KEPT_ACTIONS:
                part.kept, part.kept_hash = part.kept + 1, chain.roll(part.kept_hash, event.hash)
        # Of events that all stay there is nothing to let go; each such file would be told of by one event more, for ever.
        if part.kept == part.count and part.count < FILE_EVENTS:
            return None
        place, sha256 = draft.finish(archive.name_of(part.first, part.last))
    finally:
        draft.discard()
    return part, place, sha256


def _let_go(start: Released, part: _Part, place: Path, sha256: str) -> None:
    with transaction.atomic():
        # Whoever seals, or releases at the same time, waits here.
        ChainHead.objects.select_for_update().get(pk=chain.HEAD_ID)
        mark, _ = Released.objects.get_or_create(pk=RELEASED_ID)
        if (mark.sequence, mark.hash) != (start.sequence, start.hash):
            raise Conflict("Another run released audit events meanwhile.", code="audit_released_meanwhile")
        details = {
            "count": part.count,
            "first": part.first,
            "last": part.last,
            "until": part.until.isoformat(),
            "hash": part.hash,
            "sha256": sha256,
            "kept": part.kept,
            "kept_hash": part.kept_hash,
        }
        record(actor=Someone("schedule"), action=chain.RELEASE_ACTION, target=place.name, details=details)
        mark.sequence, mark.hash = part.last, part.hash
        mark.save(update_fields=["sequence", "hash"])
        gone = models.QuerySet[AuditEvent](AuditEvent).filter(sequence__gt=start.sequence, sequence__lte=part.last)
        # The model's own queryset refuses; past it the triggers say what may go. No signals and no rows read: nothing refers to events.
        gone.exclude(action__in=KEPT_ACTIONS)._raw_delete(using=gone.db)
