"""Sends deliveries to webhooks: signed, many receivers at once, retried with growing pauses, and given up in the end.

The signature is HMAC-SHA256 over `<X-Condahub-Timestamp>.<body>`. A delivery may arrive more than once (a worker that dies
after the receiver has answered): receivers tell it by `X-Condahub-Delivery`.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from condahub import __version__, vault
from condahub.errors import HubError
from condahub.events import selectors
from condahub.events.models import MAX_SENTENCE_CHARS, Delivery, DeliveryState, Event, Webhook
from condahub.events.services.emitting import emit
from condahub.events.services.webhooks import PURPOSE, SEND, guard
from condahub.jobs.services import enqueue
from condahub.net.guard import Guard
from condahub.net.post import Answer, post

REQUEST_SECONDS = 8.0
MAX_ATTEMPTS = 9
# 10 s, 40 s, 160 s, 640 s, 2560 s, then hourly: about five hours in all.
FIRST_RETRY_SECONDS = 10
RETRY_FACTOR = 4
MAX_RETRY_SECONDS = 3600
# A receiver that fails is left alone for longer each time, so that a thousand events do not knock in vain one after the other.
FIRST_QUIET_SECONDS = 5
MAX_QUIET_SECONDS = 600
GIVE_UP_HOURS = 24
PAUSE_AFTER_DAYS = 7
# Receivers are slow: this many at once, and so many of one organization that the others' are not held up.
MAX_IN_FLIGHT = 16
MAX_IN_FLIGHT_OF_ONE = 4
LOOK_SECONDS = 0.25
LEAVE_SECONDS = 2.0
CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one attempt."""

    delivery: Delivery
    answer: Answer


