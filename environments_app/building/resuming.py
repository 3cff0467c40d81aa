"""A build that failed for a package that it could not have goes on when its request is approved and the package is there."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.utils import timezone

from channels_app.models import PackageRequest, RequestState
from channels_app.services import requests
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from condahub.jobs.context import JobPostponed
from condahub.jobs.services import enqueue
from environments_app.building.access import author_of
from environments_app.models import Build, BuildState
from environments_app.services.builds import build_again

RESUME_KIND = "environments.resume"
# An index shows what was let in after seconds, a mirror brings it after minutes, a person uploads it some day.
FIRST_WAIT_SECONDS = 2.0
MAX_WAIT_SECONDS = 300.0
WAITS_DAYS = 7
_RESUME = re.compile(r"build:(?:(?P<id>[0-9]{1,18})|(?P<organization>[^/@]+)/(?P<environment>[^/@]+)@(?P<number>[0-9]{1,9}))")


def on_answer(request: PackageRequest) -> None:
    """Called in the transaction of an answer. `request.resume`: `build:<id>` or `build:<organization>/<environment>@<number>`.

    A build that whoever asked may not see is as good as none.
    """
    if request.state == RequestState.APPROVED and _waiting(request) is not None:
        enqueue(
            kind=RESUME_KIND,
            payload={"request": request.pk},
            coalesce_key=str(request.pk),
            organization_id=request.channel.organization_id,
            actor_label=request.asked_by,
        )


def resume(request_id: int) -> dict[str, Any]:
    """Build again what waits for this request. Raises JobPostponed as long as clients do not find the package."""
    found = PackageRequest.objects.select_related("channel__organization", "asker").filter(pk=request_id, state=RequestState.APPROVED)
    request, now = found.first(), timezone.now()
    build = _waiting(request) if request is not None else None
    if request is None or build is None or (request.expires_at is not None and request.expires_at <= now):
        return {"build": None}
    if not requests.is_shown(request.channel, request.spec):
        waited = now - (request.answered_at or now)
        if waited > timedelta(days=WAITS_DAYS):
            return {"build": None}
        raise JobPostponed(min(max(waited.total_seconds() / 10, FIRST_WAIT_SECONDS), MAX_WAIT_SECONDS))
    try:
        return {"build": build_again(actor=author_of(build), build=build).pk}
    except HubError as error:
        # The answer stands; whoever may build there can ask again.
        return {"build": None, "reason": error.detail}


def _waiting(request: PackageRequest) -> Build | None:
    """The failed build that the request speaks of."""
    named = _RESUME.fullmatch(request.resume)
    if named is None or request.asker is None:
        return None
    seen = Build.objects.visible_to(Actor(user=request.asker, via="build")).select_related("environment__organization", "specification")
    if named["id"]:
        return seen.filter(pk=int(named["id"]), state=BuildState.FAILED).first()
    place = {"environment__organization__name": named["organization"], "environment__name": named["environment"]}
    return seen.filter(number=int(named["number"]), state=BuildState.FAILED, **place).first()
