"""CSRF for forms whose body is streamed to disk: Django's own check would read the whole body into its parser first.

The view is exempt from the middleware and calls both: the origin before the body, the form's token after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext

from condahub.errors import Forbidden

TOKEN_FIELD = "csrfmiddlewaretoken"  # noqa: S105 - the name of a field


def _hint() -> str:
    return gettext("Load the page again, then send the form once more.")


class _Check(CsrfViewMiddleware):
    """Django's own check, which answers with the reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason

    def from_here(self, request: HttpRequest) -> bool:
        verified: bool = self._origin_verified(request)  # type: ignore[attr-defined]
        return verified


def _nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _check() -> _Check:
    return _Check(_nothing)


def require_own_origin(request: HttpRequest) -> None:
    """Raises Forbidden for a form of another site. A browser that sends no Origin is judged by its token alone."""
    if "HTTP_ORIGIN" in request.META and not _check().from_here(request):
        raise Forbidden(gettext("This form came from another site."), code="csrf", hint=_hint())


def require_csrf_token(request: HttpRequest, fields: Mapping[str, Sequence[str]]) -> None:
    """Raises Forbidden when the form does not hold the token of this browser."""
    given = QueryDict(mutable=True)
    given.setlist(TOKEN_FIELD, list(fields.get(TOKEN_FIELD, ())))
    # The body is read already: Django must not look for it.
    request.POST = given  # type: ignore[assignment]
    check = _check()
    check.process_request(request)
    if check.process_view(request, _nothing, (), {}) is not None:
        raise Forbidden(gettext("This form is not from your present session."), code="csrf", hint=_hint())
