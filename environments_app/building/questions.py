"""Whether a specification would solve, answered at once by a warm engine child that serves its asker and organization alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from channels_app.models import Channel
from condahub.accounts.models import ApiToken, Organization, TokenKind
from condahub.accounts.policy import Actor, Permission, require
from condahub.engine.lock import HubLock
from condahub.engine.protocol import WouldItSolve
from condahub.engine.warm import WarmPool
from condahub.errors import Unavailable
from environments_app.building import access, folders, limits, outcome, phases
from environments_app.models import Environment
from environments_app.services import builds
from environments_app.services.choices import Choices, chosen
from environments_app.services.locked import lock_from
from environments_app.services.policies import settings_for

# A token serves the questions of some minutes: each new one is a line in the audit.
TOKEN_SECONDS = 300.0
TOKEN_SPARE_SECONDS = 120.0
MAX_TOKENS = 1000
EXPIRED_KEPT = timedelta(hours=1)
MAX_QUESTION_SECONDS = 60

_places = threading.BoundedSemaphore(settings.CONDAHUB_QUESTIONS_AT_ONCE)
_pool = WarmPool()
_tokens: dict[tuple[int, frozenset[int]], tuple[float, str]] = {}
_tokens_lock = threading.Lock()


def would_it_solve(
    *, actor: Actor, organization: Organization, environment: Environment | None, text: str, choices: Choices | None = None
) -> dict[str, Any]:
    """`solves`, `seconds` by platform, `packages` by platform, and the `conflict` with the specification's own lines.

    Raises NotAuthenticated, Forbidden, SpecInvalid, Unprocessable, Conflict, Unavailable where as many questions are being answered as may.
    """
    require(actor, Permission.ENVIRONMENT_SOLVE, environment or organization)
    if not _places.acquire(blocking=False):
        raise Unavailable("Many questions are being answered right now.", retry_after_seconds=2)
    try:
        checked = builds.validate(actor=actor, text=text, organization=organization, environment=environment)
        channels, asked = checked.request.channels, dict(checked.request.values)
        asked.update((choices or Choices()).values(actor, environment, checked.kind))
        if checked.spec.locked is not None:
            return _answer(lock_from(checked.spec.locked, channels), {}, ())
        merged = limits.Limits.of(settings_for(organization, environment))
        seconds = min(merged.solve_seconds, MAX_QUESTION_SECONDS)
        question = WouldItSolve(
            channels=access.engine_channels(channels),
            platforms=phases.platforms_of(asked),
            specs=checked.request.dependencies,
            cache_folder=str(folders.index_cache(organization.pk)),
            token=_token(actor, channels),
            timeout_seconds=seconds,
            **chosen(environment.pk if environment is not None else None, asked),
        )
        answer = _pool.ask(
            question,
            owner=f"{organization.pk}/{actor.user_id}",
            timeout_seconds=seconds + phases.GRACE_SECONDS,
            hosts=access.engine_hosts(),
        )
    finally:
        _places.release()
    if answer.lock is not None:
        return _answer(answer.lock, answer.seconds, checked.request.dependencies)
    conflict = outcome.explained(text, answer.conflict) if answer.conflict is not None else {}
    return {"solves": False, "seconds": answer.seconds, "packages": {}, "conflict": conflict}


def _answer(lock: HubLock, seconds: dict[str, float], lines: Iterable[str]) -> dict[str, Any]:
    requested = outcome.by_name(lines)
    packages = {
        subdir: [
            {
                "name": record.name,
                "version": record.version,
                "build": record.build,
                "channel": record.channel,
                "subdir": record.subdir,
                "size": record.size or 0,
                "requested": requested.get(record.name, ""),
            }
            for record in platform.conda
        ]
        for subdir, platform in lock.platforms.items()
    }
    return {"solves": True, "seconds": seconds, "packages": packages, "conflict": None}


def _token(actor: Actor, channels: Sequence[Channel]) -> str:
    """One that reads these channels for this person, made or still good for a while."""
    assert actor.user_id is not None
    key, now = (actor.user_id, frozenset(channel.pk for channel in channels)), time.monotonic()
    with _tokens_lock:
        known = _tokens.get(key)
        if known is not None and known[0] - now > TOKEN_SPARE_SECONDS:
            return known[1]
    _, secret = access.reading_token(owner=actor, channels=channels, name="would it solve", seconds=TOKEN_SECONDS)
    with _tokens_lock:
        if len(_tokens) >= MAX_TOKENS:
            _tokens.clear()
        _tokens[key] = (now + TOKEN_SECONDS, secret)
    return secret


def forget_expired_tokens() -> int:
    """Delete the rows of jobs' tokens that ended; the audit keeps that there were some."""
    ended = ApiToken.objects.filter(kind=TokenKind.JOB, expires_at__lt=timezone.now() - EXPIRED_KEPT)
    return ended.delete()[0] if ended.exists() else 0
