"""Receives uploads for every door: permission and room before the body, the body past Django's memory, then the one publish path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest

from channels_app.services import publish
from channels_app.services.publish import Published, Upload, UploadPermit
from condahub.accounts.policy import Actor
from condahub.errors import QuotaExceeded, TooLarge, Unprocessable
from condahub.packages.names import split_filename
from condahub.server.body import ReceivedFile, ReceivedForm, iterate_body, multipart_files
from condahub.storage.blobs import blobs

# What boundaries and part headers of a multipart body add to its files, at most; the exact bytes are counted at the end.
FORM_OVERHEAD_BYTES = 64 * 1024


def declared_bytes(request: HttpRequest) -> int | None:
    """What Content-Length says; None for a chunked body."""
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isascii() and text.isdigit() else None


def receive_file(
    request: HttpRequest,
    *,
    actor: Actor,
    channel_name: str,
    filename: str,
    subdir: str | None = None,
    force: bool = False,
    expected_sha256: Callable[[], str] = str,
) -> Published:
    """Publish the request's raw body as `filename`.

    expected_sha256: called once the upload is permitted, so that nobody learns from its refusals what is there.
    Raises NotAuthenticated, Forbidden, QuotaExceeded and the like before a byte of the body is read.
    """
    size = declared_bytes(request)
    permit = publish.permit_upload(
        actor=actor, channel_name=channel_name, filename=filename, subdir=subdir, force=force, declared_bytes=size
    )
    sha256 = expected_sha256()
    _require_any_room(permit)
    with blobs().temporary(size) as temporary, _told_as_quota(permit):
        for piece in iterate_body(request, limit_bytes=permit.limit_bytes):
            temporary.write(piece)
        return publish.publish(actor=actor, permit=permit, uploads=[Upload(filename, temporary, subdir, sha256)])[0]


def receive_form(
    request: HttpRequest,
    *,
    actor: Actor,
    channel_name: str,
    field: str,
    package_name: str = "",
    force: Callable[[ReceivedForm], bool],
    check: Callable[[ReceivedForm], None] = lambda form: None,
) -> Sequence[Published]:
    """Publish the files of a multipart body's `field`, all or none.

    force: read out of the form, whose word on it comes with the body; overwriting is permitted then, before anything is kept.
    package_name: every file must be of that package, and a right on that name alone is enough.
    """
    size = declared_bytes(request)
    files_bytes = None if size is None else max(0, size - FORM_OVERHEAD_BYTES)
    permit = publish.permit_upload(actor=actor, channel_name=channel_name, package_name=package_name, declared_bytes=files_bytes)
    _require_any_room(permit)
    with _told_as_quota(permit), multipart_files(request, store=blobs(), limit_bytes=permit.limit_bytes + FORM_OVERHEAD_BYTES) as form:
        check(form)
        files = _files_of(form, field, package_name)
        if force(form):
            permit = publish.permit_upload(actor=actor, channel_name=channel_name, package_name=package_name, force=True)
        uploads = [Upload(file.filename, file.blob) for file in files]
        return publish.publish(actor=actor, permit=permit, uploads=uploads)


def _files_of(form: ReceivedForm, field: str, package_name: str) -> list[ReceivedFile]:
    files = [file for file in form.files if file.field == field]
    if not files:
        raise Unprocessable(f"The form has no file in the field '{field}'.", code="missing", hint=f"Send the package as '{field}'.")
    for file in files:
        if package_name and split_filename(file.filename).name != package_name:
            raise Unprocessable(
                f"'{file.filename[:100]}' is not of the package '{package_name[:100]}'.",
                code="wrong_package",
                status=400,
                hint="Send it to its own package's address, or to the channel's.",
            )
    return files


def _require_any_room(permit: UploadPermit) -> None:
    """A body of unknown length is not begun where not one byte may come."""
    if permit.limit_bytes == 0:
        raise QuotaExceeded(f"'{permit.channel.name}' has no room left.")


@contextmanager
def _told_as_quota(permit: UploadPermit) -> Iterator[None]:
    """A body that outgrows the channel's room is told as that, not as one too large for this hub."""
    try:
        yield
    except TooLarge:
        if permit.limit_bytes < settings.CONDAHUB_MAX_PACKAGE_BYTES:
            raise QuotaExceeded(f"The body does not fit: '{permit.channel.name}' has room for {permit.limit_bytes:,} bytes more.") from None
        raise
