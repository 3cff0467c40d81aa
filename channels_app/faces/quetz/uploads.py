"""Quetz's three addresses for uploads: a raw body under its file name, and forms of files for a channel or one package."""

from __future__ import annotations

import re

from django.http import HttpRequest

from channels_app.faces.entry import Answer, Query, as_flag
from channels_app.faces.receiving import receive_file, receive_form
from condahub.accounts.policy import Actor
from condahub.errors import QuotaExceeded, Unprocessable
from condahub.server.body import ReceivedForm

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def upload_raw(request: HttpRequest, actor: Actor, channel: str, filename: str) -> object:
    """`?sha256=HEX&force=`: 201 `null`, also for bytes that are there already."""
    query = Query(request)

    def sha256() -> str:
        sent = query.text("sha256", None)
        if not _SHA256.fullmatch(sent):
            raise Unprocessable("'sha256' must be 64 hexadecimal digits.", code="bad_value", hint="Send the file's sha256.")
        return sent

    try:
        receive_file(request, actor=actor, channel_name=channel, filename=filename, force=query.flag("force"), expected_sha256=sha256)
    except QuotaExceeded as error:
        raise _as_quetz(error) from None
    return Answer(status=201)


def upload_files(request: HttpRequest, actor: Actor, channel: str, package: str = "") -> object:
    """Field `files`, repeatable; form `force`: all files are published or none. 201 `null`."""
    try:
        receive_form(request, actor=actor, channel_name=channel, field="files", package_name=package, force=_force)
    except QuotaExceeded as error:
        raise _as_quetz(error) from None
    return Answer(status=201)


def _force(form: ReceivedForm) -> bool:
    return as_flag("force", (form.fields.get("force") or [""])[-1])


def _as_quetz(error: QuotaExceeded) -> QuotaExceeded:
    """Quetz's clients know 422 for a quota."""
    return QuotaExceeded(error.detail, code=error.code, hint=error.hint, status=422)
