"""prefix.dev's way of publishing: one package in the field `file` of a form, as rattler-build and pixi send it."""

from __future__ import annotations

from django.http import HttpRequest

from channels_app.faces.entry import Answer, Query, View, entry
from channels_app.faces.receiving import receive_form
from condahub.accounts.policy import Actor
from condahub.errors import Unprocessable
from condahub.server.body import ReceivedForm


def publish_form(request: HttpRequest, actor: Actor, channel: str) -> Answer:
    """201, also for bytes that are there already; `?force=true` overwrites; 409 is what `--skip-existing` understands."""
    force = Query(request).flag("force")
    published = receive_form(request, actor=actor, channel_name=channel, field="file", force=lambda form: force, check=_refuse_attestation)
    done = published[0]
    body = {"filename": done.file.filename, "subdir": done.file.subdir, "sha256": done.file.sha256, "created": done.created}
    return Answer({**body, "revision": done.revision}, status=201)


def _refuse_attestation(form: ReceivedForm) -> None:
    # Dropping it silently would let its sender believe that readers can verify it.
    if "attestation" in form.fields or any(file.field == "attestation" for file in form.files):
        raise Unprocessable("This hub does not keep attestations.", code="attestation_unsupported", hint="Upload without an attestation.")
    if sum(file.field == "file" for file in form.files) > 1:
        raise Unprocessable("One package at a time comes this way.", code="too_many_files", hint="Send a request for each package.")


upload: View = entry(POST=publish_form)
