"""Who asks our REST API: a token from the headers, else a signed-in session whose changes must carry the CSRF token."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from condahub.accounts.actors import Actor
from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.models import ApiToken, User
from condahub.errors import Forbidden

PATH_TOKEN = "condahub.path_token"  # noqa: S105 - the name of a key, no secret


def actor_of(request: Request | HttpRequest) -> Actor:
    """The actor that authentication left on the request."""
    return cast("Actor", getattr(request, "actor", None) or Actor.anonymous())


class HeaderAuthentication(BaseAuthentication):
    """Tokens alone: for doors that stream a body, which no browser's cookie should open."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:
        actor = self.find_actor(request._request)
        # On Django's own request, where the audit of refusals looks for it.
        request._request.actor = actor  # type: ignore[attr-defined]
        return None if actor.user is None else (actor.user, actor.token)

    def find_actor(self, request: HttpRequest) -> Actor:
        """Raises NotAuthenticated for a token that is not valid."""
        return actor_from_headers(request.META, request.META.get(PATH_TOKEN))

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="condahub"'


class HubAuthentication(HeaderAuthentication):
    """Tokens first; a session where none was sent. A session's unsafe request without the CSRF token is refused."""

    def find_actor(self, request: HttpRequest) -> Actor:
        actor = super().find_actor(request)
        if not actor.is_anonymous:
            return actor
        actor = Actor.of(getattr(request, "user", None))
        if not actor.is_anonymous:
            _require_csrf_token(request)
        return actor


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, with the reason as its answer instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _require_csrf_token(request: HttpRequest) -> None:
    check = _CsrfCheck(lambda request: HttpResponse())
    check.process_request(request)
    reason = check.process_view(request, cast("Any", None), (), {})
    if reason:
        raise Forbidden(
            f"The request lacks a valid CSRF token: {reason}",
            code="csrf_failed",
            hint="Send the header X-CSRFToken with the value of the csrftoken cookie, or use an API token.",
        )
