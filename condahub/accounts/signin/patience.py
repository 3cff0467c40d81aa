"""Slows down who tries passwords one after the other: by the name that is tried and by the address that tries."""

from __future__ import annotations

import hashlib

from django.core.cache import cache

from condahub.errors import Throttled

WINDOW_SECONDS = 300
MAX_FAILURES_A_NAME = 10
# Many people may sit behind one address.
MAX_FAILURES_AN_ADDRESS = 50


def _keys(username: str, address: str) -> tuple[tuple[str, int], ...]:
    # Hashed: what was typed as a name may be anything, a password too.
    name = hashlib.sha256(username.strip().lower().encode()).hexdigest()
    # With the address: nobody shuts somebody else out by trying wrong passwords from afar.
    return (f"signin.name:{name}:{address}", MAX_FAILURES_A_NAME), (f"signin.address:{address}", MAX_FAILURES_AN_ADDRESS)


def require_patience(username: str, address: str) -> None:
    """Before a password is looked at. Raises Throttled."""
    if any(int(cache.get(key, 0)) >= most for key, most in _keys(username, address)):
        raise Throttled(
            "Too many sign-ins failed.",
            code="signin_throttled",
            hint=f"Wait {WINDOW_SECONDS // 60} minutes, then try again.",
            headers={"Retry-After": str(WINDOW_SECONDS)},
        )


def note_failure(username: str, address: str) -> None:
    for key, _ in _keys(username, address):
        if not cache.add(key, 1, WINDOW_SECONDS):
            try:
                cache.incr(key)
            except ValueError:  # it expired in between
                cache.add(key, 1, WINDOW_SECONDS)


def forget_failures(username: str, address: str) -> None:
    """After a sign-in that succeeded: the name's count starts anew, the address's goes on."""
    cache.delete(_keys(username, address)[0][0])
