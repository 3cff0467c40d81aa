"""What a person is told: the inbox, and what one asked to be told of."""

from __future__ import annotations

from django import forms
from django.http import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext

from condahub.errors import HubError, NotFound, Unprocessable
from condahub.events import selectors
from condahub.events.models import Way
from condahub.events.services import inbox as services
from condahub.events.services import subscriptions
from condahub.events.types import ANY_TYPE, known_types
from condahub.portal import paging, registry
from condahub.portal.forms import HubForm
from condahub.portal.organization_frame import found_organization
from condahub.portal.page import PortalRequest, asked, done, failed, page, person, show

MOST_SHOWN_UNREAD = 99
WAYS = [(Way.INBOX.value, gettext_lazy("in the inbox")), (Way.EMAIL.value, gettext_lazy("by e-mail"))]


class SubscriptionForm(HubForm):
    types = forms.MultipleChoiceField(label=gettext_lazy("Of what"), widget=forms.CheckboxSelectMultiple)
    way = forms.ChoiceField(choices=WAYS, label=gettext_lazy("How"))
    organization = forms.CharField(
        required=False, max_length=64, label=gettext_lazy("Only of the organization"), help_text=gettext_lazy("Empty: of all I may see.")
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["types"].choices = type_choices()  # type: ignore[attr-defined]


@page()
def inbox(request: PortalRequest) -> HttpResponseBase:
    """What happened that concerns the person, the newest first."""
    items = selectors.inbox_of(request.actor)
    unread_only = asked(request, "show") != "all"
    listing = paging.stretch(request, items.filter(read_at__isnull=True) if unread_only else items, "id")
    rows = [{"item": item, "link": registry.audit_link(_target(item.event.object_type, item.event.object_name))} for item in listing.rows]
    return show(request, "portal/inbox.html", {"page": listing, "rows": rows, "unread_only": unread_only})


@page()
def badge(request: PortalRequest) -> HttpResponseBase:
    """How much is unread, for the sign at the top; asked for after the page."""
    unread = selectors.inbox_of(request.actor).filter(read_at__isnull=True).values("pk")[: MOST_SHOWN_UNREAD + 1].count()
    return render(request, "portal/parts/badge.html", {"unread": min(unread, MOST_SHOWN_UNREAD), "more": unread > MOST_SHOWN_UNREAD})


@page(methods=("POST",))
def read(request: PortalRequest) -> HttpResponseBase:
    """Mark one as read, or all of them."""
    number = request.POST.get("item", "")
    ids = [int(number)] if number.isascii() and number.isdigit() and len(number) < 19 else None
    count = services.mark_read(actor=request.actor, ids=ids)
    return done(
        request,
        reverse("portal:inbox"),
        "" if ids is not None else ngettext("%(number)s marked as read.", "%(number)s marked as read.", count) % {"number": count},
    )


@page(methods=("GET", "HEAD", "POST"))
def subscription_list(request: PortalRequest) -> HttpResponseBase:
    person(request)
    form = SubscriptionForm(request.POST or None)
    error = None
    if request.method == "POST" and form.is_valid():
        try:
            name = form.cleaned_data["organization"].strip()
            on = found_organization(request.actor, name).access_target if name else None
            subscriptions.subscribe(actor=request.actor, types=form.cleaned_data["types"], way=form.cleaned_data["way"], on=on)
            return done(request, reverse("portal:subscriptions"), gettext("You will be told."))
        except HubError as refused:
            error = refused
    elif request.method == "POST":
        error = Unprocessable(gettext("Choose at least one thing to be told of."))
    rows = [
        {"one": one, "types": _described(one.type_names), "way": _way_said(one.way)} for one in selectors.subscriptions_of(request.actor)
    ]
    return show(request, "portal/account/subscriptions.html", {"form": form, "rows": rows, "tab": "subscriptions"}, error=error)


@page(methods=("POST",))
def unsubscribe(request: PortalRequest, number: int) -> HttpResponseBase:
    path = reverse("portal:subscriptions")
    try:
        found = selectors.subscriptions_of(request.actor).filter(pk=number).first()
        if found is None:
            raise NotFound(gettext("There is no such subscription of yours."))
        subscriptions.unsubscribe(actor=request.actor, subscription=found)
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("You will not be told of it any more."))


def type_choices() -> list[tuple[str, str]]:
    """What there is to be told of, in the page's language."""
    every = gettext("Everything there is and will be")
    return [(ANY_TYPE, every), *((one.name, gettext(one.description)) for one in known_types())]


def _way_said(way: str) -> str:
    return {Way.INBOX.value: gettext("Inbox"), Way.EMAIL.value: gettext("E-mail"), Way.WEBHOOK.value: gettext("Webhook")}.get(way, way)


def _described(names: list[str]) -> list[str]:
    known = {one.name: gettext(one.description) for one in known_types()}
    return [gettext("Everything")] if ANY_TYPE in names else [known.get(name, name) for name in names]


def _target(object_type: str, object_name: str) -> str:
    """An event's object as the audit names it, for the link."""
    return f"{'channel' if object_type in ('channel', 'mirror', 'package') else object_type}:{object_name}"
