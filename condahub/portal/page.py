"""What every page of the portal is wrapped in: who asks, the refusals as pages, headers; and how a view answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, cast
from urllib.parse import urlencode

from csp.constants import NONCE
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext

from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.errors import Forbidden, HubError, NotAuthenticated
from condahub.jobs.models import Job
from condahub.portal import refusals

P = ParamSpec("P")


class PortalRequest(HttpRequest):
    """A request that came through `page`: it knows its actor, whose roles are read once."""

    actor: Actor
    # What the view has read already of what the frame shows.
    active_jobs: list[Job]


View = Callable[Concatenate[PortalRequest, P], HttpResponseBase]
DjangoView = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


class _Decorator(Protocol):
    def __call__(self, view: View[P]) -> DjangoView[P]: ...


def page(*, anonymous: bool = False, methods: tuple[str, ...] = ("GET", "HEAD")) -> _Decorator:
    """Wrap a view: nobody signed in is sent to sign in (unless `anonymous`), every HubError becomes a page that says what to do."""

    def decorate(view: View[P]) -> DjangoView[P]:
        @functools.wraps(view)
        def wrapped(plain: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            request = cast("PortalRequest", plain)
            request.actor = actor_of(request)
            try:
                if request.method not in methods:
                    raise HubError(
                        gettext("This page does not take that."),
                        code="method_not_allowed",
                        status=405,
                        hint=gettext("Go back and try again."),
                    )
                if request.actor.is_anonymous and not anonymous:
                    raise NotAuthenticated
                response = view(request, *args, **kwargs)
            except HubError as error:
                response = refusal(request, error)
            # What is shown depends on who looks; a shared cache must not keep it, and "back" after signing out must ask again.
            response.headers.setdefault("Cache-Control", "private, no-cache")
            return response

        # Its own types know no arguments beside the request.
        guarded: Any = csp_replace({"script-src": [NONCE], "style-src": [NONCE]})(cast("Any", wrapped))
        return cast("DjangoView[P]", guarded)

    return decorate


def actor_of(request: HttpRequest) -> Actor:
    """The actor of this request's session, one object for the whole request."""
    found = getattr(request, "actor", None)
    if not isinstance(found, Actor):
        found = Actor.of(request.user)
        request.actor = found  # type: ignore[attr-defined]
    return found


def person(request: PortalRequest) -> User:
    """Who is signed in, on pages that are for those alone. Raises NotAuthenticated."""
    if request.actor.user is None:
        raise NotAuthenticated
    return request.actor.user


def refusal(request: PortalRequest, error: HubError) -> HttpResponseBase:
    """A refusal as a page; who is not signed in is asked to, in the same way for what is hidden and what is not there."""
    if error.status == 401 and request.method in ("GET", "HEAD"):
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}")
    hint = error.hint
    if isinstance(error, Forbidden) and error.hint == Forbidden.hint:
        hint = gettext("Check the address. If somebody sent it to you, ask them to give you access.")
    response = render(request, "portal/refused.html", {"error": error, "hint": hint}, status=error.status)
    for name, value in error.headers.items():
        if name != "WWW-Authenticate":
            response.headers[name] = value
    return response


def show(request: PortalRequest, template: str, context: Mapping[str, Any], *, error: HubError | None = None) -> HttpResponse:
    """A page; with the refusal of what was just tried, that one's sentence on top and its status."""
    return render(request, template, {**context, "error": error}, status=200 if error is None else error.status)


def done(request: HttpRequest, path: str, sentence: str = "") -> HttpResponseRedirect:
    """Go on to a page, which says what was done."""
    if sentence:
        messages.success(request, sentence)
    return HttpResponseRedirect(path)


def failed(request: HttpRequest, path: str, error: HubError) -> HttpResponseRedirect:
    """Go back to a page, which says why it was not done."""
    messages.error(request, f"{refusals.told(error.detail)} {refusals.told(error.hint)}".strip())
    return HttpResponseRedirect(path)


def safe_next(request: HttpRequest, fallback: str) -> str:
    """The path in the form's `next`, if it is one of ours."""
    wanted = request.POST.get("next", "") or request.GET.get("next", "")
    # A bare path alone: whatever host this hub is asked by.
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_ours else fallback


def asked(request: HttpRequest, name: str, most: int = 100) -> str:
    """One word of the address's query, cut and without what no column holds."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:most]
