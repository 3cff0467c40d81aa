"""Verbs on many rows: a page that asks with the count, then the service once a row, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from condahub.accounts.policy import Actor
from condahub.adminsite.site import may_act
from condahub.errors import HubError
from condahub.portal.page import actor_of

# One request does them; more are narrowed first, so that nobody waits for minutes before an answer.
MAX_AT_ONCE = 1000
MAX_LISTED = 25
MAX_REFUSALS_SHOWN = 10

Outcome = tuple[Any, HubError | None]
One = Callable[[Actor, Any, dict[str, Any]], object]
Many = Callable[[Actor, Sequence[Any], dict[str, Any]], Iterable[Outcome]]


class NoQuestions(forms.Form):
    """Nothing more is to be said."""


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit trail.")


class QuotaForm(forms.Form):
    gigabytes = forms.DecimalField(
        required=False,
        min_value=0,
        max_value=8_000_000,
        max_digits=12,
        decimal_places=3,
        widget=UnfoldAdminTextInputWidget,
        help_text="Of 1,000,000,000 bytes. Empty: no limit.",
    )

    def quota_bytes(self) -> int | None:
        wanted = self.cleaned_data.get("gigabytes")
        return None if wanted is None else int(wanted * 10**9)

    def clean(self) -> dict[str, Any]:
        return {**(super().clean() or {}), "quota_bytes": self.quota_bytes()}


@dataclass(frozen=True)
class Verb:
    """What staff may do to many rows. one: the service for one row; many: instead of it, where rows go together.

    explains: what it does, on the page that asks. tells: sentences about the very rows that were chosen.
    form: what is to be said beside it, its cleaned values handed to the service.
    """

    name: str
    label: str
    explains: str
    one: One | None = None
    many: Many | None = None
    tells: Callable[[Sequence[Any]], Sequence[str]] | None = None
    form: type[forms.Form] = NoQuestions
    dangerous: bool = False


def as_action(verb: Verb) -> Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    """The verb as Django's admin calls it."""

    def action(model_admin: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return _ask_or_do(verb, model_admin, request, rows)

    action.__name__ = verb.name
    return action


def _ask_or_do(verb: Verb, model_admin: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
    if not may_act(request):
        raise PermissionDenied
    # Asked to act on a filtered list: what is counted is what is acted on.
    chosen = list(rows.order_by("pk")[: MAX_AT_ONCE + 1])
    if len(chosen) > MAX_AT_ONCE:
        messages.error(request, f"At most {MAX_AT_ONCE} at once. Narrow the list first.")
        return None
    confirmed = request.POST.get("confirmed") == "yes"
    form = verb.form(request.POST) if confirmed else verb.form()
    if not confirmed or not form.is_valid():
        return _question(verb, model_admin, request, chosen, form)
    actor = actor_of(request)
    _report(request, verb, list(outcomes(verb, actor, chosen, form.cleaned_data)))
    return None


def outcomes(verb: Verb, actor: Actor, rows: Sequence[Any], values: dict[str, Any]) -> Iterable[Outcome]:
    """The verb on each row, with the refusal of those that it was refused for."""
    if verb.many is not None:
        yield from verb.many(actor, rows, values)
        return
    assert verb.one is not None, verb.name
    for row in rows:
        try:
            verb.one(actor, row, values)
        except HubError as error:
            yield row, error
        else:
            yield row, None


def _question(verb: Verb, model_admin: Any, request: HttpRequest, rows: list[Any], form: forms.Form) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": verb.label,
        "subtitle": None,
        "opts": model_admin.opts,
        "verb": verb,
        "form": form,
        "rows": rows[:MAX_LISTED],
        "count": len(rows),
        "told": verb.tells(rows) if verb.tells is not None else (),
        "more": max(len(rows) - MAX_LISTED, 0),
        # The very rows that were counted, and no others that come to the list meanwhile.
        "keys": [row.pk for row in rows],
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/confirm.html", context)


def _report(request: HttpRequest, verb: Verb, found: list[Outcome]) -> None:
    refused = [(row, error) for row, error in found if error is not None]
    done = len(found) - len(refused)
    if done:
        messages.success(request, f"{verb.label}: {done} done.")
    for row, error in refused[:MAX_REFUSALS_SHOWN]:
        messages.error(request, f"{row}: {error.detail} {error.hint}".strip())
    if len(refused) > MAX_REFUSALS_SHOWN:
        messages.error(request, f"{len(refused)} were refused in all.")
