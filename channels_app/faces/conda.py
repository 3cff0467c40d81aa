"""The conda protocol: GET and HEAD of a channel's index and packages, now or as they were at a revision."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils import timezone

from channels_app import doors
from channels_app.doors import Door, ServedFile
from channels_app.index import answers, maps
from channels_app.models import FileState, Revision
from channels_app.services import downloads
from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.policy import Actor, Permission, can
from condahub.audit import refusals
from condahub.audit.context import asked_from
from condahub.audit.services import record as audit
from condahub.errors import Forbidden, Gone, HubError, NotAuthenticated, NotFound, Unavailable
from condahub.packages.names import MAX_FILENAME_CHARS, check_subdir
from condahub.storage.serve import serve_blob, serve_bytes

log = logging.getLogger(__name__)
YEAR_SECONDS = 31_536_000
# How far the clocks of two nodes may differ.
CLOCK_SECONDS = 60
PACKAGE_TYPES = {".conda": "application/vnd.conda.package.v2", ".tar.bz2": "application/vnd.conda.package.v1"}


def serve(request: HttpRequest, rest: str) -> HttpResponseBase:
    """`rest` is `<channel>[@<revision or time>]/[<subdir>/]<file>`; every refusal is a sentence with the right status."""
    try:
        return _serve(request, rest)
    except HubError as error:
        if error.status in (401, 403):
            with asked_from(request.META):
                refusals.note(request, error.status)
        return error_answer(error)
    except DatabaseError:
        log.exception("the database did not answer")
        return error_answer(Unavailable("The hub's database does not answer; try again."))


def error_answer(error: HubError) -> HttpResponse:
    """A refusal in the form that our own API has too; never kept by a cache."""
    body = json.dumps(error.as_dict()).encode()
    return HttpResponse(body, status=error.status, content_type="application/json", headers={"Cache-Control": "no-store", **error.headers})


def _serve(request: HttpRequest, rest: str) -> HttpResponseBase:
    if request.method not in ("GET", "HEAD"):
        return error_answer(
            HubError("Only GET and HEAD are answered here.", code="method_not_allowed", status=405, headers={"Allow": "GET, HEAD"})
        )
    actor = actor_from_headers(request.META, path_token=request.META.get("condahub.path_token"))
    # The refusals' record reads it from there.
    request.actor = actor  # type: ignore[attr-defined]
    asked, _, path = rest.partition("/")
    name, at, moment = asked.partition("@")
    is_package = path.endswith((".conda", ".tar.bz2"))
    door = _enter(actor, name, fresh=not is_package)
    number = door.head
    if at:
        number = _past(door, moment)
    subdir, slash, filename = path.rpartition("/")
    is_shard = filename.endswith(".msgpack.zst") and subdir.endswith("/shards")
    if slash:
        _check_folder(path, subdir.removesuffix("/shards") if is_shard else subdir)
    if not filename or filename == "index.html":
        return _page(request, door, number)
    if is_package:
        return _package(request, actor, door, _Past(number, _is_over(moment)) if at else None, subdir, filename)
    if is_shard:
        return _shard(request, door, subdir.removesuffix("/shards"), filename.removesuffix(".msgpack.zst"))
    if filename == "notices.json" and not subdir:
        return _notices(request, door)
    return _index(request, door, number, subdir, filename, is_head=not at)


def _enter(actor: Actor, name: str, *, fresh: bool) -> Door:
    """The channel, if this actor may read it; hidden and unknown ones answer alike."""
    door = doors.door(name, fresh=fresh)
    if door is not None and (door.visibility == "public" or can(actor, Permission.CHANNEL_READ, door.target)):
        return door
    if actor.user is None:
        raise NotAuthenticated()
    raise Forbidden()


class _Past(NamedTuple):
    """The revision that `@...` names; is_fixed: no later revision can take its place."""

    number: int
    is_fixed: bool


def _is_over(moment: str) -> bool:
    when = doors.moment_of(moment)
    return when is None or when < timezone.now() - timedelta(seconds=CLOCK_SECONDS)


def _past(door: Door, moment: str) -> int:
    number = doors.revision_at(door, moment)
    if number is None:
        raise NotFound(
            f"'{door.name}' has no revision '{moment[:40]}' that is kept.",
            code="no_such_revision",
            hint="Use a revision's number or a time such as 2026-01-31 or 2026-01-31T12:00:00Z.",
        )
    return number


def _check_folder(path: str, subdir: str) -> None:
    try:
        check_subdir(subdir)
    except HubError:
        raise _no_such_file(path) from None


def _no_such_file(path: str) -> NotFound:
    return NotFound(f"There is no '{path[:200]}' in this channel.", code="no_such_file")


def _scope(door: Door) -> str:
    return "public" if door.visibility == "public" else "private"


def _package(request: HttpRequest, actor: Actor, door: Door, past: _Past | None, subdir: str, filename: str) -> HttpResponseBase:
    if len(filename) > MAX_FILENAME_CHARS or "\x00" in filename:
        raise _no_such_file(f"{subdir}/{filename}")
    file = doors.served_file(door, subdir, filename) if past is None else _file_at(door, past.number, subdir, filename)
    if file is None:
        raise _no_such_file(f"{subdir}/{filename}")
    if file.state == FileState.PURGED:
        raise Gone(f"'{filename}' was purged: {file.reason}", code="purged")
    if file.state == FileState.HELD:
        raise Forbidden(f"'{filename}' is held: {file.reason}", code="held", hint="It is shown again when IT releases it.")
    immutable = not door.allow_overwrite or (past is not None and past.is_fixed)
    response = serve_blob(
        request,
        namespace="packages",
        sha256=file.sha256,
        size=file.size,
        content_type=PACKAGE_TYPES[".conda" if filename.endswith(".conda") else ".tar.bz2"],
        etag=file.sha256,
        cache_control=f"{_scope(door)}, max-age={YEAR_SECONDS}, immutable" if immutable else f"{_scope(door)}, no-cache",
        last_modified=file.indexed_at,
    )
    if request.method == "GET" and _is_download(request, response):
        downloads.count(file.file_id)
        if settings.CONDAHUB_AUDIT_DOWNLOADS and door.visibility != "public":
            with asked_from(request.META):
                audit(
                    actor=actor,
                    action="package.download",
                    target=f"channel:{door.name}/{subdir}/{filename}",
                    organization_id=door.target.organization_id,
                    details={"sha256": file.sha256},
                )
    return response


def _is_download(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whole files count, and the first part of one that comes in parts."""
    if response.status_code == 206:
        return str(request.META.get("HTTP_RANGE", "")).startswith("bytes=0-")
    return response.status_code in (200, 302)


