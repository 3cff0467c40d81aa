"""Notes when and from where tokens are used: gathered in memory, written together, audited once a day and address."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import DatabaseError, connection, transaction
from django.db.models import Case, DateTimeField, GenericIPAddressField, Value, When

from condahub.accounts.models import ApiToken, User
from condahub.audit.context import RequestMeta
from condahub.audit.models import AuditEvent
from condahub.audit.services import Someone, build_event, record_once

log = logging.getLogger(__name__)

FLUSH_SECONDS = 30.0
# Past these many the rest of the half minute is counted by its last use alone.
MAX_NOTED_ADDRESSES = 10_000
# The operator's token of the environment has no row: its uses are audited under this number, which no row has.
ADMIN_TOKEN_ID = 0


class _Noted(NamedTuple):
    at: datetime
    address: str


_lock = threading.Lock()
_last: dict[int, _Noted] = {}
_addresses: set[tuple[int, str, str]] = set()
# What this process has offered to the audit already; the audit's own key keeps others from repeating it.
_offered: set[tuple[int, str, str]] = set()
_timer: threading.Timer | None = None


def note_use(token_id: int, address: str) -> None:
    """Remember a use; costs no query. It is written within FLUSH_SECONDS."""
    now = datetime.now(UTC)
    key = (token_id, now.date().isoformat(), address)
    with _lock:
        _last[token_id] = _Noted(now, address)
        if key not in _offered and len(_addresses) < MAX_NOTED_ADDRESSES:
            _addresses.add(key)
    if _timer is None:
        # A use inside a transaction counts when that commits.
        transaction.on_commit(_start_timer)


def flush() -> int:
    """Write what was noted: one UPDATE for 200 tokens, one INSERT for the audit; returns the number of tokens."""
    with _lock:
        last, new = dict(_last), set(_addresses)
        _last.clear()
        _addresses.clear()
    if not last:
        return 0
    try:
        with transaction.atomic():
            _write_last(last)
            _audit(new)
    except DatabaseError:
        with _lock:
            for token_id, noted in last.items():
                _last.setdefault(token_id, noted)
            _addresses.update(new)
        raise
    with _lock:
        today = datetime.now(UTC).date().isoformat()
        _offered.difference_update({key for key in _offered if key[1] != today})
        _offered.update(new)
    return len(last)


def reset() -> None:
    """Forget everything noted (tests)."""
    global _timer
    with _lock:
        for store in (_last, _addresses, _offered):
            store.clear()
        if _timer is not None:
            _timer.cancel()
        _timer = None


def _write_last(last: dict[int, _Noted]) -> None:
    ids = sorted(last)
    for start in range(0, len(ids), 200):
        some = ids[start : start + 200]
        whens_at = [When(pk=pk, then=Value(last[pk].at)) for pk in some]
        whens_from = [When(pk=pk, then=Value(last[pk].address or None)) for pk in some]
        ApiToken.objects.filter(pk__in=some).update(
            last_used_at=Case(*whens_at, output_field=DateTimeField()),
            last_used_from=Case(*whens_from, output_field=GenericIPAddressField()),
        )


def _audit(new: set[tuple[int, str, str]]) -> None:
    tokens = ApiToken.objects.select_related("owner").in_bulk({token_id for token_id, _, _ in new})
    events: list[AuditEvent] = []
    for token_id, day, address in sorted(new):
        token = tokens.get(token_id)
        if token is None and token_id != ADMIN_TOKEN_ID:
            continue
        events.append(
            build_event(
                actor=Someone(token.owner.get_username(), token.owner_id, token.prefix) if token else _first_administrator(),
                action="token.use",
                target=token.name if token else "CONDAHUB_ADMIN_TOKEN",
                organization_id=token.owner.organization_id if token else None,
                request_meta=RequestMeta(address=address),
                once_key=f"token.use:{token_id}:{day}:{address}",
            )
        )
    record_once(events)


def _first_administrator() -> Someone:
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return Someone(user.get_username() if user else "", user.pk if user else None, "admin token")


def _start_timer() -> None:
    global _timer
    with _lock:
        if _timer is None:
            _timer = threading.Timer(FLUSH_SECONDS, _on_timer)
            _timer.daemon = True
            _timer.start()


def _on_timer() -> None:
    global _timer
    with _lock:
        _timer = None
    try:
        flush()
    except Exception:
        log.exception("the last uses of tokens could not be written; they are kept for the next try")
    finally:
        connection.close()
