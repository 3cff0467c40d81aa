"""Signing in and out, at the addresses where people and the admin look for it."""

from __future__ import annotations

from typing import Any

from csp.constants import NONCE
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.decorators import method_decorator

from condahub.audit.context import address_of
from condahub.errors import Throttled
from condahub.portal import signin
from condahub.portal.page import PortalRequest, page, safe_next


@method_decorator(csp_replace({"script-src": [NONCE], "style-src": [NONCE]}), name="dispatch")
class SignInView(LoginView):
    """Local accounts. Whoever is signed in already is sent on, or told what that account can't open."""

    template_name = "registration/login.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated and "next" not in request.GET:
            return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            signin.require_patience(self._name(), address_of(request.META))
        except Throttled as error:
            context = self.get_context_data(form=AuthenticationForm(request), error=error)
            return self.render_to_response(context, status=error.status, headers=error.headers)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        signin.forget_failures(self._name(), address_of(self.request.META))
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        signin.note_failure(self._name(), address_of(self.request.META))
        return super().form_invalid(form)

    def _name(self) -> str:
        return self.request.POST.get("username", "")


@page(anonymous=True, methods=("POST",))
def sign_out(request: PortalRequest) -> HttpResponseBase:
    logout(request)
    return HttpResponseRedirect(safe_next(request, settings.LOGOUT_REDIRECT_URL))
