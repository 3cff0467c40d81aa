"""prefix.dev's way of publishing: one package in the field `file` of a form, as rattler-build and pixi send it, and what attests it."""

from __future__ import annotations

from django.http import HttpRequest

from channels_app.attestations import MAX_SIDECAR_BYTES, BadAttestation
from channels_app.faces.entry import Answer, Query, View, entry
from channels_app.faces.receiving import receive_form
from channels_app.services import attesting
from condahub.accounts.policy import Actor
from condahub.errors import Unprocessable
from condahub.server.body import ReceivedForm


def publish_form(request: HttpRequest, actor: Actor, channel: str) -> Answer:
    """201, also for bytes that are there already; `?force=true` overwrites; 409 is what `--skip-existing` understands."""
    force = Query(request).flag("force")
    brought: list[bytes] = []

    def check(form: ReceivedForm) -> None:
        brought.extend(_attestation(form))

    published = receive_form(request, actor=actor, channel_name=channel, field="file", force=lambda form: force, check=check)
    done = published[0]
    for content in brought:
        file = done.file
        attesting.attest(actor=actor, channel=file.channel, subdir=file.subdir, filename=file.filename, content=content)
    body = {"filename": done.file.filename, "subdir": done.file.subdir, "sha256": done.file.sha256, "created": done.created}
    return Answer({**body, "revision": done.revision}, status=201)


def _attestation(form: ReceivedForm) -> list[bytes]:
    """What attests the package, checked before anything is kept: nothing is published without what came with it."""
    packages = [file for file in form.files if file.field == "file"]
    if len(packages) > 1:
        raise Unprocessable("One package at a time comes this way.", code="too_many_files", hint="Send a request for each package.")
    found = [text.encode() for text in form.fields.get("attestation", ())]
    for file in form.files:
        if file.field == "attestation":
            if file.blob.size > MAX_SIDECAR_BYTES:
                raise BadAttestation(f"An attestation has at most {MAX_SIDECAR_BYTES:,} bytes.")
            found.append(file.blob.path.read_bytes())
    for content in found if packages else ():
        attesting.check_upload(content, filename=packages[0].filename, sha256=packages[0].blob.sha256)
    return found


upload: View = entry(POST=publish_form)
