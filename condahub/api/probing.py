"""Slows down who tries names one after the other to learn which are taken."""

from __future__ import annotations

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
    """For views that take a new name: 429 after MAX_PROBES unavailable ones in a window (in each process)."""

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or int(cache.get(_key(request), 0)) < MAX_PROBES

    def wait(self) -> float:
        return PROBE_WINDOW_SECONDS


def note(request: Request) -> None:
    """Count one name that was not available."""
    key = _key(request)
    if not cache.add(key, 1, PROBE_WINDOW_SECONDS):
        try:
            cache.incr(key)
        except ValueError:  # it expired in between
            cache.add(key, 1, PROBE_WINDOW_SECONDS)


def _key(request: Request) -> str:
    actor = actor_of(request)
    return f"api.probes:{actor.user_id or address_of(request.META)}"
