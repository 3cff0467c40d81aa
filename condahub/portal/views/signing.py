"""Signing in and out, and all that belongs to it: allauth's views in the portal's dress, behind the portal's own policy for scripts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account import views as account_views
from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.mfa.base import views as mfa_views
from allauth.socialaccount import views as social_views
from allauth.socialaccount.models import SocialAccount, SocialApp
from csp.constants import NONCE
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from requests import RequestException

from condahub.accounts.models import DirectoryAccount
from condahub.accounts.signin import directory, fresh, providers
from condahub.errors import Conflict, HubError, Unavailable
from condahub.portal.page import PortalRequest, failed, page, safe_next

log = logging.getLogger(__name__)

# From the provider's page back to ours.
BACK_SECONDS = 60

View = Callable[..., HttpResponseBase]


def dressed(view: View) -> Any:
    """A view of allauth's as a page of ours: no script without the answer's nonce, nothing kept by a cache."""

    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except SocialApp.DoesNotExist:
            raise Http404 from None
        except RequestException as error:
            log.warning("A provider of sign-ins does not answer: %s", type(error).__name__)
            response = _refused(
                request,
                Unavailable(gettext("That provider does not answer."), hint=gettext("Try again, or sign in another way."), status=502),
            )
        except HubError as error:
            response = _refused(request, error)
        response.headers.setdefault("Cache-Control", "private, no-store")
        if request.method == "POST" and isinstance(response, HttpResponseRedirect) and _is_elsewhere(response.url):
            # A form may lead to this origin alone, and browsers hold redirects to that: a page leads on instead.
            onward = render(request, "socialaccount/onward.html", {"address": response.url, "host": urlsplit(response.url).netloc})
            onward.headers["Cache-Control"] = "private, no-store"
            return onward
        return response

    guarded: Any = csp_replace({"script-src": [NONCE], "style-src": [NONCE]})
    return guarded(wrapped)


def _refused(request: HttpRequest, error: HubError) -> HttpResponse:
    return render(request, "socialaccount/refused.html", {"error": error}, status=error.status)


def _is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


class SignInView(account_views.LoginView):  # type: ignore[misc]
    """Every way that is open. Whoever is signed in already is sent on, or told what that account can't open."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            if request.method == "GET" and "next" in request.GET:
                return render(request, "account/signed_in.html")
            return HttpResponseRedirect(safe_next(request, settings.LOGIN_REDIRECT_URL))
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer

    def get_success_url(self) -> str:
        return safe_next(self.request, settings.LOGIN_REDIRECT_URL)

    def form_invalid(self, form: LoginForm) -> HttpResponse:
        error = getattr(self.request, "signin_throttled", None)
        if error is None:
            refused: HttpResponse = super().form_invalid(form)
            return refused
        context = self.get_context_data(form=form, error=error)
        slowed: HttpResponse = self.render_to_response(context, status=error.status, headers=error.headers)
        return slowed

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        local = settings.CONDAHUB_LOCAL_ACCOUNTS
        context |= {
            "offers": providers.offers(self.request),
            "passwords": local or directory.is_configured(),
            "forgotten": local and settings.CONDAHUB_EMAIL_ENABLED,
            "sign_up": local and settings.CONDAHUB_SIGNUP,
            "passkeys": settings.CONDAHUB_PASSKEYS,
            "next": safe_next(self.request, ""),
        }
        return context


class FactorsView(mfa_views.IndexView):  # type: ignore[misc]
    """One's second factors."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "passkeys_work": settings.CONDAHUB_PASSKEYS}


class LinkedView(social_views.ConnectionsView):  # type: ignore[misc]
    """The providers, and the directory, that sign somebody in."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "directory": DirectoryAccount.objects.filter(user=self.request.user.pk).first()}


def email(request: HttpRequest) -> HttpResponseBase:
    """One's addresses, where there is mail to verify them by."""
    if not settings.CONDAHUB_EMAIL_ENABLED:
        return HttpResponseRedirect(reverse("portal:account"))
    if "action_primary" in request.POST and not _has_verified(request):
        # Allauth would take it as long as no address is verified.
        unverified = Conflict(gettext("That address is not verified yet."), hint=gettext("Follow the link in the mail."))
        return failed(request, reverse("account_email"), unverified)
    answer: HttpResponseBase = account_views.email(request)
    return answer


def _has_verified(request: HttpRequest) -> bool:
    found = EmailAddress.objects.filter(user=request.user.pk, email__iexact=request.POST.get("email", ""), verified=True)
    return bool(found.exists())


@login_required
def provider_once_more(request: HttpRequest) -> HttpResponse:
    """Where somebody who signs in by a provider shows once more that it is him: there."""
    goal = safe_next(request, settings.LOGIN_REDIRECT_URL)
    back = f"{reverse('account_reauthenticate_done')}?{urlencode({'next': goal})}"
    linked = SocialAccount.objects.filter(user=request.user.pk).values_list("provider", flat=True)
    # Providers that know `prompt` ask even whom they know; the others' sessions are theirs to guard.
    asked = urlencode({"process": "login", "action": "reauthenticate", "auth_params": "prompt=login&max_age=0"})
    offers = [replace(one, path=f"{one.path}?{asked}") for one in providers.offers(request) if one.provider_id in set(linked)]
    return render(request, "account/reauthenticate_provider.html", {"offers": offers, "back": back})


@login_required
def provider_shown(request: HttpRequest) -> HttpResponseBase:
    """Back from there: allauth's record of it is marked as one that was asked for."""
    goal = safe_next(request, settings.LOGIN_REDIRECT_URL)
    if not fresh.was_just_shown(request, BACK_SECONDS, "socialaccount"):
        return HttpResponseRedirect(f"{reverse('account_reauthenticate_provider')}?{urlencode({'next': goal})}")
    record_authentication(request, request.user, "socialaccount", reauthenticated=True)
    return HttpResponseRedirect(goal)


@page(anonymous=True, methods=("POST",))
def sign_out(request: PortalRequest) -> HttpResponseBase:
    logout(request)
    return HttpResponseRedirect(safe_next(request, settings.LOGOUT_REDIRECT_URL))
