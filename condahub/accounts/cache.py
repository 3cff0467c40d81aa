"""Remembers the actor of a token for a few seconds, so that a warm token costs no query; forgets when a right changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from condahub.accounts.actors import Actor

# Other processes notice a revocation by this alone; the promise is 10 s everywhere.
ACTOR_CACHE_SECONDS = 5.0
MAX_CACHED_ACTORS = 10_000

# Replaced by tests that let time pass.
clock: Callable[[], float] = time.monotonic

_actors: dict[str, tuple[float, Actor]] = {}
_lock = threading.Lock()
_generation = 0


def generation() -> int:
    """A number that grows with every `forget`; what was read before it grew is not put in."""
    return _generation


def recall(token_hash: str) -> Actor | None:
    found = _actors.get(token_hash)
    if found is None or found[0] <= clock():
        return None
    token = found[1].token
    return found[1] if token is None or token.is_live() else None


def remember(token_hash: str, actor: Actor, *, read_in: int) -> None:
    """Keep an actor. `read_in` is the generation before it was read, so that a forget in between is not undone."""
    with _lock:
        if read_in != _generation:
            return
        if len(_actors) >= MAX_CACHED_ACTORS:
            _actors.clear()
        _actors[token_hash] = (clock() + ACTOR_CACHE_SECONDS, actor)


def forget() -> None:
    """Forget every actor of this process: rights have changed."""
    global _generation
    with _lock:
        _generation += 1
        _actors.clear()


def _rights_changed(**kwargs: Any) -> None:
    # Now for this thread's own next question, and again when others can see the change.
    forget()
    transaction.on_commit(forget)


def connect() -> None:
    """Watch everything that power is made of. What bypasses signals (bulk updates) acts within ACTOR_CACHE_SECONDS."""
    from condahub.accounts.models import ApiToken, Grant, Organization, Team, TokenLimit, User

    for model in (ApiToken, Grant, Organization, Team, TokenLimit, User):
        post_save.connect(_rights_changed, sender=model, dispatch_uid=f"accounts.cache.save.{model.__name__}")
        post_delete.connect(_rights_changed, sender=model, dispatch_uid=f"accounts.cache.delete.{model.__name__}")
    m2m_changed.connect(_rights_changed, sender=User.groups.through, dispatch_uid="accounts.cache.groups")
