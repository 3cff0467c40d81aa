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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from condahub.audit.models import AuditEvent, ChainHead, Released
from condahub.audit.triggers import RELEASED_ID

HEAD_ID = 1
RELEASE_ACTION = "audit.released"
# What is hashed, in this order.
CONTENT = (
    "sequence", "previous_hash", "id", "at", "actor_label", "actor_id", "token_prefix", "action", "target_type", "target",
    "organization_id", "address", "request_id", "once_key", "details",
)  # fmt: skip
SEAL_INTERVAL_SECONDS = 1.0
SEAL_BATCH_EVENTS = 500

_last_seal = 0.0


@dataclass(frozen=True)
class Report:
    """What `verify` found. `first_bad` is the sequence number where the chain stops being right, with the reason in `problem`.

    released: up to which number the beginning lies in files.

    `head` is worth noting outside of this machine: who holds the whole database can forge a whole chain, but not that note.
    """

    ok: bool
    count: int
    unsealed: int
    head: str = ""
    first_bad: int | None = None
    problem: str = ""
    released: int = 0


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


def content_of(event: AuditEvent) -> dict[str, Any]:
    """All that the event says, its number and the hash before it, in the order that is hashed."""
    return {name: event.at.isoformat() if name == "at" else getattr(event, name) for name in CONTENT}


def hash_of(event: AuditEvent) -> str:
    """sha256 over all that the event says, its number and the hash before it."""
    return hash_of_content(content_of(event))


def hash_of_content(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(list(content.values()), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def released() -> Released:
    """Up to where the beginning was let go into files; number 0 when nothing was."""
    return Released.objects.filter(pk=RELEASED_ID).first() or Released()


def roll(kept: str, event_hash: str) -> str:
    """The one hash over all events that stay behind what was released, with one more of them."""
    return hashlib.sha256(f"{kept}{event_hash}".encode()).hexdigest()


def verify() -> Report:
    """Walk the chain from what was released on: every hash right, no number missing, the end where the head says it is. No lock."""
    while True:
        start = released()
        report = _walk(start)
        # A release that came between took away what the walk was about to read.
        if report.ok or released().sequence == start.sequence:
            return report


def _walk(start: Released) -> Report:
    # The last number before the head: who seals meanwhile moves both, so that a head behind it is no accident.
    last: int = AuditEvent.objects.aggregate(last=models.Max("sequence"))["last"] or 0
    head = ChainHead.objects.filter(pk=HEAD_ID).first() or ChainHead()
    unsealed = AuditEvent.objects.filter(sequence__isnull=True).count()
    count, number, previous = 0, start.sequence, start.hash

    def bad(problem: str) -> Report:
        return Report(False, count, unsealed, head.hash, number + 1, problem, start.sequence)

    events = AuditEvent.objects.filter(sequence__gt=start.sequence, sequence__lte=head.sequence).order_by("sequence")
    for event in events.iterator(chunk_size=1000):
        problem = problem_of(content_of(event), event.hash, expected=number + 1, previous=previous)
        if problem:
            return bad(problem)
        count, number, previous = count + 1, number + 1, event.hash
    if (number, previous) != (head.sequence, head.hash):
        return bad("The end of the chain is missing or its head was changed.")
    if last > head.sequence:
        return bad("There are events past the head of the chain.")
    problem = _problem_of_release(start)
    if problem:
        return Report(False, count, unsealed, head.hash, start.sequence, problem, start.sequence)
    return Report(True, count, unsealed, head.hash, released=start.sequence)


def _problem_of_release(start: Released) -> str:
    """Whether an event of the chain says of exactly this beginning that it was released, and what stayed of it is as it was."""
    if not start.sequence:
        return ""
    told = last_release()
    if (told.get("last"), told.get("hash")) != (start.sequence, start.hash):
        return f"The events up to number {start.sequence} are marked as released, and no event says that they were."
    kept = ""
    for event in AuditEvent.objects.filter(sequence__lte=start.sequence).order_by("sequence").iterator(chunk_size=1000):
        if event.hash != hash_of(event):
            return f"Event number {event.sequence} was changed."
        kept = roll(kept, event.hash)
    return "" if kept == told.get("kept_hash") else f"Of the events up to number {start.sequence} not those are here that stayed."


def last_release() -> dict[str, Any]:
    """What the newest `audit.released` says; empty when there is none."""
    found = AuditEvent.objects.filter(action=RELEASE_ACTION).order_by("-id").values_list("details", flat=True).first()
    return dict(found or {})


def problem_of(content: Mapping[str, Any], sealed: str, *, expected: int, previous: str) -> str:
    """What is wrong with the next event of the chain; '' for nothing. sealed: the hash that it carries."""
    if content["sequence"] != expected:
        return f"Event number {expected} is missing."
    if content["previous_hash"] != previous:
        return f"Event number {expected} does not follow the one before it."
    return "" if sealed == hash_of_content(content) else f"Event number {expected} was changed."
