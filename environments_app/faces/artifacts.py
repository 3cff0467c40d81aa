"""Artifacts as every door gives them out: texts at once, packed ones from the store, or 202 while they are made."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from condahub.accounts.permissions import Permission
from condahub.accounts.policy import Actor, require
from condahub.errors import NotFound, Unprocessable
from condahub.storage.serve import serve_blob, serve_bytes
from environments_app.artifacts import services
from environments_app.artifacts.kinds import Kind, filename_of, kind_named, platform_of
from environments_app.artifacts.texts import Options, build_address, render
from environments_app.models import ArtifactKind, ArtifactState, Build, BuildArtifact, BuildPackage, Wheel

NAMESPACE = "artifacts"
# A wheel or an archive of a private build is nobody else's: caches ask each time.
CACHE_CONTROL = "private, no-cache"
MAX_WAIT_SECONDS = 60
POLL_SECONDS = 0.5
RETRY_SECONDS = 5
# Requests that wait for work hold so many threads of a process, no more.
_waiting = threading.BoundedSemaphore(8)


@dataclass(frozen=True)
class Asked:
    """An artifact that somebody asks for. wait_seconds: how long it may take before the answer is 202."""

    build: Build
    kind: Kind
    platform: str
    options: Options
    wait_seconds: int = 0

    @classmethod
    def of(cls, build: Build, word: str, platform: str, query: Mapping[str, str]) -> Asked:
        """Raises NotFound, Invalid."""
        kind = kind_named(word)
        return cls(build, kind, platform_of(kind, build, platform), Options.of(query), _wait(query.get("wait", "0")))

    @property
    def address(self) -> str:
        """Of the artifact, in the REST API."""
        last = f"/{self.platform}" if self.platform else ""
        return f"{build_address(self.build)}/artifacts/{self.kind.kind}{last}"


def _wait(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise Unprocessable("'wait' must be a number of seconds.", code="bad_value", hint=f"At most {MAX_WAIT_SECONDS}.")
    return min(int(text), MAX_WAIT_SECONDS)


def give(request: HttpRequest, actor: Actor, asked: Asked) -> HttpResponseBase:
    """The answer to a GET or HEAD of an artifact of a build that the actor may see. Raises HubError.

    A packed one that has not been made is asked for, where the actor is somebody; a failed one answers with its reason.
    """
    if not asked.kind.is_packed:
        return _text(request, actor, asked)
    row = services.find(asked.build, asked.kind, asked.platform)
    if row is None or row.state not in (ArtifactState.READY, ArtifactState.FAILED):
        row = _awaited(services.ask(actor=actor, build=asked.build, kind=asked.kind, platform=asked.platform), asked.wait_seconds)
    if row.state == ArtifactState.FAILED:
        raise Unprocessable(
            row.error or "It could not be made.", code="artifact_failed", hint="POST to this artifact to have it made again."
        )
    return _packed(request, row) if row.state == ArtifactState.READY else pending(asked, row)


def _text(request: HttpRequest, actor: Actor, asked: Asked) -> HttpResponseBase:
    if asked.kind.kind == ArtifactKind.LOG:
        # A log is written by the job, and names what only those who may read jobs there should see.
        require(actor, Permission.JOB_READ, asked.build)
    data = render(asked.build, asked.kind, asked.platform, replace(asked.options, reader=actor))
    return serve_bytes(
        request,
        data,
        content_type=asked.kind.content_type,
        etag=hashlib.sha256(data).hexdigest(),
        cache_control=CACHE_CONTROL,
        filename=filename_of(asked.kind, asked.build, asked.platform),
    )


def _packed(request: HttpRequest, row: BuildArtifact) -> HttpResponseBase:
    return serve_blob(
        request,
        namespace=NAMESPACE,
        sha256=row.sha256,
        size=row.size,
        content_type=row.content_type,
        filename=row.filename,
        etag=row.sha256,
        cache_control=CACHE_CONTROL,
    )


def _awaited(row: BuildArtifact, seconds: int) -> BuildArtifact:
    """The row when it has ended, or when the time is up, or at once where too many wait already."""
    if row.state != ArtifactState.WANTED or not seconds or not _waiting.acquire(blocking=False):
        return row
    try:
        until = time.monotonic() + seconds
        while row.state == ArtifactState.WANTED and time.monotonic() < until:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(POLL_SECONDS)
            row.refresh_from_db()
    finally:
        _waiting.release()
    return row


def pending(asked: Asked, row: BuildArtifact) -> HttpResponse:
    """202 with where to look again (RFC 9110 15.3.3), how far it is, or why it failed."""
    job = services.live_job(asked.build.pk, asked.platform)
    body = {
        "state": row.state,
        "error": row.error,
        "job": job.pk if job is not None else None,
        "phase": job.phase if job is not None else "",
        "done": job.done if job is not None else 0,
        "total": job.total if job is not None else None,
        "location": asked.address,
    }
    headers = {"Location": asked.address, "Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"}
    return HttpResponse(orjson.dumps(body), status=202, content_type="application/json", headers=headers)


def give_wheel(request: HttpRequest, build: Build, sha256: str) -> HttpResponseBase:
    """A wheel that the build is made of. Raises NotFound."""
    is_named = BuildPackage.objects.filter(build=build, kind=BuildPackage.Kind.PYPI, sha256=sha256).exists()
    wheel = Wheel.objects.filter(organization=build.environment.organization_id, sha256=sha256).first() if is_named else None
    if wheel is None:
        raise NotFound("The build is not made of such a wheel.", code="no_such_wheel")
    return serve_blob(
        request,
        namespace=NAMESPACE,
        sha256=wheel.sha256,
        size=wheel.size,
        content_type="application/zip",
        filename=wheel.filename,
        etag=wheel.sha256,
        cache_control=CACHE_CONTROL,
    )
