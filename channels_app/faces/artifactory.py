"""Artifactory's way of publishing: a PUT (or POST) of the bytes to the package's own address, as rattler-build sends it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from channels_app.faces import conda
from channels_app.faces.entry import Answer, Query, View, entry
from channels_app.faces.receiving import receive_file
from condahub.accounts.policy import Actor


def publish_at_address(request: HttpRequest, actor: Actor, channel: str, subdir: str, filename: str) -> Answer:
    """201, also for bytes that are there already; `X-Checksum-Sha256` is checked when it is sent, `?force=true` overwrites."""
    done = receive_file(
        request,
        actor=actor,
        channel_name=channel,
        filename=filename,
        subdir=subdir,
        force=Query(request).flag("force"),
        expected_sha256=lambda: request.META.get("HTTP_X_CHECKSUM_SHA256", "").strip(),
    )
    file = done.file
    address = f"{settings.CONDAHUB_PUBLIC_URL}/channels/{channel}/{file.subdir}/{file.filename}"
    body = {
        "repo": channel,
        "path": f"/{file.subdir}/{file.filename}",
        "downloadUri": address,
        "mimeType": conda.PACKAGE_TYPES[".conda" if file.is_conda else ".tar.bz2"],
        "size": str(file.size),
        "checksums": {"sha256": file.sha256, "md5": file.md5},
        "created": done.created,
        "revision": done.revision,
    }
    return Answer(body, status=201, headers={"Location": address})


def _serve(request: HttpRequest, actor: Actor, channel: str, subdir: str, filename: str) -> object:
    return conda.serve(request, f"{channel}/{subdir}/{filename}")


package_address: View = entry(GET=_serve, HEAD=_serve, PUT=publish_at_address, POST=publish_at_address)
