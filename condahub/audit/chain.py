"""Seals audit events into a hash chain, and verifies it.

Events are inserted unsealed, in the transaction of what they tell of, so that no two of those wait for each other. A step of
its own seals what is committed: it takes the lock of the one ChainHead row and gives each event, in id order, the next number
and the sha256 over its content and the hash before. An event that committed late gets a later number. Sealing runs after
a commit, at most once a second in a process, and periodically for what that leaves.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass

from django.db import models, transaction

from condahub.audit.models import AuditEvent, ChainHead

HEAD_ID = 1
SEAL_INTERVAL_SECONDS = 1.0
SEAL_BATCH_EVENTS = 500

_last_seal = 0.0


@dataclass(frozen=True)
class Report:
    """What `verify` found. `first_bad` is the sequence number where the chain stops being right, with the reason in `problem`.

    `head` is worth noting outside of this machine: who holds the whole database can forge a whole chain, but not that note.
    """

    ok: bool
    count: int
    unsealed: int
    head: str = ""
    first_bad: int | None = None
    problem: str = ""


def seal_soon() -> None:
    """Seal now unless this process did less than a second ago; what is left over waits for the next event or the periodic step."""
    global _last_seal
    now = time.monotonic()
    if now - _last_seal >= SEAL_INTERVAL_SECONDS:
        _last_seal = now
        seal(max_batches=1)


def seal(*, max_batches: int | None = None) -> int:
    """Seal every committed event that is not yet; returns how many. Nothing to do when another process is at it."""
    sealed = batches = 0
    while max_batches is None or batches < max_batches:
        done = _seal_batch()
        sealed += done
        batches += 1
        if done < SEAL_BATCH_EVENTS:
            break
    return sealed


def _seal_batch() -> int:
    ChainHead.objects.get_or_create(pk=HEAD_ID)
    with transaction.atomic():
        head = ChainHead.objects.select_for_update(skip_locked=True).filter(pk=HEAD_ID).first()
        if head is None:
            return 0
        events = list(AuditEvent.objects.filter(sequence__isnull=True).order_by("id")[:SEAL_BATCH_EVENTS])
        for event in events:
            event.sequence = head.sequence + 1
            event.previous_hash = head.hash
            event.hash = hash_of(event)
            head.sequence, head.hash = event.sequence, event.hash
        if events:
            # The model's own queryset refuses all updates; the database lets this one through, once an event.
            models.QuerySet[AuditEvent](AuditEvent).bulk_update(events, ["sequence", "previous_hash", "hash"], batch_size=100)
            head.save()
        return len(events)


def hash_of(event: AuditEvent) -> str:
    """sha256 over all that the event says, its number and the hash before it."""
    content = [
        event.sequence,
        event.previous_hash,
        event.pk,
        event.at.isoformat(),
        event.actor_label,
        event.actor_id,
        event.token_prefix,
        event.action,
        event.target_type,
        event.target,
        event.organization_id,
        event.address,
        event.request_id,
        event.once_key,
        event.details,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify() -> Report:
    """Walk the whole chain: every hash right, no number missing, the end where the head says it is. Holds no lock."""
    # The last number before the head: who seals meanwhile moves both, so that a head behind it is no accident.
    last: int = AuditEvent.objects.aggregate(last=models.Max("sequence"))["last"] or 0
    head = ChainHead.objects.filter(pk=HEAD_ID).first() or ChainHead()
    unsealed = AuditEvent.objects.filter(sequence__isnull=True).count()
    count, previous = 0, ""
    for event in AuditEvent.objects.filter(sequence__lte=head.sequence).order_by("sequence").iterator(chunk_size=1000):
        problem = _problem(event, expected=count + 1, previous=previous)
        if problem:
            return Report(False, count, unsealed, head.hash, count + 1, problem)
        count, previous = count + 1, event.hash
    if (count, previous) != (head.sequence, head.hash):
        return Report(False, count, unsealed, head.hash, count + 1, "The end of the chain is missing or its head was changed.")
    if last > head.sequence:
        return Report(False, count, unsealed, head.hash, count + 1, "There are events past the head of the chain.")
    return Report(True, count, unsealed, head.hash)


def _problem(event: AuditEvent, *, expected: int, previous: str) -> str:
    if event.sequence != expected:
        return f"Event number {expected} is missing."
    if event.previous_hash != previous:
        return f"Event number {expected} does not follow the one before it."
    return "" if event.hash == hash_of(event) else f"Event number {expected} was changed."
