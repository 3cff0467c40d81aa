"""The short address of an environment, for people to copy: its page in a browser, its explicit file for `conda create --file`."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from channels_app.faces.entry import entry
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import Actor
from condahub.errors import NotFound
from environments_app import selectors
from environments_app.faces.artifacts import Asked, give
from environments_app.models import ArtifactKind


def _short(request: HttpRequest, actor: Actor, organization: str, name: str) -> HttpResponseBase:
    """`?platform=osx-arm64` for another platform than this hub's own."""
    if "text/html" in request.headers.get("Accept", ""):
        # The page itself says who may see it; the address alone tells nothing.
        return HttpResponse(status=302, headers={"Location": f"{settings.CONDAHUB_PUBLIC_URL}/ui/{organization}/environments/{name}"})
    environment = selectors.environment_for(actor, organization, name, Permission.BUILD_READ)
    if environment.current_build is None:
        raise NotFound(f"'{environment}' has no current build that you may see.", code="no_such_build")
    build = selectors.build_for(actor, environment, environment.current_build.number)
    asked = Asked.of(build, ArtifactKind.EXPLICIT, request.GET.get("platform", ""), request.GET.dict())
    return give(request, actor, asked)


short = entry(GET=_short)
