"""The one place where this app tells the hub's events of what happened to requests."""

from __future__ import annotations

from channels_app.models import PackageRequest
from condahub.accounts.policy import Actor
from condahub.events.services import emit


def tell_asked(request: PackageRequest, *, actor: Actor) -> None:
    """Those who may answer find it in their inbox."""
    emit(
        type="request.asked",
        target=request.channel,
        object_name=request.spec,
        object_id=request.pk,
        payload={"channel": request.channel.name, "reason": request.reason, "missing": request.missing},
        actor=actor,
    )


def tell_answered(request: PackageRequest, *, actor: Actor) -> None:
    """Whoever asked is told."""
    emit(
        type="request.answered",
        target=request.channel,
        object_name=request.spec,
        object_id=request.pk,
        payload={"channel": request.channel.name, "answer": request.state, "reason": request.answer or "no reason was given"},
        actor=actor,
        tell=[request.asker_id] if request.asker_id is not None else [],
    )
