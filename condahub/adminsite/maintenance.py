"""The admin's page of the notice to everybody and the read-only mode."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from condahub.adminsite.pages import back, require_may_act, shown
from condahub.errors import HubError
from condahub.maintenance.models import MAX_TEXT_CHARS, THE_ONE, Level, SiteNotice
from condahub.maintenance.services import set_notice


class NoticeForm(forms.Form):
    text = forms.CharField(
        required=False,
        max_length=MAX_TEXT_CHARS,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="On top of every page of the portal, for everybody. Empty: nothing is shown.",
    )
    level = forms.ChoiceField(choices=Level, widget=UnfoldAdminSelectWidget)
    read_only = forms.BooleanField(
        required=False,
        label="Read-only",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Everything can be read and downloaded; uploads and changes are answered with 503 and this notice. "
        "Jobs of the heavy lane (mirrors, builds) wait. This administration and signing in go on.",
    )


def page(request: HttpRequest) -> HttpResponse:
    """GET: what holds; POST: set it."""
    row = SiteNotice.objects.filter(pk=THE_ONE).first() or SiteNotice()
    if request.method == "POST":
        actor = require_may_act(request)
        form = NoticeForm(request.POST)
        if form.is_valid():
            told = form.cleaned_data
            try:
                set_notice(actor=actor, text=told["text"], level=told["level"], read_only=told["read_only"])
            except HubError as error:
                return back(request, "maintenance", error=error)
            return back(request, "maintenance", "Set. It holds in every process within five seconds.")
    else:
        form = NoticeForm(initial={"text": row.text, "level": row.level, "read_only": row.read_only})
    return shown(request, "admin/maintenance.html", "Notice and maintenance", form=form, row=row)
