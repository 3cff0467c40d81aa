"""Records what was done, by whom and from where; secrets are taken out before anything is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone

from condahub.accounts.secrets import mask
from condahub.audit import chain
from condahub.audit.context import RequestMeta, current_request
from condahub.audit.models import AuditEvent
from condahub.audit.scrub import scrub


class Recordable(Protocol):
    """Who did it; condahub.accounts' Actor is one."""

    @property
    def label(self) -> str: ...
    @property
    def user_id(self) -> int | None: ...
    @property
    def token_prefix(self) -> str: ...


@dataclass(frozen=True)
class Someone:
    """Who did it, where there is no Actor (yet)."""

    label: str
    user_id: int | None = None
    token_prefix: str = ""


def record(
    *,
    actor: Recordable,
    action: str,
    target: str = "",
    organization_id: int | None = None,
    details: Mapping[str, Any] | None = None,
    target_type: str = "",
    request_meta: RequestMeta | None = None,
) -> AuditEvent:
    """Append one event, in the transaction of what it tells of: both are kept or neither is.

    action: `<noun>.<verb>` (`channel.create`); target: the name of the thing; target_type: its noun, the action's unless given.
    request_meta: taken from the present request unless given.
    """
    event = build_event(
        actor=actor,
        action=action,
        target=target,
        organization_id=organization_id,
        details=details,
        target_type=target_type,
        request_meta=request_meta,
    )
    event.save(force_insert=True)
    transaction.on_commit(chain.seal_soon, robust=True)
    return event


def record_once(events: list[AuditEvent]) -> None:
    """Append events that carry a `once_key`; those whose key is there already, from any process, are left out."""
    if events:
        AuditEvent.objects.bulk_create(events, ignore_conflicts=True)
        transaction.on_commit(chain.seal_soon, robust=True)


def build_event(
    *,
    actor: Recordable,
    action: str,
    target: str = "",
    organization_id: int | None = None,
    details: Mapping[str, Any] | None = None,
    target_type: str = "",
    request_meta: RequestMeta | None = None,
    once_key: str | None = None,
) -> AuditEvent:
    """An event not yet appended, scrubbed and cut to what its columns hold."""
    meta = request_meta or current_request()
    return AuditEvent(
        at=timezone.now(),
        actor_label=mask(_one_line(actor.label))[:200],
        actor_id=actor.user_id,
        token_prefix=actor.token_prefix[:20],
        action=action,
        target_type=target_type or action.partition(".")[0],
        target=mask(_one_line(target))[:500],
        organization_id=organization_id,
        address=meta.address,
        request_id=meta.request_id,
        details=scrub(details or {}),
        once_key=once_key,
    )


def _one_line(text: str) -> str:
    """Without control characters: PostgreSQL refuses NUL, and a line break would forge a line of an export."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
