"""Bundles of a channel: made and fetched here, brought and looked at before they change anything."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from channels_app.models import Channel
from channels_app.portal.frame import channel_for, channel_to_look_at, head
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import HubError, Unprocessable
from condahub.portal.forms import HubForm
from condahub.portal.page import PortalRequest, done, failed, page, safe_next, show
from mirrors_app.bundles import exporting, importing, planning
from mirrors_app.bundles.changes import would_change
from mirrors_app.bundles.core.manifest import MANIFEST_NAME, SIGNATURE_NAME
from mirrors_app.models import BundleExport, BundleHead, BundleImport, ExportState, ImportState

SHOWN = 50
SHOWN_FILES = 100
MIB = 1024**2
# What the hub says of a bundle, in the words of the portal's six states.
LOOKS: dict[str, str] = {
    ExportState.WAITING: "waiting",
    ExportState.RUNNING: "running",
    ExportState.READY: "done",
    ExportState.FAILED: "failed",
    ExportState.DELETED: "archived",
    ImportState.RECEIVING: "waiting",
    ImportState.DONE: "done",
    ImportState.UNCHANGED: "done",
    ImportState.REFUSED: "failed",
    ImportState.CANCELLED: "archived",
}
WORDS = {
    ExportState.WAITING.value: gettext_lazy("Waiting"),
    ExportState.RUNNING.value: gettext_lazy("Running"),
    ExportState.READY.value: gettext_lazy("Ready"),
    ExportState.FAILED.value: gettext_lazy("Failed"),
    ExportState.DELETED.value: gettext_lazy("Deleted"),
    ImportState.RECEIVING.value: gettext_lazy("Receiving"),
    ImportState.DONE.value: gettext_lazy("Done"),
    ImportState.UNCHANGED.value: gettext_lazy("Unchanged"),
    ImportState.REFUSED.value: gettext_lazy("Refused"),
    ImportState.CANCELLED.value: gettext_lazy("Cancelled"),
}


class ExportForm(HubForm):
    since = forms.IntegerField(required=False, min_value=1, max_value=2**53, label=gettext_lazy("Only what changed since"))
    part_mib = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        label=gettext_lazy("Parts of at most (MiB)"),
        help_text=gettext_lazy("For what carries it across."),
    )


@page()
def bundles(request: PortalRequest, channel: str) -> HttpResponseBase:
    """What was made of the channel, and what was brought to it."""
    found = channel_to_look_at(request, channel, Permission.MIRROR_UPDATE)
    exports = list(BundleExport.objects.filter(channel=found).prefetch_related("parts").defer("parts__members")[:SHOWN])
    imports = list(BundleImport.objects.filter(channel=found)[:SHOWN])
    context = {
        **head(request, found, "bundles"),
        "may_export": _may_carry(request.actor, found),
        "keeps": can(request.actor, Permission.MIRROR_UPDATE, found),
        "exports": [{"export": one, "look": _look(one.state), "word": WORDS[one.state], "files": _files(one)} for one in exports],
        "imports": [{"taken": one, "look": _look(one.state), "word": WORDS[one.state]} for one in imports],
        "bases": [one for one in exports if one.state in (ExportState.READY, ExportState.DELETED) and not one.environment],
        "form": ExportForm(),
        "folders": settings.CONDAHUB_BUNDLE_FOLDERS,
        "position": BundleHead.objects.filter(channel=found).first(),
    }
    return show(request, "mirrors/bundles.html", context)


@page(methods=("POST",))
def export(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Order a bundle; or let go of one."""
    found = channel_for(request, channel, Permission.MIRROR_UPDATE)
    path = reverse("mirrors:bundles", args=[found.name])
    try:
        if "delete" in request.POST:
            exporting.delete_export(
                actor=request.actor, export=_own(found, exporting.export_for(request.actor, _number(request, "delete")))
            )
            return done(request, path, gettext("Its bytes are let go of; later bundles can still stand on it."))
        form = ExportForm(request.POST)
        if not form.is_valid():
            raise Unprocessable(gettext("The revision or the size of parts is no number."), hint=gettext("Nothing was ordered."))
        part_mib = form.cleaned_data["part_mib"]
        exporting.order_export(
            actor=request.actor, channel=found, since=form.cleaned_data["since"], part_bytes=part_mib * MIB if part_mib else None
        )
    except HubError as error:
        return failed(request, path, error)
    return done(request, path, gettext("The bundle is being made."))


