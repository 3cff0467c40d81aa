"""Asking: whoever misses a package asks for it; who may show it approves for a while, or refuses with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from channels_app.models import Channel, DirtyName, Missing, PackageFile, PackageRequest, RequestState
from channels_app.policies import patterns
from channels_app.services import policies, telling
from condahub.accounts.policy import Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, NotAuthenticated, Throttled, Unprocessable

# A person who asks for more than this at once is a program gone wrong.
MAX_OPEN_REQUESTS = 200

Listener = Callable[[PackageRequest], None]
# (channel, spec, who asks) -> one of Missing, or "" where it knows nothing; called outside of transactions.
Explainer = Callable[[Channel, str, Actor], str]
_listeners: dict[str, Listener] = {}
_explainers: dict[str, Explainer] = {}


def explain_missing(name: str, explainer: Explainer) -> None:
    """Have `explainer` say why a channel does not have what is asked for, where that is neither held nor denied.

    For the apps that stand on this one, in `AppConfig.ready`.
    """
    if _explainers.setdefault(name, explainer) is not explainer:
        raise ValueError(f"The explainer '{name}' is registered twice.")


def on_answer(name: str, listener: Listener) -> None:
    """Have `listener` called in the transaction of every answer: it resumes what waits, or mirrors what was missing.

    For the apps that stand on this one, in `AppConfig.ready`; `request.resume` says whose turn it is, in their own words.
    """
    if _listeners.setdefault(name, listener) is not listener:
        raise ValueError(f"The listener '{name}' is registered twice.")


def ask(*, actor: Actor, channel: Channel, spec: str, reason: str, missing: str = "", resume: str = "") -> tuple[PackageRequest, bool]:
    """Ask for what a channel that one may read does not show; the request, and whether it is a new one.

    missing: why it is not there, where whoever asks knows better than the hub. Asking for the same again
    while it waits gives the same request. Raises NotAuthenticated, Forbidden, Conflict, Unprocessable, Throttled.
    """
    if actor.is_anonymous or not actor.is_active:
        raise NotAuthenticated
    require(actor, Permission.CHANNEL_READ, channel)
    spec, reason = spec.strip(), reason.replace("\x00", "").strip()[:1000]
    if not patterns.is_spec(spec) and not patterns.is_sha256(spec):
        raise Unprocessable(f"'{spec[:100]}' names no package.", code="bad_spec", hint="Such as numpy, numpy >=2 or numpy =2.1.0=py312_0.")
    if not reason:
        raise Unprocessable("Say why you need it.", code="reason_missing", hint="Who answers reads the reason.")
    # Before the transaction: looking through an upstream's index takes a while.
    missing = next(filter(None, (explain(channel, spec, actor) for explain in _explainers.values())), missing)
    with transaction.atomic():
        own = PackageRequest.objects.filter(asker_id=actor.user_id, asked_by=actor.label, state=RequestState.ASKED)
        waiting = own.select_related("channel").filter(channel=channel, spec=spec, resume=resume).first()
        if waiting is not None:
            return waiting, False
        if own.count() >= MAX_OPEN_REQUESTS:
            raise Throttled(f"{MAX_OPEN_REQUESTS} of your requests wait for an answer.", hint="Wait for those first.")
        made = PackageRequest.objects.create(
            channel=channel,
            spec=spec,
            missing=_why(channel, spec, missing),
            asker_id=actor.user_id,
            asked_by=actor.label,
            reason=reason,
            resume=resume[:200],
        )
        _audit(actor, "request.ask", made)
        telling.tell_asked(made, actor=actor)
    return made, True


def _why(channel: Channel, spec: str, said: str) -> str:
    """What the hub itself finds comes first. Raises Conflict for what is there to be had."""
    hidden = policies.hidden_matching(channel, spec)
    if hidden:
        return Missing.DENIED if all(file.verdict == "deny" for file in hidden) else Missing.HELD
    if any(patterns.matches(spec, patterns.identity_of(file)) for file in _shown(channel, spec)):
        raise Conflict(f"'{spec}' is in '{channel.name}' already.", code="is_there", hint="Refresh the client's index, and solve again.")
    return said if said in (Missing.FILTERED, Missing.NOT_MIRRORED) else Missing.NOT_MIRRORED


def is_shown(channel: Channel, spec: str) -> bool:
    """Whether clients find what was asked for in the channel's index by now."""
    now = Channel.objects.get(pk=channel.pk)
    if now.policy_state != "current":
        return False
    if now.is_virtual:
        # Its members are what it shows.
        return True
    names = {file.name for file in _shown(now, spec) if patterns.matches(spec, patterns.identity_of(file))}
    return bool(names) and not DirtyName.objects.filter(channel=now, name__in=names).exists()