def _file_at(door: Door, number: int, subdir: str, filename: str) -> ServedFile | None:
    """The file as that revision's shard names it; one that was yanked by then is still to be had."""
    name = filename.rsplit("-", 2)[0]
    try:
        sha256 = maps.load(door.channel_id, number).get(subdir, {}).get(name)
    except Revision.DoesNotExist:
        raise _no_such_file(f"{subdir}/{filename}") from None
    if sha256 is None:
        return None
    payload = answers.shard(door.channel_id, subdir, sha256.hex())
    if payload is None:
        return None
    shard = msgspec.msgpack.decode(answers.zstd_decompress(payload))
    record = shard["packages.conda"].get(filename) or shard["packages"].get(filename)
    if record is not None:
        return doors.file_by_content(door, subdir, filename, bytes(record["sha256"]).hex())
    if filename in shard["removed"]:
        return doors.file_removed_by(door, subdir, filename, answers.view(door.channel_id, number).created_at)
    return None


def _shard(request: HttpRequest, door: Door, subdir: str, sha256: str) -> HttpResponseBase:
    body = answers.shard(door.channel_id, subdir, sha256)
    if body is None:
        raise _no_such_file(f"{subdir}/shards/{sha256[:64]}.msgpack.zst")
    return serve_bytes(
        request, body, content_type="application/zstd", etag=sha256, cache_control=f"{_scope(door)}, max-age={YEAR_SECONDS}, immutable"
    )


def _index(request: HttpRequest, door: Door, number: int, subdir: str, filename: str, *, is_head: bool) -> HttpResponseBase:
    try:
        found = answers.answer(door.channel_id, number, subdir, filename, is_head=is_head)
    except Revision.DoesNotExist:
        raise Unavailable("This revision is being replaced; try again.", retry_after_seconds=1) from None
    if found is None:
        raise _no_such_file(f"{subdir}/{filename}" if subdir else filename)
    headers = {"X-Condahub-Revision": str(found.revision)}
    # Revalidated at each use: what was published is seen at once, and an unchanged index costs a 304.
    control = f"{_scope(door)}, no-cache"
    if found.body is not None:
        return serve_bytes(
            request,
            found.body,
            content_type=found.media_type,
            etag=found.sha256,
            cache_control=control,
            last_modified=found.changed_at,
            headers=headers,
        )
    return serve_blob(
        request,
        namespace="index",
        sha256=found.sha256,
        size=found.size,
        content_type=found.media_type,
        etag=found.sha256,
        cache_control=control,
        last_modified=found.changed_at,
        headers=headers,
    )


def _notices(request: HttpRequest, door: Door) -> HttpResponseBase:
    """notices.json (CEP-6): tells those who still use an old name."""
    notices = []
    if door.asked_name != door.name:
        renamed_at = doors.renamed_at(door)
        notices.append(
            {
                "id": f"renamed-{door.asked_name}-{door.name}",
                "message": f"The channel '{door.asked_name}' is now called '{door.name}'. Please change your configuration.",
                "level": "warning",
                "created_at": renamed_at.isoformat(),
                "expires_at": (renamed_at + timedelta(days=365)).isoformat(),
            }
        )
    body = json.dumps({"notices": notices}).encode()
    return serve_bytes(
        request, body, content_type="application/json", etag=answers.etag_of(body), cache_control=f"{_scope(door)}, no-cache"
    )


def _page(request: HttpRequest, door: Door, number: int) -> HttpResponseBase:
    """A browser is sent to the channel's page; a program gets the subdirs."""
    if "text/html" in request.META.get("HTTP_ACCEPT", ""):
        return HttpResponseRedirect(f"{settings.CONDAHUB_PUBLIC_URL}/ui/channels/{door.name}")
    view = answers.view(door.channel_id, number)
    body = json.dumps({"channel": door.name, "revision": number, "subdirs": sorted(view.subdirs)}).encode()
    return serve_bytes(
        request, body, content_type="application/json", etag=answers.etag_of(body), cache_control=f"{_scope(door)}, no-cache"
    )
