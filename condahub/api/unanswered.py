"""What is answered where no door does, or one fails: JSON to programs, a page to a browser; telling of an error needs no session."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.html import format_html
from django.views import defaults

from condahub.errors import Forbidden, HubError, Invalid, NotFound

# Below these a browser is a program too.
PROGRAMS = ("/api/", "/channels/", "/get/", "/conda-store/", "/v2/", "/pypi/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a host name that is not this hub's, a form that is too large."""
    if isinstance(exception, DisallowedHost):
        return _wrong_host(request)
    if _is_for_a_person(request):
        return defaults.bad_request(request, exception)
    return _told(
        Invalid("The hub can't take this request.", code="bad_request", hint="Use the hub's own address and send what it asks for.")
    )


def _wrong_host(request: HttpRequest) -> HttpResponse:
    """Whoever came by another name hears the right one; a browser in a page that needs nothing of this hub."""
    error = Invalid(
        f"This hub does not answer to that name; its address is {settings.CONDAHUB_PUBLIC_URL}.",
        code="unknown_host",
        hint="Operators: CONDAHUB_PUBLIC_URL names the address, CONDAHUB_EXTRA_HOSTS further names.",
    )
    if "text/html" not in request.headers.get("Accept", ""):
        return _told(error)
    page = format_html(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>condahub</title><h1>This hub has another address</h1>'
        '<p>It is <a href="{}">{}</a>.</p><p>{}</p></html>',
        settings.CONDAHUB_PUBLIC_URL,
        settings.CONDAHUB_PUBLIC_URL,
        error.hint,
    )
    return HttpResponse(page, status=error.status, headers={"Cache-Control": "no-store"})


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return defaults.permission_denied(request, exception) if _is_for_a_person(request) else _told(Forbidden())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if _is_for_a_person(request):
        return defaults.page_not_found(request, exception)
    return _told(NotFound("There is nothing at this path.", code="no_such_path"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if _is_for_a_person(request):
        return defaults.server_error(request)
    hint = "Try again in a moment; the operator's log has the reason."
    return _told(HubError("The hub failed to answer this.", code="internal", status=500, hint=hint))


def _is_for_a_person(request: HttpRequest) -> bool:
    """The pages' frame shows who is signed in: without that, as before the middleware and in byte-serving, there is no page."""
    return hasattr(request, "user") and "text/html" in request.headers.get("Accept", "") and not request.path.startswith(PROGRAMS)


def _told(error: HubError) -> JsonResponse:
    return JsonResponse(error.as_dict(), status=error.status, headers={"Cache-Control": "no-store", **error.headers})