def _shown(channel: Channel, spec: str) -> list[PackageFile]:
    shown = PackageFile.objects.shown().filter(channel=channel)
    return list(shown.filter(sha256=spec) if patterns.is_sha256(spec) else shown.filter(name=patterns.name_of(spec)))


def approve(*, actor: Actor, request: PackageRequest, expires_at: datetime, answer: str = "") -> PackageRequest:
    """Let it in until `expires_at`: what policy hides is waived in this channel, what is not here its mirror may bring.

    Raises Forbidden where a rule keeps it back whose keeper the actor is not, Conflict for one that was answered.
    """
    require(actor, Permission.REQUEST_ANSWER, request.channel)
    if expires_at <= timezone.now():
        raise Unprocessable("An approval ends in the future.", code="bad_expiry", hint="Send a later 'expires_at'.")
    with transaction.atomic():
        taken = _take(request)
        if policies.hidden_matching(taken.channel, taken.spec):
            reason = f"asked for by {taken.asked_by}: {taken.reason}"[:500]
            policies.release(actor=actor, channel=taken.channel, what=taken.spec, reason=reason, expires_at=expires_at)
        return _answer(actor, taken, RequestState.APPROVED, answer, expires_at)


def refuse(*, actor: Actor, request: PackageRequest, answer: str) -> PackageRequest:
    """Say no, with a sentence for whoever asked. Raises Forbidden, Conflict, Unprocessable."""
    require(actor, Permission.REQUEST_ANSWER, request.channel)
    if not answer.replace("\x00", "").strip():
        raise Unprocessable("Say why not.", code="reason_missing", hint="Whoever asked is told the sentence.")
    with transaction.atomic():
        return _answer(actor, _take(request), RequestState.REFUSED, answer, None)


def _take(request: PackageRequest) -> PackageRequest:
    """Its row until the end of the transaction. Raises Conflict for one that has its answer."""
    found = PackageRequest.objects.select_for_update(of=("self",)).select_related("channel__organization").filter(pk=request.pk).first()
    if found is None:
        raise Forbidden
    if found.state != RequestState.ASKED:
        raise Conflict(f"It was {found.state} by {found.answered_by}.", code="answered", hint="Ask again for another answer.")
    return found


def _answer(actor: Actor, request: PackageRequest, state: RequestState, answer: str, expires_at: datetime | None) -> PackageRequest:
    request.state, request.answer = state, answer.replace("\x00", "").strip()[:500]
    request.answered_by, request.answered_at, request.expires_at = actor.label, timezone.now(), expires_at
    request.save()
    _audit(actor, "request.approve" if state == RequestState.APPROVED else "request.refuse", request)
    telling.tell_answered(request, actor=actor)
    for listener in _listeners.values():
        listener(request)
    return request


def _audit(actor: Actor, action: str, request: PackageRequest) -> None:
    audit(
        actor=actor,
        action=action,
        target=f"channel:{request.channel.name}/{request.spec}",
        organization_id=request.channel.organization_id,
        details={"request": request.pk, "missing": request.missing, "asked_by": request.asked_by, "answer": request.answer},
    )
