"""Slows down who tries names one after the other to learn which are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from condahub.api.authentication import actor_of
from condahub.audit.context import address_of

PROBED_CODE = "name_unavailable"
MAX_PROBES = 20
PROBE_WINDOW_SECONDS = 600


class ProbeThrottle(BaseThrottle):
    """For views that take a new name: 429 after MAX_PROBES unavailable ones in a window."""

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or not is_spent(_key(request))

    def wait(self) -> float:
        return PROBE_WINDOW_SECONDS


def note(request: Request) -> None:
    """Count one name that was not available."""
    count(_key(request))


def key_of(user_id: int | None, meta: Mapping[str, Any]) -> str:
    """Under which somebody's tries are counted; for doors that are no REST views."""
    return f"api.probes:{user_id or address_of(meta)}"


def is_spent(key: str) -> bool:
    return int(cache.get(key, 0)) >= MAX_PROBES


def count(key: str) -> None:
    """One more name that was not available."""
    if not cache.add(key, 1, PROBE_WINDOW_SECONDS):
        try:
            cache.incr(key)
        except ValueError:  # it expired in between
            cache.add(key, 1, PROBE_WINDOW_SECONDS)


def _key(request: Request) -> str:
    return key_of(actor_of(request).user_id, request.META)
