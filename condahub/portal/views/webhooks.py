"""An organization's webhooks: made, changed, tried, and what was sent to them."""

from __future__ import annotations

from django import forms
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from condahub.accounts.models import Organization
from condahub.errors import HubError, NotFound, Unprocessable
from condahub.events import selectors
from condahub.events.models import Webhook
from condahub.events.services import webhooks as services
from condahub.portal import paging
from condahub.portal.forms import HubForm
from condahub.portal.organization_frame import kept_organization, organization_head
from condahub.portal.page import PortalRequest, done, failed, page, show
from condahub.portal.views.inbox import type_choices


class WebhookForm(HubForm):
    name = forms.CharField(max_length=services.MAX_NAME_CHARS, label=gettext_lazy("Name"))
    url = forms.CharField(
        max_length=2000, label=gettext_lazy("Address"), help_text=gettext_lazy("Each event is sent there as signed JSON.")
    )
    types = forms.MultipleChoiceField(label=gettext_lazy("Of what"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["types"].choices = type_choices()  # type: ignore[attr-defined]


@page(methods=("GET", "HEAD", "POST"))
def webhook_list(request: PortalRequest, organization: str) -> HttpResponseBase:
    found = kept_organization(request, organization)
    form = WebhookForm(request.POST or None)
    error: HubError | None = None
    secret = ""
    if request.method == "POST" and form.is_valid():
        try:
            secret = services.create_webhook(actor=request.actor, organization=found, **form.cleaned_data).secret
            form = WebhookForm()
        except HubError as refused:
            error = refused
    elif request.method == "POST":
        error = Unprocessable(gettext("Name it, give its address, and choose at least one thing to be told of."))
    context = {**organization_head(request, found, "webhooks"), "webhooks": list(selectors.webhooks_of(found)), "form": form}
    response = show(request, "portal/organizations/webhooks.html", {**context, "secret": secret}, error=error)
    if secret:
        response.headers["Cache-Control"] = "no-store"
    return response


@page(methods=("GET", "HEAD", "POST"))
def webhook(request: PortalRequest, organization: str, number: int) -> HttpResponseBase:
    """One of them: its deliveries; on, off, tried, a new secret, gone."""
    found = kept_organization(request, organization)
    one = _webhook(found, number)
    path = reverse("portal:webhook", args=[found.name, one.pk])
    secret = ""
    if request.method == "POST":
        verb = request.POST.get("verb", "")
        try:
            if verb == "delete":
                services.delete_webhook(actor=request.actor, webhook=one)
                return done(request, reverse("portal:webhooks", args=[found.name]), gettext("'%(name)s' is gone.") % {"name": one.name})
            if verb == "rotate":
                secret = services.rotate_secret(actor=request.actor, webhook=one).secret
            else:
                return done(request, path, _change(request, one, verb))
        except HubError as error:
            return failed(request, path, error)
    listing = paging.stretch(request, selectors.deliveries_of(one), "id")
    context = {**organization_head(request, found, "webhooks"), "one": one, "page": listing, "secret": secret}
    response = show(request, "portal/organizations/webhook.html", context)
    if secret:
        response.headers["Cache-Control"] = "no-store"
    return response


def _change(request: PortalRequest, one: Webhook, verb: str) -> str:
    if verb in ("on", "off"):
        services.update_webhook(actor=request.actor, webhook=one, is_active=verb == "on")
        return gettext("It is told again.") if verb == "on" else gettext("It is told nothing any more.")
    if verb == "test":
        services.send_test(actor=request.actor, webhook=one)
        return gettext("A test event is on its way; the log below says how it went.")
    if verb == "redeliver":
        number = request.POST.get("delivery", "")
        delivery = selectors.deliveries_of(one).filter(pk=int(number)).first() if number.isascii() and number.isdigit() else None
        if delivery is None:
            raise NotFound(gettext("There is no such delivery."))
        services.redeliver(actor=request.actor, delivery=delivery)
        return gettext("It is sent again.")
    raise Unprocessable(gettext("Nothing was chosen."))


def _webhook(organization: Organization, number: int) -> Webhook:
    found = selectors.webhooks_of(organization).filter(pk=number).first()
    if found is None:
        raise NotFound(gettext("There is no such webhook."), hint=gettext("It may have been deleted."))
    return found