@page(methods=("POST",))
def bring(request: PortalRequest, channel: str) -> HttpResponseBase:
    """Begin an import: from a folder that IT has listed; or from a terminal, which sends the files."""
    found = channel_for(request, channel, Permission.MIRROR_UPDATE)
    path = reverse("mirrors:bundles", args=[found.name])
    folder = request.POST.get("folder", "").strip()[:1000]
    try:
        if not folder:
            raise Unprocessable(
                gettext("A folder is needed."), hint=gettext("Or send the bundle from a terminal: the command is on the page.")
            )
        taken = importing.begin_import(actor=request.actor, channel=found, folder=folder)
    except HubError as error:
        return failed(request, path, error)
    return done(
        request, reverse("mirrors:bundle_import", args=[found.name, taken.pk]), gettext("Its signature is right. Nothing was changed yet.")
    )


@page(methods=("GET", "HEAD", "POST"))
def bundle_import(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    """What a bundle would change; then running it, or letting it go."""
    found = channel_to_look_at(request, channel, Permission.MIRROR_UPDATE)
    taken = importing.import_for(request.actor, number) if request.method == "POST" else importing.import_seen(request.actor, number)
    _own(found, taken)
    path = reverse("mirrors:bundle_import", args=[found.name, taken.pk])
    if request.method == "POST":
        try:
            if request.POST.get("verb") == "forget":
                importing.forget_import(actor=request.actor, taken=taken)
                return done(request, reverse("mirrors:bundles", args=[found.name]), gettext("It is let go of."))
            importing.ask_to_run(actor=request.actor, taken=taken)
        except HubError as error:
            return failed(request, safe_next(request, path), error)
        return done(request, path, gettext("It is verified and published now."))
    context: dict[str, Any] = {
        **head(request, found, "bundles"),
        "taken": taken,
        "look": _look(taken.state),
        "word": WORDS[taken.state],
        "keeps": can(request.actor, Permission.MIRROR_UPDATE, found),
        "may_run": taken.state in (ImportState.READY, ImportState.REFUSED, ImportState.FAILED, ImportState.CANCELLED),
        "running": taken.state == ImportState.RUNNING,
    }
    try:
        context["missing"] = importing.missing_parts(taken)
        if taken.manifest_sha256 and taken.state not in (ImportState.DONE, ImportState.UNCHANGED):
            manifest = importing.manifest_of(taken)
            changes = would_change(taken, manifest)
            context |= {"manifest": manifest, "changes": changes, "added": changes.added[:SHOWN_FILES], "gone": changes.gone[:SHOWN_FILES]}
    except HubError as error:
        return show(request, "mirrors/bundle_import.html", context, error=error)
    return show(request, "mirrors/bundle_import.html", context)


def _own(channel: Channel, row: BundleExport | BundleImport) -> Any:
    """Of this page's channel: what is another's is as if it were not there."""
    if row.channel_id != channel.pk:
        raise Unprocessable(gettext("It belongs to another channel."))
    return row


def _may_carry(actor: Actor, channel: Channel) -> bool:
    try:
        planning.require_carrying(actor, channel)
    except HubError:
        return False
    return True


def _look(state: str) -> str:
    return LOOKS.get(state, state)


def _files(export: BundleExport) -> list[tuple[str, int]]:
    """The files to carry across, with their sizes."""
    if export.state != ExportState.READY:
        return []
    parts = [(f"part-{one.number:04d}.tar", one.size) for one in export.parts.all()]
    return [(SIGNATURE_NAME, len(export.signature) // 2), (MANIFEST_NAME, export.manifest_size), *parts]


def _number(request: PortalRequest, name: str) -> int:
    text = request.POST.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Unprocessable(gettext("Nothing was chosen."))
    return int(text)
