"""Artifactory's way of publishing: a PUT (or POST) of the bytes to the package's own address, as rattler-build sends it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

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


_publish: View = entry(PUT=publish_at_address, POST=publish_at_address)


@csrf_exempt
def package_address(request: HttpRequest, channel: str, subdir: str, filename: str) -> HttpResponseBase:
    """A package's address: PUT and POST publish there, all else is the conda door's to answer."""
    if request.method in ("PUT", "POST"):
        return _publish(request, channel=channel, subdir=subdir, filename=filename)
    answer = conda.serve(request, f"{channel}/{subdir}/{filename}")
    if answer.status_code == 405:
        answer.headers["Allow"] = "GET, HEAD, POST, PUT"
    return answer
