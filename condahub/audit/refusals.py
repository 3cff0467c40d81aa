"""Records refusals (401 with credentials, 403), bounded so that a client which hammers can't fill the audit."""

from __future__ import annotations

import logging
import threading
import time
from typing import cast

from django.db import DatabaseError, transaction
from django.http import HttpRequest

from condahub.audit.context import current_request
from condahub.audit.services import Recordable, Someone, record

log = logging.getLogger(__name__)

# One event for the same actor, address and status in this time; the next one says how many there were between.
REFUSAL_WINDOW_SECONDS = 60.0
MAX_WINDOWS = 5_000

_windows: dict[tuple[str, str, int], tuple[float, int]] = {}
_lock = threading.Lock()


def note(request: HttpRequest, status: int) -> None:
    """Record that a request was refused. Being asked for credentials (401 to nobody) is how clients start, and is no refusal."""
    if status == 401 and not _sent_credentials(request):
        return
    actor = actor_of(request)
    unrecorded = _due((actor.label, current_request().address, status))
    if unrecorded is None:
        return
    details: dict[str, object] = {"method": request.method, "status": status}
    if unrecorded:
        details["more_since_last"] = unrecorded
    try:
        with transaction.atomic():
            record(actor=actor, action="access.refused", target=request.path, target_type="path", details=details)
    except DatabaseError:
        # The refusal itself stands; the answer must not become a 500 because the audit has no disk.
        log.exception("a refusal could not be recorded")


def actor_of(request: HttpRequest) -> Recordable:
    """Who asked: the Actor that a door left on the request, else the session's user."""
    actor = getattr(request, "actor", None)
    if actor is not None:
        return cast("Recordable", actor)
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return Someone(label=user.get_username(), user_id=user.pk)
    return Someone(label="anonymous")


def reset() -> None:
    """Forget the windows (tests)."""
    with _lock:
        _windows.clear()


def _sent_credentials(request: HttpRequest) -> bool:
    meta = request.META
    # The outermost layer takes `/t/<token>` out of the path and leaves it under this name.
    return any(meta.get(name) for name in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "condahub.path_token"))


def _due(key: tuple[str, str, int]) -> int | None:
    """How many refusals like this went unrecorded since the last recorded one; None when this one is not due either."""
    now = time.monotonic()
    with _lock:
        began, skipped = _windows.get(key, (-REFUSAL_WINDOW_SECONDS, 0))
        if now - began < REFUSAL_WINDOW_SECONDS:
            _windows[key] = (began, skipped + 1)
            return None
        if len(_windows) >= MAX_WINDOWS:
            _windows.clear()
        _windows[key] = (now, 0)
        return skipped
