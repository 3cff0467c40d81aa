"""Publishing from a browser: with scripts each file goes to the API with a token of minutes, without them by a plain form."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from channels_app.models import Channel
from channels_app.portal import lines
from channels_app.portal.frame import channel_for, head
from channels_app.services.publish import Published, Upload, permit_upload, publish
from condahub.accounts import services
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken
from condahub.accounts.policy import Permission
from condahub.errors import Conflict, Forbidden, HubError, Unprocessable
from condahub.portal import streamed
from condahub.portal.page import PortalRequest, done, page, person, show
from condahub.portal.wording import counted
from condahub.server.body import multipart_files
from condahub.storage.blobs import blobs

TOKEN_MINUTES = 15
FILE_FIELD = "files"
MAX_FILES_AT_ONCE = 500
# Boundaries, headers and the form's other fields come on top of the packages' own bytes.
MULTIPART_SLACK_BYTES = 1024**2


@csrf_exempt
@page(methods=("GET", "HEAD", "POST"))
def upload(request: PortalRequest, channel: str) -> HttpResponseBase:
    """The page, and its plain form. The form is streamed, so its CSRF token is checked here and not by the middleware."""
    found = channel_for(request, channel, Permission.PACKAGE_UPLOAD)
    if found.kind != "hosted":
        detail = _("'%(name)s' is a %(kind)s channel.") % {"name": found.name, "kind": found.kind}
        raise Conflict(detail, hint=_("Packages come to it by its mirror, not by upload."), status=405)
    error = None
    if request.method == "POST":
        try:
            published = _receive(request, found)
            return done(request, reverse("channels:channel", args=[found.name]), _sentence(published))
        except Forbidden:
            raise
        except HubError as refused:
            error = refused
    context = {
        **head(request, found, "packages", whole=False),
        "publish_lines": lines.publish(found),
        "door": f"{settings.FORCE_SCRIPT_NAME or ''}/api/hub/v1/channels/{found.name}/upload/",
        "limit_bytes": settings.CONDAHUB_MAX_PACKAGE_BYTES,
        "is_new": not found.used_bytes,
        "words": json.dumps(_script_words()),
    }
    return show(request, "channels/upload.html", context, error=error)


@page(methods=("POST",))
def token(request: PortalRequest, channel: str) -> HttpResponseBase:
    """A token that may upload to this one channel for a few minutes, for the page's own script."""

    def make() -> dict[str, Any]:
        user = person(request)
        found = channel_for(request, channel, Permission.PACKAGE_UPLOAD)
        made = services.create_token(
            actor=request.actor,
            owner=user,
            name=f"browser upload to {found.name}",
            scopes=["upload"],
            limits=[Limit(found.organization_id, found.pk, "", "")],
            expires_at=timezone.now() + timedelta(minutes=TOKEN_MINUTES),
        )
        revoke = reverse("channels:upload_token_revoke", args=[found.name, made.token.pk])
        return {"token": made.secret, "lives_seconds": TOKEN_MINUTES * 60, "revoke": revoke}

    return _as_json(make)


@page(methods=("POST",))
def token_revoke(request: PortalRequest, channel: str, number: int) -> HttpResponseBase:
    def end() -> dict[str, Any]:
        found = ApiToken.objects.select_related("owner__organization").filter(pk=number, owner=person(request)).first()
        if found is None:
            raise Forbidden
        services.revoke_token(actor=request.actor, token=found)
        return {"revoked": True}

    return _as_json(end)


def _as_json(answer: Callable[[], dict[str, Any]]) -> HttpResponse:
    """For the page's script: an answer that no cache keeps, or the refusal as the API has it."""
    try:
        return JsonResponse(answer(), headers={"Cache-Control": "no-store"})
    except HubError as error:
        return JsonResponse(error.as_dict(), status=error.status, headers={"Cache-Control": "no-store"})


def _receive(request: HttpRequest, channel: Channel) -> list[Published]:
    """Permission and origin before the body, the form's CSRF token after it, and only then is anything kept."""
    actor = request.actor  # type: ignore[attr-defined]
    streamed.require_own_origin(request)
    declared = request.META.get("CONTENT_LENGTH") or ""
    size = int(declared) if declared.isascii() and declared.isdigit() else None
    permit = permit_upload(
        actor=actor, channel_name=channel.name, declared_bytes=None if size is None else max(size - MULTIPART_SLACK_BYTES, 0)
    )
    with multipart_files(request, store=blobs(), limit_bytes=permit.limit_bytes + MULTIPART_SLACK_BYTES) as form:
        streamed.require_csrf_token(request, form.fields)
        # A browser sends an empty part for a file input that nothing was chosen in.
        files = [one for one in form.files if one.field == FILE_FIELD and one.filename]
        if not files or len(files) > MAX_FILES_AT_ONCE:
            raise Unprocessable(
                _("No package was chosen."), hint=_("Choose 1 to %(most)s .conda or .tar.bz2 files.") % {"most": MAX_FILES_AT_ONCE}
            )
        return publish(actor=actor, permit=permit, uploads=[Upload(filename=one.filename, temporary=one.blob) for one in files])


def _sentence(published: list[Published]) -> str:
    new = [one for one in published if one.created]
    if not new:
        return _("The same bytes were there already; nothing changed.")
    what = new[0].file.filename if len(new) == 1 else counted(len(new), "file")
    return _("%(what)s published; revision %(revision)s shows it.") % {"what": what, "revision": new[0].revision}


def _script_words() -> dict[str, str]:
    """What the page's script says; it fills in the values itself."""
    return {
        "byte": _("%(number)s byte"),
        "bytes": _("%(number)s bytes"),
        "waiting": _("waiting"),
        "sending": _("%(sent)s of %(whole)s, %(rate)s/s"),
        "sending_left": _("%(sent)s of %(whole)s, %(rate)s/s, %(left)s s left"),
        "checking": _("checking it …"),
        "published": _("published in revision %(revision)s"),
        "there_already": _("was there already, with the same bytes"),
        "all_published": _("%(number)s published."),
        "some_published": _("%(number)s published, %(failures)s not."),
        "no_package": _("This is no conda package: its name ends in .conda or .tar.bz2."),
        "stopped": _("Stopped."),
        "broke": _("The connection broke. Check your network, then try this file again."),
        "answered": _("The hub answered %(status)s."),
        "unexpected": _("The hub did not answer as expected."),
        "load_again": _("Load the page again."),
    }
