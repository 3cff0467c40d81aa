"""While the hub is read-only, refuses what would change it, before its body is read."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import translation
from django.utils.translation import gettext

from condahub.errors import Unavailable
from condahub.maintenance.selectors import notice

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Who looks after the hub works on, and everybody may sign in and out and choose light or dark.
STAYS_OPEN = ("/admin/", "/accounts/", "/conda-store/login", "/conda-store/logout", "/ui/account/theme")
RETRY_AFTER_SECONDS = 300


class MaintenanceMiddleware:
    """Belongs behind the audit's: its refusals have a request id as all others."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in SAFE_METHODS or request.path.startswith(STAYS_OPEN) or not notice().read_only:
            return self.get_response(request)
        if request.path.startswith("/ui/"):
            # Who is signed in, and what that account speaks, is not known yet.
            with translation.override(translation.get_language_from_request(request)):
                error = refused()
                answer: HttpResponseBase = render(request, "maintenance.html", {"error": error}, status=error.status)
        else:
            error = refused()
            answer = JsonResponse(error.as_dict(), status=error.status)
        for name, value in error.headers.items():
            answer.headers[name] = value
        answer.headers["Cache-Control"] = "no-store"
        return answer


def refused() -> Unavailable:
    return Unavailable(
        gettext("The hub is in maintenance: it can be read and not changed."),
        code="maintenance",
        hint=notice().text or gettext("Try again later."),
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
