"""Pages of requests for packages: asked by whoever misses one, answered by who keeps the rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from channels_app import showing
from channels_app.models import Channel, PackageRequest, PolicyLevel, RequestState
from channels_app.portal import words
from channels_app.portal.frame import channel_for, head
from channels_app.portal.policies import LIFETIMES
from channels_app.services import policies, requests
from channels_app.services.scopes import Scope
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError, Unprocessable
from condahub.portal import paging
from condahub.portal.forms import HubForm
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, show

MAX_FILES_SHOWN = 50
# Of so many open requests the dashboard picks those that the reader may answer.
LOOKED_AT = 50


class AskForm(HubForm):
    spec = forms.CharField(
        max_length=300,
        label=_("Package"),
        help_text=_("Its name, or a MatchSpec such as numpy >=2."),
        widget=forms.TextInput(attrs={"class": "form-control mono", "autocomplete": "off", "spellcheck": "false"}),
    )
    reason = forms.CharField(max_length=1000, label=_("What you need it for"), widget=forms.Textarea(attrs={"rows": 3}))
    # A build that failed for it, as ORGANIZATION/ENVIRONMENT@NUMBER.
    build = forms.CharField(max_length=190, required=False, widget=forms.HiddenInput)


class AnswerForm(HubForm):
    days = forms.ChoiceField(choices=LIFETIMES, initial="90", required=False, label=_("Approve"))
    answer = forms.CharField(
        required=False, max_length=500, label=_("A sentence for whoever asked"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )


@page()
def request_list(request: PortalRequest) -> HttpResponseBase:
    """What waits for an answer of mine, and what I asked for."""
    rows = showing.requests_seen_by(request.actor)
    state = asked(request, "state") or "asked"
    if state in RequestState.values:
        rows = rows.filter(state=state)
    listing = paging.stretch(request, rows, "id")
    context = {
        "page": listing,
        "rows": [{"one": one, "mine": one.asker_id == request.actor.user_id} for one in listing.rows],
        "state": state,
        "states": [*words.REQUEST_STATES.items(), ("all", gettext("All"))],
    }
    return show(request, "requests/list.html", context)


@page()
def request_page(request: PortalRequest, number: int) -> HttpResponseBase:
    """One request, with all that somebody needs to answer it."""
    found = showing.request_for(request.actor, number)
    files = policies.hidden_matching(found.channel, found.spec) if found.state == RequestState.ASKED else []
    explained = showing.explained(found.channel, files[:MAX_FILES_SHOWN])
    may_answer = found.state == RequestState.ASKED and can(request.actor, Permission.REQUEST_ANSWER, found.channel)
    context = {
        "one": found,
        "hidden": explained,
        "left_out": max(0, len(files) - MAX_FILES_SHOWN),
        "form": AnswerForm() if may_answer else None,
        "cannot": _kept_by_others(request.actor, found, files) if may_answer else [],
    }
    return show(request, "requests/request.html", context)


@page(methods=("POST",))
def answer(request: PortalRequest, number: int) -> HttpResponseBase:
    found = showing.request_for(request.actor, number)
    path = reverse("packages:request", args=[number])
    form = AnswerForm(request.POST)
    try:
        if not form.is_valid():
            raise Unprocessable(gettext("Choose how long, and keep the sentence short."), code="incomplete")
        sentence = form.cleaned_data["answer"]
        if request.POST.get("verb") == "approve":
            until = timezone.now() + timedelta(days=int(form.cleaned_data["days"] or "90"))
            requests.approve(actor=request.actor, request=found, expires_at=until, answer=sentence)
            approved = gettext("Approved until %(day)s. %(who)s is told.") % {"day": f"{until:%Y-%m-%d}", "who": found.asked_by}
            return done(request, path, approved)
        requests.refuse(actor=request.actor, request=found, answer=sentence)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("Refused. %(who)s is told why.") % {"who": found.asked_by})


@page(anonymous=True, methods=("GET", "HEAD", "POST"))
def ask(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Ask for a package that a channel does not show."""
    found = channel_for(request, channel)
    person(request)
    form = AskForm(request.POST or None, initial={"spec": asked(request, "spec", 300), "build": asked(request, "build", 190)})
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            given = form.cleaned_data
            resume = f"build:{given['build']}" if given["build"] else ""
            made, is_new = requests.ask(actor=request.actor, channel=found, spec=given["spec"], reason=given["reason"], resume=resume)
            new, old = gettext("Asked. You will find the answer in your inbox."), gettext("You asked for this before; it still waits.")
            return done(request, reverse("packages:request", args=[made.pk]), new if is_new else old)
        except HubError as refused:
            error = refused
    return show(request, "requests/ask.html", {**head(request, found, "policy"), "form": form}, error=error)


def waiting_panel(actor: Actor) -> dict[str, Any] | None:
    """For the dashboard: what waits for the actor's answer, in one query."""
    asked_of = PackageRequest.objects.filter(state=RequestState.ASKED, channel__in=Channel.objects.visible_to(actor))
    newest = asked_of.exclude(asker_id=actor.user_id).select_related("channel__organization").order_by("-id")[:LOOKED_AT]
    shown = [one for one in newest if can(actor, Permission.REQUEST_ANSWER, one.channel)]
    return {"requests": shown[:5]} if shown else None


def _kept_by_others(actor: Actor, found: PackageRequest, files: list[Any]) -> list[str]:
    """The rules that keep it back and that the actor may not waive, in words."""
    channel: Channel = found.channel
    others = {one for one in policies.blocking(channel, files) if not _keeps(actor, channel, one)}
    return sorted(f"{words.RULES.get(one.rule, one.rule)} ({words.LEVELS[PolicyLevel(one.level)]})" for one in others)


def _keeps(actor: Actor, channel: Channel, one: policies.Blocking) -> bool:
    return Scope.reaching(one.level, channel).is_kept_by(actor)
