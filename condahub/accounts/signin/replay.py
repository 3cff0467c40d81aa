"""A code of an authenticator app is good once: allauth forgets a used one sooner than it would be taken again."""

from __future__ import annotations

from allauth.mfa import app_settings
from allauth.mfa.totp.internal import auth as totp


def connect() -> None:
    """Remember used codes for as long as they would be taken: the period, and those around it that the tolerance lets in."""
    totp.TOTP._mark_code_used = _mark_code_used


def _mark_code_used(self: totp.TOTP, code: str) -> bool:
    taken_seconds = app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1)
    first: bool = totp.cache.add(self._get_used_cache_key(code), "y", timeout=taken_seconds)
    return first
