"""Signing in for conda-store's UI and command: a cookie that holds a token of a day, and no page of another site can use."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from channels_app.faces.entry import json_object
from condahub.accounts.authentication import authenticate_token
from condahub.accounts.policy import Actor
from condahub.accounts.services import create_token, revoke_token
from condahub.accounts.signin.programs import password_sign_in
from condahub.audit.context import address_of
from condahub.errors import HubError, NotAuthenticated, Unprocessable
from environments_app.faces.conda_store.entry import COOKIE, refusal, require_own_page

COOKIE_PATH = "/conda-store"
SIGNED_IN_SECONDS = 24 * 3600


@csrf_exempt
def login(request: HttpRequest) -> HttpResponseBase:
    """GET: the hub's own page. POST `{"username", "password"}`: the cookie, or 403."""
    if request.method != "POST":
        return HttpResponseRedirect(f"{settings.LOGIN_URL}?next=/conda-store/ui/")
    try:
        secret = _signed_in(request)
    except HubError as error:
        return refusal(error)
    response = JsonResponse({"status": "ok", "data": {"redirect_url": "/conda-store/ui/"}, "message": None})
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
    return response


def _signed_in(request: HttpRequest) -> str:
    """Raises Forbidden for a wrong name or password, for who has a second factor, and where another site's page asks; Throttled."""
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        require_own_page(request)
    body = json_object(request)
    username, password = body.get("username"), body.get("password")
    if not isinstance(username, str) or not isinstance(password, str):
        raise Unprocessable("'username' and 'password' are needed.", code="missing")
    user = password_sign_in(request, username, password)
    expires = timezone.now() + timedelta(seconds=SIGNED_IN_SECONDS)
    return create_token(actor=Actor.of(user), name="conda-store sign-in", scopes=["full"], expires_at=expires).secret


@csrf_exempt
def logout(request: HttpRequest) -> HttpResponseBase:
    """Ends the cookie's token, then to the page for signing in."""
    if request.method != "POST":
        return HttpResponse(status=405, headers={"Allow": "POST"})
    try:
        _end(request)
    except HubError as error:
        return refusal(error)
    response = HttpResponse(status=303, headers={"Location": "/conda-store/login/", "Cache-Control": "no-store"})
    response.delete_cookie(COOKIE, path=COOKIE_PATH, samesite="Strict")
    return response


def _end(request: HttpRequest) -> None:
    cookie = request.COOKIES.get(COOKIE, "")
    if not cookie:
        return
    require_own_page(request, as_json=False)
    try:
        actor = authenticate_token(cookie, address=address_of(request.META))
    except NotAuthenticated:
        return
    if actor.token is not None:
        revoke_token(actor=actor, token=actor.token)
