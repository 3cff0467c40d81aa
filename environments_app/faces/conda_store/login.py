"""Signing in for conda-store's UI and command: a cookie that holds a token of a day, and no page of another site can use."""

from __future__ import annotations

import posixpath
from datetime import timedelta
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.contrib.auth import logout as end_session
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt

from channels_app.faces.entry import json_object
from condahub.accounts.authentication import authenticate_token
from condahub.accounts.models import User
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, revoke_token
from condahub.accounts.signin.programs import password_sign_in
from condahub.audit.context import address_of
from condahub.errors import HubError, NotAuthenticated, Unprocessable
from environments_app.faces.conda_store.entry import COOKIE, refusal, require_own_page

UI = "/conda-store/ui/"
COOKIE_PATH = "/conda-store"
SIGNED_IN_SECONDS = 24 * 3600


@csrf_exempt
def login(request: HttpRequest) -> HttpResponseBase:
    """GET: by way of the hub's own page, back to `next` with the cookie. POST `{"username", "password"}`: the cookie, or 403."""
    if request.method in ("GET", "HEAD"):
        return _by_session(request)
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    try:
        secret = _signed_in(request)
    except HubError as error:
        return refusal(error)
    response = JsonResponse({"status": "ok", "data": {"redirect_url": UI}, "message": None})
    _give(response, secret)
    return response


def _by_session(request: HttpRequest) -> HttpResponseBase:
    """Who is signed in to the hub gets the cookie; who is not is asked to sign in there, and comes back."""
    onward = _own_path(request.GET.get("next", ""))
    if not isinstance(request.user, User):
        back = f"/conda-store/login/?{urlencode({'next': onward})}"
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': back})}")
    response = HttpResponseRedirect(onward)
    # Another site can send a browser here; it has no tokens made.
    if request.method == "GET" and request.headers.get("Sec-Fetch-Site", "none") != "cross-site" and not _has_cookie(request, request.user):
        _give(response, _secret_for(request.user))
    response.headers["Cache-Control"] = "no-store"
    return response


def _own_path(wanted: str) -> str:
    """The path of an address of the UI, which sends whole ones; else the UI's first page."""
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return UI
    is_own = wanted.startswith("/") or f"{parts.scheme}://{parts.netloc}" == settings.CONDAHUB_PUBLIC_URL
    path = posixpath.normpath(parts.path)
    inside = is_own and path.startswith(UI) and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    return quote(path) if inside else UI


def _has_cookie(request: HttpRequest, user: User) -> bool:
    try:
        return authenticate_token(request.COOKIES.get(COOKIE, ""), address=address_of(request.META)).user_id == user.pk
    except NotAuthenticated:
        return False


def _give(response: HttpResponse, secret: str) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SIGNED_IN_SECONDS,
        path=COOKIE_PATH,
        httponly=True,
        samesite="Strict",
        secure=urlsplit(settings.CONDAHUB_PUBLIC_URL).scheme == "https",
    )


def _signed_in(request: HttpRequest) -> str:
    """Raises Forbidden for a wrong name or password, for who has a second factor, and where another site's page asks; Throttled."""
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        require_own_page(request)
    body = json_object(request)
    username, password = body.get("username"), body.get("password")
    if not isinstance(username, str) or not isinstance(password, str):
        raise Unprocessable("'username' and 'password' are needed.", code="missing")
    return _secret_for(password_sign_in(request, username, password))


def _secret_for(user: User) -> str:
    expires = timezone.now() + timedelta(seconds=SIGNED_IN_SECONDS)
    return create_token(actor=Actor.of(user), name="conda-store sign-in", scopes=["full"], expires_at=expires).secret


@csrf_exempt
def logout(request: HttpRequest) -> HttpResponseBase:
    """Ends the cookie's token and the session of the browser's, then to the UI."""
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    try:
        _end(request)
    except HubError as error:
        return refusal(error)
    response = HttpResponse(status=303, headers={"Location": UI, "Cache-Control": "no-store"})
    response.delete_cookie(COOKIE, path=COOKIE_PATH, samesite="Strict")
    return response


def _end(request: HttpRequest) -> None:
    cookie = request.COOKIES.get(COOKIE, "")
    if not cookie:
        return
    require_own_page(request, as_json=False)
    # Else the next look at the page for signing in would sign in again.
    end_session(request)
    try:
        actor = authenticate_token(cookie, address=address_of(request.META))
    except NotAuthenticated:
        return
    if actor.token is not None:
        revoke_token(actor=actor, token=actor.token)