class Refused(HubError):
    """It must not be sent (any more)."""

    code = "not_sent"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Condahub-Signature`."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def body_of(event: Event) -> dict[str, Any]:
    """What a receiver is sent as JSON."""
    return {
        "id": event.pk,
        "type": event.type,
        "severity": event.severity,
        "at": event.at.isoformat(),
        "sentence": event.sentence,
        "organization": event.organization.name if event.organization is not None else None,
        "object": {"type": event.object_type, "id": event.object_id, "name": event.object_name},
        "actor": event.actor_label,
        "payload": event.payload,
    }


def send_due(check: Callable[[], None] = lambda: None) -> int:
    """Send all that is due, until nothing is and nobody is waited for; returns how many attempts were made.

    check: called between steps; what it raises ends the round once the answers that come within 2 s are noted.
    """
    sender = _Sender()
    try:
        while sender.start() or sender.in_flight:
            sender.note(LOOK_SECONDS)
            check()
    finally:
        sender.leave(LEAVE_SECONDS)
        _come_back()
    return sender.attempts


def _come_back() -> None:
    """A job for when the next one is due."""
    due_at = selectors.next_due_at()
    if due_at is not None:
        enqueue(kind=SEND, payload={}, coalesce_key="webhooks", actor_label="events", run_after=due_at)


class _Sender:
    """The threads do nothing but speak to receivers; the database is this thread's alone."""

    def __init__(self) -> None:
        self.in_flight: dict[int, Delivery] = {}
        self.attempts = 0
        self._done: SimpleQueue[Sent] = SimpleQueue()
        self._guard = guard()

    def start(self) -> int:
        """Start what is due and has a place; returns how many deliveries were taken up."""
        taken = 0
        # One at a time for each receiver, so that it gets them in order while all goes well.
        busy = {delivery.webhook_id for delivery in self.in_flight.values()}
        of_one = Counter(delivery.webhook.organization_id for delivery in self.in_flight.values())
        for delivery in selectors.due_deliveries(timezone.now(), without=busy)[:CANDIDATES]:
            if len(self.in_flight) >= MAX_IN_FLIGHT:
                break
            organization_id = delivery.webhook.organization_id
            if delivery.webhook_id in busy or of_one[organization_id] >= MAX_IN_FLIGHT_OF_ONE:
                continue
            taken += 1
            try:
                request = _prepare(delivery)
            except HubError as refusal:
                _give_up(delivery, refusal.detail)
                continue
            busy.add(delivery.webhook_id)
            of_one[organization_id] += 1
            self.in_flight[delivery.pk] = delivery
            self.attempts += 1
            # A daemon: a worker that stops does not wait for somebody's slow receiver.
            threading.Thread(target=self._send, args=(delivery, *request, self._guard), name="webhook", daemon=True).start()
        return taken

    def _send(self, delivery: Delivery, url: str, body: bytes, headers: dict[str, str], guard: Guard) -> None:
        answer = Answer(None, 0.0, "The hub failed to send it.")
        try:
            answer = post(url, body=body, headers=headers, guard=guard, within_seconds=REQUEST_SECONDS)
        finally:
            self._done.put(Sent(delivery, answer))

    def note(self, within_seconds: float) -> None:
        """Write down what has ended, waiting a little for the first."""
        try:
            sent = self._done.get(timeout=within_seconds) if self.in_flight else None
            while sent is not None:
                del self.in_flight[sent.delivery.pk]
                _note(sent)
                sent = self._done.get_nowait()
        except Empty:
            return

    def leave(self, within_seconds: float) -> None:
        until = time.monotonic() + within_seconds
        while self.in_flight and time.monotonic() < until:
            self.note(LOOK_SECONDS)


def _prepare(delivery: Delivery) -> tuple[str, bytes, dict[str, str]]:
    """URL, body and headers of one attempt. Raises HubError where it must not be sent (any more)."""
    webhook, event = delivery.webhook, delivery.event
    if not webhook.is_active:
        raise Refused("The webhook is paused.")
    if delivery.attempts == 0 and timezone.now() - delivery.created_at > timedelta(hours=GIVE_UP_HOURS):
        raise Refused(f"The receiver took nothing for {GIVE_UP_HOURS} hours.")
    # The walls, at this moment: the object may have moved to another organization since.
    if webhook.organization.deleted_at is not None or selectors.target_now(event).organization_id != webhook.organization_id:
        raise Refused("The organization may not be told of this any more.")
    secret = vault.unseal(webhook.sealed_secret, purpose=PURPOSE)
    body = orjson.dumps(body_of(event))
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"condahub/{__version__}",
        "X-Condahub-Event": event.type,
        "X-Condahub-Delivery": str(delivery.number),
        "X-Condahub-Timestamp": timestamp,
        "X-Condahub-Signature": signature(secret, timestamp, body),
    }
    return webhook.url, body, headers


def _give_up(delivery: Delivery, why: str) -> None:
    Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING).update(
        state=DeliveryState.FAILED, error=why[:MAX_SENTENCE_CHARS], attempted_at=timezone.now()
    )


def _note(sent: Sent) -> None:
    now, status = timezone.now(), sent.answer.status
    good = status is not None and 200 <= status < 300
    attempts = sent.delivery.attempts + 1
    over = attempts >= MAX_ATTEMPTS
    pause = min(FIRST_RETRY_SECONDS * RETRY_FACTOR ** (attempts - 1), MAX_RETRY_SECONDS)
    with transaction.atomic():
        Delivery.objects.filter(pk=sent.delivery.pk, state=DeliveryState.WAITING).update(
            state=DeliveryState.DELIVERED if good else DeliveryState.FAILED if over else DeliveryState.WAITING,
            attempts=attempts,
            attempted_at=now,
            next_attempt_at=now + timedelta(seconds=pause),
            response_status=status,
            duration_ms=round(sent.answer.seconds * 1000),
            error="" if good else _why(sent.answer)[:MAX_SENTENCE_CHARS],
        )
        webhook = Webhook.objects.select_for_update().filter(pk=sent.delivery.webhook_id).first()
        if webhook is not None:
            _note_receiver(webhook, good, now)


def _why(answer: Answer) -> str:
    if answer.status is None:
        return answer.error
    if 300 <= answer.status < 400:
        return f"The receiver answered {answer.status}: redirects are not followed."
    return f"The receiver answered {answer.status}."


def _note_receiver(webhook: Webhook, good: bool, now: datetime) -> None:
    if good:
        if webhook.failures:
            Webhook.objects.filter(pk=webhook.pk).update(failures=0, failing_since=None, quiet_until=now)
        return
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or now
    quiet_seconds = min(FIRST_QUIET_SECONDS * 2 ** min(webhook.failures - 1, 10), MAX_QUIET_SECONDS)
    webhook.quiet_until = now + timedelta(seconds=quiet_seconds)
    if webhook.is_active and now - webhook.failing_since > timedelta(days=PAUSE_AFTER_DAYS):
        webhook.is_active = False
        _tell_of_pause(webhook)
    webhook.save(update_fields=["failures", "failing_since", "quiet_until", "is_active"])


def _tell_of_pause(webhook: Webhook) -> None:
    assert webhook.failing_since is not None
    emit(
        type="webhook.paused",
        target=webhook.organization,
        object_name=webhook.name,
        object_id=webhook.pk,
        payload={"since": f"{webhook.failing_since:%Y-%m-%d}"},
    )
