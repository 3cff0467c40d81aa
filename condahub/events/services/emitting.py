"""Tells the hub that something happened; who is told of it is found out by a job, after the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from django.db import IntegrityError, transaction

from condahub.accounts.models import Organization
from condahub.accounts.permissions import AccessTarget
from condahub.accounts.policy import HasAccessTarget, target_of
from condahub.accounts.secrets import mask
from condahub.audit.scrub import scrub
from condahub.events.models import MAX_SENTENCE_CHARS, Event
from condahub.events.types import BY_THE_HUB, type_named
from condahub.jobs.services import enqueue

SPREAD = "events.deliver"
MAX_NAME_CHARS = 255
MAX_TELL = 200


class Labelled(Protocol):
    @property
    def label(self) -> str: ...


def emit(
    *,
    type: str,
    target: HasAccessTarget | AccessTarget,
    object_name: str,
    object_id: int | None = None,
    payload: Mapping[str, Any] | None = None,
    actor: Labelled | None = None,
    only_for: int | None = None,
    tell: Collection[int] = (),
    once_key: str | None = None,
) -> Event | None:
    """Record an event in the caller's transaction; after its commit a quick job finds out who is told. No secrets in the payload.

    target: where the object lies, which decides who may hear of it (HUB for the hub's own). payload: JSON, with the keys that
    the type's sentence needs. only_for: the id of the one user who may hear of it. tell: ids of users who are told, as far as
    they may, without having subscribed. once_key: None comes back where an event with this key was recorded before.
    """
    event_type = type_named(type)
    where = target_of(target)
    clean: dict[str, Any] = scrub(payload or {})
    name, label = _line(object_name)[:MAX_NAME_CHARS], _line(actor.label if actor is not None else BY_THE_HUB)[:200]
    organization_id = where.organization_id or None
    values = {key: _line(str(value)) for key, value in clean.items()} | {"object": name, "actor": label}
    if "organization" in event_type.fields and organization_id is not None:
        values["organization"] = Organization.objects.values_list("name", flat=True).get(pk=organization_id)
    event = Event(
        type=type,
        severity=event_type.severity.value,
        organization_id=organization_id,
        channel_id=where.channel_id,
        package_name=where.package_name,
        environment_id=where.environment_id,
        object_type=event_type.object_type,
        object_id=object_id,
        object_name=name,
        actor_label=label,
        sentence=event_type.told(values)[:MAX_SENTENCE_CHARS],
        payload=clean,
        only_for_id=only_for,
        tell_ids=sorted(set(tell))[:MAX_TELL],
        once_key=once_key,
    )
    if not _appended(event):
        return None
    # Enqueued after the commit and not in it: the one waiting job would else hold up every transaction that emits.
    transaction.on_commit(spread_soon, robust=True)
    return event


def spread_soon() -> None:
    """Have the events told that are not yet. One job does it for all that happened meanwhile."""
    enqueue(kind=SPREAD, payload={}, coalesce_key="events", actor_label="events")


def _appended(event: Event) -> bool:
    if event.once_key is None:
        event.save(force_insert=True)
        return True
    if Event.objects.filter(once_key=event.once_key).exists():
        return False
    try:
        # A savepoint: losing the race to another process leaves the caller's transaction usable.
        with transaction.atomic():
            event.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def _line(text: str) -> str:
    """One line without secrets: a break would forge a line of a mail."""
    return "".join(char if char.isprintable() else "\ufffd" for char in mask(text))
