"""The admin's site: who may open it, its own Content-Security-Policy, and its pages beside the lists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from csp.constants import NONCE
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from unfold.sites import UnfoldAdminSite

from condahub.accounts.policy import HUB, Permission, can
from condahub.portal.page import actor_of

UNSAFE_EVAL = "'unsafe-eval'"
UNSAFE_INLINE = "'unsafe-inline'"


class HubAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """For staff, who act, and for auditors, who look. Everybody else is asked to sign in as one of them."""

    index_title = "Dashboard"
    index_template = "admin/dashboard.html"

    def has_permission(self, request: HttpRequest) -> bool:
        return may_look(request)

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        inner = super().admin_view(view, cacheable)

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            response: HttpResponseBase = inner(request, *args, **kwargs)
            response._csp_replace = policy_of(request)  # type: ignore[attr-defined]
            return response

        return guarded

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        # The colours come from a file: as a style in the page they would ask for a looser policy.
        return {**super().each_context(request), "colors": None, "may_act": may_act(request)}

    def extra_urls(self) -> list[URLPattern | URLResolver]:
        from condahub.adminsite import collecting, maintenance, probes, scheduling

        return [
            path("schedules/", self.admin_view(scheduling.page), name="schedules"),
            path("checks/", self.admin_view(probes.page), name="checks"),
            path("maintenance/", self.admin_view(maintenance.page), name="maintenance"),
            path("collect/", self.admin_view(collecting.page), name="collect"),
        ]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from condahub.adminsite import dashboard

        context = {**self.each_context(request), "title": self.index_title, "subtitle": None, **dashboard.context(request)}
        request.current_app = self.name
        return TemplateResponse(request, self.index_template, {**context, **(extra_context or {})})

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """One place for it, which checks and audits: the portal's account."""
        return HttpResponseRedirect(reverse("portal:account"))


def may_look(request: HttpRequest) -> bool:
    """Staff and auditors."""
    user = request.user
    return bool(user.is_active and (user.is_staff or user.is_superuser or getattr(user, "is_auditor", False)))


def may_act(request: HttpRequest) -> bool:
    """Whether any button is shown; the services ask again for each thing."""
    return can(actor_of(request), Permission.HUB_OPERATE, HUB)


def policy_of(request: HttpRequest) -> dict[str, list[Any]]:
    """As strict as unfold works: no script or style in the page, scripts from this hub's static files alone (not from what people
    put on this origin). Loosened: Alpine reads its expressions with `eval`, and sets `style` attributes.
    """
    static = request.build_absolute_uri(settings.STATIC_URL)
    return {
        **cast("dict[str, list[Any]]", settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]),
        "script-src": [static, request.build_absolute_uri(reverse("admin:jsi18n")), NONCE, UNSAFE_EVAL],
        "style-src": [static, NONCE],
        "style-src-attr": [UNSAFE_INLINE],
    }


def environment(request: HttpRequest) -> list[str] | None:
    """The mark beside the account: what the hub is in, when it is not as usual."""
    from condahub.maintenance.selectors import notice

    if notice().read_only:
        return ["Read-only", "warning"]
    return ["Development", "info"] if settings.DEBUG else None
