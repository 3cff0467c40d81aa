"""The doors of the tests' OpenID Connect provider, and what it tells of its people: imported in its process alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.urls import include, path


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]
    """Tells what the file says."""

    def get_claims(self, purpose: str, user: Any, client: Any, scopes: Any, email: str | None = None, **kwargs: Any) -> dict[str, Any]:
        told = json.loads(Path(settings.PEOPLE).read_text())[user.username]
        return {"sub": f"id-of-{user.username}", "preferred_username": user.username, **told}


def sign_in_as(request: HttpRequest, name: str) -> HttpResponse:
    user, _ = get_user_model().objects.get_or_create(username=name)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse(name)


urlpatterns = [path("as/<str:name>", sign_in_as), path("", include("allauth.idp.urls"))]
