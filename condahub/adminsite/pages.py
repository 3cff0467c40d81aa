"""What the admin's own pages share: look for auditors too, act for staff alone, and the frame around."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from condahub.accounts.policy import Actor
from condahub.adminsite.site import may_act
from condahub.errors import HubError
from condahub.portal.page import actor_of


def require_may_act(request: HttpRequest) -> Actor:
    """Raises PermissionDenied for who may only look."""
    if not may_act(request):
        raise PermissionDenied
    return actor_of(request)


def shown(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), "title": title, "subtitle": None, **context})


def back(request: HttpRequest, name: str, sentence: str = "", error: HubError | None = None) -> HttpResponse:
    """To a page of the admin, which says what was done, or why not."""
    if error is not None:
        messages.error(request, f"{error.detail} {error.hint}".strip())
    elif sentence:
        messages.success(request, sentence)
    return HttpResponseRedirect(reverse(f"admin:{name}"))
