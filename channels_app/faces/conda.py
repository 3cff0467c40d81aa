"""The conda protocol: GET and HEAD of a channel's index and packages, now or as they were at a revision.

Answers are made of a WSGI environ alone, so that `answer` can send them without Django's request and response.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from channels_app import doors, sources
from channels_app.doors import Door, ServedFile
from channels_app.index import answers, maps
from channels_app.models import Attestation, FileState, Revision
from channels_app.services import downloads
from channels_app.sources import Source, Wanted
from channels_app.virtual import serving as virtual
from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.policy import Actor, Permission, can
from condahub.audit import refusals
from condahub.audit.context import asked_from
from condahub.audit.services import record as audit
from condahub.errors import Forbidden, Gone, HubError, NotAuthenticated, NotFound, Unavailable
from condahub.packages.names import MAX_FILENAME_CHARS, check_subdir
from condahub.server.waiting import FINISH, MAY_WAIT, where_it_may_wait
from condahub.storage.answers import BytesAnswer, Representation, answer_blob, answer_bytes
from condahub.storage.serve import as_response

log = logging.getLogger(__name__)
Environ = Mapping[str, Any]
DOORS = ("/channels/", "/get/")
REMEMBERED_OFFERS = 8192
YEAR_SECONDS = 31_536_000
# How far the clocks of two nodes may differ.
CLOCK_SECONDS = 60
_SIDECAR = re.compile(r"(.+\.(?:conda|tar\.bz2))\.sigs\.([0-9a-f]{64})")
PACKAGE_TYPES = {".conda": "application/vnd.conda.package.v2", ".tar.bz2": "application/vnd.conda.package.v1"}


def answer(environ: Environ) -> BytesAnswer | None:
    """What `serve` answers, past Django's request and response, which cost more than all the rest; None leaves it to `serve`.

    Refusals are left: they are rare, and are told and recorded in one place.
    """
    if (finish := environ.get(FINISH)) is not None:
        waited: BytesAnswer = finish()
        # Hundreds may be given bytes that come slowly; none of them needs the database any more.
        connections.close_all()
        return waited
    path: str = environ["PATH_INFO"]
    prefix = next((door for door in DOORS if path.startswith(door)), "")
    # What is no plain text is for Django to decode.
    if not prefix or environ["REQUEST_METHOD"] not in ("GET", "HEAD") or environ.get("SCRIPT_NAME") or not _is_plain(path):
        return None
    # As Django does at the beginning of a request.
    close_old_connections()
    try:
        return _answer(environ, _who(environ), path[len(prefix) :])
    except (HubError, DatabaseError):
        return None


def _is_plain(path: str) -> bool:
    return path.isascii() and path.isprintable()


def serve(request: HttpRequest, rest: str) -> HttpResponseBase:
    """`rest` is `<channel>[@<revision or time>]/[<subdir>/]<file>`; every refusal is a sentence with the right status."""
    try:
        if request.method not in ("GET", "HEAD"):
            raise HubError("This method is not answered here.", code="method_not_allowed", status=405, headers={"Allow": "GET, HEAD"})
        actor = _who(request.META)
        # The refusals' record reads it from there.
        request.actor = actor  # type: ignore[attr-defined]
        if request.META.get(MAY_WAIT) is False:
            # Nobody runs it again from here: it waits where it is.
            del request.META[MAY_WAIT]
        return as_response(_answer(request.META, actor, rest))
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


def _who(environ: Environ) -> Actor:
    return actor_from_headers(environ, path_token=environ.get("condahub.path_token"))


def _answer(environ: Environ, actor: Actor, rest: str) -> BytesAnswer:
    asked, _, path = rest.partition("/")
    name, at, moment = asked.partition("@")
    is_package = path.endswith((".conda", ".tar.bz2"))
    door = _enter(actor, name, fresh=not is_package)
    number = door.head
    if at:
        number = _past(door, moment)
        if door.is_virtual:
            virtual.require_past(actor, door, number)
    subdir, slash, filename = path.rpartition("/")
    is_shard = filename.endswith(".msgpack.zst") and subdir.endswith("/shards")
    if slash:
        _check_folder(path, subdir.removesuffix("/shards") if is_shard else subdir)
    if not filename or filename == "index.html":
        return _page(environ, door, number)
    past = _Past(number, _is_over(moment)) if at else None
    if is_package:
        return _package(environ, actor, door, past, subdir, filename)
    if (sidecar := _SIDECAR.fullmatch(filename)) is not None:
        return _attestation(environ, door, past, subdir, *sidecar.groups())
    if is_shard:
        subdir, sha256 = subdir.removesuffix("/shards"), filename.removesuffix(".msgpack.zst")
        if door.is_virtual and not virtual.may_have_shard(actor, door, subdir, sha256, number, is_past=bool(at)):
            raise _no_such_file(path)
        return _shard(environ, door, subdir, sha256)
    if filename == "notices.json" and not subdir:
        return _notices(environ, door)
    return _index(environ, door, number, subdir, filename, is_head=not at)


def _enter(actor: Actor, name: str, *, fresh: bool) -> Door:
    """The channel, if this actor may read it; hidden and unknown ones answer alike."""
    door = doors.door(name, fresh=fresh)
    if door is not None and (_scope(door) == "public" or can(actor, Permission.CHANNEL_READ, door.target)):
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
    """Whether a shared cache may keep it: what is made of channels that not everybody may read is not for everybody."""
    return "public" if door.visibility == "public" and not door.target.made_of else "private"


def _open_file(door: Door, past: _Past | None, subdir: str, filename: str) -> tuple[Door, ServedFile]:
    """The file that may be given out, and the door that it is given out at. Raises NotFound, Gone, Forbidden."""
    if len(filename) > MAX_FILENAME_CHARS or "\x00" in filename:
        raise _no_such_file(f"{subdir}/{filename}")
    if door.is_virtual:
        door, file = virtual.find(door, subdir, filename) if past is None else virtual.find_past(door, past.number, subdir, filename)
    else:
        file = doors.served_file(door, subdir, filename) if past is None else _file_at(door, past.number, subdir, filename)
    if file is None:
        raise _no_such_file(f"{subdir}/{filename}")
    if file.state == FileState.PURGED:
        raise Gone(f"'{filename}' was purged: {file.reason}", code="purged")
    if file.state == FileState.HELD:
        raise Forbidden(f"'{filename}' is held: {file.reason}", code="held", hint="It is shown again when IT releases it.")
    doors.require_open(door, file, filename, is_past=past is not None)
    return door, file


def _attestation(environ: Environ, door: Door, past: _Past | None, subdir: str, filename: str, sha256: str) -> BytesAnswer:
    """The sidecar of a package (CEP-50), which its own name tells the content of."""
    door, file = _open_file(door, past, subdir, filename)
    row = Attestation.objects.filter(file=file.file_id, sha256=sha256).values_list("sidecar", flat=True).first()
    if row is None:
        raise _no_such_file(f"{subdir}/{filename}.sigs.{sha256}")
    control = f"{_scope(door)}, max-age={YEAR_SECONDS}, immutable"
    body = bytes(row)
    return answer_bytes(environ, body, Representation.of(len(body), content_type="application/json", etag=sha256, cache_control=control))


def _package(environ: Environ, actor: Actor, door: Door, past: _Past | None, subdir: str, filename: str) -> BytesAnswer:
    # Of a virtual channel a name may come to mean another member's file.
    may_change = door.is_virtual
    door, file = _open_file(door, past, subdir, filename)
    immutable = not (may_change or door.allow_overwrite) or (past is not None and past.is_fixed)
    cache_control = f"{_scope(door)}, max-age={YEAR_SECONDS}, immutable" if immutable else f"{_scope(door)}, no-cache"
    content_type = PACKAGE_TYPES[".conda" if filename.endswith(".conda") else ".tar.bz2"]
    offered = _offered(file.sha256, file.size, content_type, cache_control, file.indexed_at, None)
    told = _Asked(environ, actor, door, subdir, filename)
    if file.blob_id is None and (source := sources.of_kind(door.kind)) is not None:
        return _from_source(told, source, file, offered)
    return _counted(told, file, answer_blob(environ, offered, namespace="packages", sha256=file.sha256))


class _Asked(NamedTuple):
    """A package file, and who asks for it how."""

    environ: Environ
    actor: Actor
    door: Door
    subdir: str
    filename: str


def _counted(asked: _Asked, file: ServedFile, answered: BytesAnswer) -> BytesAnswer:
    """The answer, which is written down when it is a download."""
    environ, door = asked.environ, asked.door
    if environ["REQUEST_METHOD"] == "GET" and _is_download(environ, answered):
        downloads.count(file.file_id)
        if settings.CONDAHUB_AUDIT_DOWNLOADS and door.visibility != "public":
            with asked_from(environ):
                audit(
                    actor=asked.actor,
                    action="package.download",
                    target=f"channel:{door.name}/{asked.subdir}/{asked.filename}",
                    organization_id=door.target.organization_id,
                    details={"sha256": file.sha256},
                )
    return answered


def _from_source(asked: _Asked, source: Source, file: ServedFile, offered: Representation) -> BytesAnswer:
    """A file whose bytes are not here: given out while they come. A HEAD, or a condition that settles it, fetches nothing."""
    settled, part = offered.settle(asked.environ)
    if settled is not None:
        if not file.size:
            # The upstream does not say how long it is.
            settled = replace(settled, headers={name: value for name, value in settled.headers.items() if name != "Content-Length"})
        return settled
    fetch = source.fetch(Wanted(asked.door.channel_id, file.file_id, asked.subdir, asked.filename, file.sha256, file.size))

    def finish() -> BytesAnswer:
        if fetch.wait():
            start, length = (part.start, part.length) if part else (0, file.size)
            streamed = BytesAnswer(206 if part else 200, offered.framed(part), fetch.pieces(start, length))
            return _counted(asked, file, streamed)
        here = doors.file_now(file.file_id)
        if here is None:
            raise _no_such_file(f"{asked.subdir}/{asked.filename}")
        known = _offered(here.sha256, here.size, offered.headers["Content-Type"], offered.headers["Cache-Control"], here.indexed_at, None)
        return _counted(asked, here, answer_blob(asked.environ, known, namespace="packages", sha256=here.sha256))

    return where_it_may_wait(asked.environ, partial(_finished, finish))


def _finished(finish: Callable[[], BytesAnswer]) -> BytesAnswer:
    """The answer of a request that may have waited: a refusal too, as asking another door would ask the upstream again."""
    try:
        return finish()
    except HubError as error:
        refusal = error_answer(error)
        return BytesAnswer(refusal.status_code, {**dict(refusal.items()), "Content-Length": str(len(refusal.content))}, refusal.content)


@lru_cache(maxsize=REMEMBERED_OFFERS)
def _offered(sha256: str, size: int, content_type: str, cache_control: str, changed_at: datetime, revision: int | None) -> Representation:
    """A function of its arguments alone; what many ask for is made once."""
    return Representation.of(
        size,
        content_type=content_type,
        etag=sha256,
        cache_control=cache_control,
        last_modified=changed_at,
        headers=None if revision is None else {"X-Condahub-Revision": str(revision)},
    )


def _is_download(environ: Environ, answered: BytesAnswer) -> bool:
    """Whole files count, and the first part of one that comes in parts."""
    if answered.status == 206:
        return str(environ.get("HTTP_RANGE", "")).startswith("bytes=0-")
    return answered.status in (200, 302)


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
        digests = {key: bytes(record[key]).hex() for key in ("sha256", "md5") if record.get(key)}
        return doors.file_by_content(door, subdir, filename, **digests)
    if filename in shard["removed"]:
        return doors.file_removed_by(door, subdir, filename, answers.view(door.channel_id, number).created_at)
    return None


def _shard(environ: Environ, door: Door, subdir: str, sha256: str) -> BytesAnswer:
    body = answers.shard(door.channel_id, subdir, sha256)
    if body is None:
        raise _no_such_file(f"{subdir}/shards/{sha256[:64]}.msgpack.zst")
    control = f"{_scope(door)}, max-age={YEAR_SECONDS}, immutable"
    return answer_bytes(environ, body, Representation.of(len(body), content_type="application/zstd", etag=sha256, cache_control=control))


def _index(environ: Environ, door: Door, number: int, subdir: str, filename: str, *, is_head: bool) -> BytesAnswer:
    try:
        found = answers.answer(door.channel_id, number, subdir, filename, is_head=is_head)
    except Revision.DoesNotExist:
        raise Unavailable("This revision is being replaced; try again.", retry_after_seconds=1) from None
    if found is None:
        raise _no_such_file(f"{subdir}/{filename}" if subdir else filename)
    # Revalidated at each use: what was published is seen at once, and an unchanged index costs a 304.
    control = f"{_scope(door)}, no-cache"
    offered = _offered(found.sha256, found.size, found.media_type, control, found.changed_at, found.revision)
    if found.body is not None:
        answered = answer_bytes(environ, found.body, offered)
    else:
        answered = answer_blob(environ, offered, namespace="index", sha256=found.sha256)
    source = sources.of_kind(door.kind) if is_head else None
    if source is not None and (stale := sources.stale_headers(source, door.channel_id)):
        return replace(answered, headers={**answered.headers, **stale})
    return answered


def _notices(environ: Environ, door: Door) -> BytesAnswer:
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
    return _small_json(environ, door, {"notices": notices})


def _page(environ: Environ, door: Door, number: int) -> BytesAnswer:
    """A browser is sent to the channel's page; a program gets the subdirs."""
    if "text/html" in environ.get("HTTP_ACCEPT", ""):
        location = f"{settings.CONDAHUB_PUBLIC_URL}/ui/channels/{door.name}"
        return BytesAnswer(302, {"Location": location, "Content-Length": "0"})
    view = answers.view(door.channel_id, number)
    return _small_json(environ, door, {"channel": door.name, "revision": number, "subdirs": sorted(view.subdirs)})


def _small_json(environ: Environ, door: Door, value: object) -> BytesAnswer:
    body = json.dumps(value).encode()
    control = f"{_scope(door)}, no-cache"
    etag = answers.etag_of(body)
    return answer_bytes(environ, body, Representation.of(len(body), content_type="application/json", etag=etag, cache_control=control))
