"""Builds, their packages and files in conda-store's form."""

from __future__ import annotations

import hashlib
import json

from django.http import HttpResponseBase

from condahub.accounts.policy import Permission
from condahub.errors import NotFound, Unavailable
from condahub.storage.serve import serve_bytes
from environments_app import selectors
from environments_app.artifacts.kinds import KINDS, platforms_of
from environments_app.artifacts.texts import conda_lock_document
from environments_app.faces import artifacts
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked, ordered, page_of
from environments_app.faces.conda_store.environments import build_by_id, build_conditions
from environments_app.models import Build
from environments_app.services import builds as services

_SORTS = {"id": "pk", "scheduled_on": "created_at", "started_on": "started_at", "ended_on": "ended_at"}
AS_JSON = "lockfile"
_STILL_MADE = 202


def list_builds(asked: Asked) -> object:
    rows = Build.objects.visible_to(asked.actor)
    if asked.text("namespace"):
        rows = rows.filter(environment__organization__name=asked.text("namespace"))
    if asked.text("name"):
        rows = rows.filter(environment__name=asked.text("name"))
    if asked.text("environment_id"):
        rows = rows.filter(environment=asked.number("environment_id", 0, 10**11))
    for condition in build_conditions(asked):
        rows = rows.filter(condition)
    return page_of(asked, ordered(asked, rows.defer("request", "error_detail"), _SORTS), shapes.build)


def get_build(asked: Asked, build: str) -> object:
    return shapes.build_in_full(build_by_id(asked.actor, build))


def put_build(asked: Asked, build: str) -> object:
    """Build the same specification again, as the next build."""
    found = build_by_id(asked.actor, build)
    environment = found.environment
    services.may_submit(asked.actor, environment.organization, environment)
    again = services.submit_specification(
        actor=asked.actor, organization=environment.organization, text=found.specification.text, name=environment.name
    )
    return {"build_id": again.pk}


def delete_build(asked: Asked, build: str) -> object:
    services.delete_build(actor=asked.actor, build=build_by_id(asked.actor, build))
    return None


def cancel_build(asked: Asked, build: str) -> object:
    services.cancel_build(actor=asked.actor, build=build_by_id(asked.actor, build))
    return None


def packages_of_build(asked: Asked, build: str) -> object:
    found = build_by_id(asked.actor, build)
    rows = selectors.packages_of(found)
    # There a build is for one platform: this hub's own, where it is among those of the build.
    if platforms := platforms_of(found):
        rows = rows.filter(platform=platforms[0])
    words = asked.text("search")
    if words:
        rows = rows.filter(name=words) if asked.flag("exact") else rows.filter(name__icontains=words)
    return page_of(asked, ordered(asked, rows, {"name": "name", "version": "version"}), shapes.build_package)


def file_of_build(asked: Asked, build: str, file: str) -> HttpResponseBase:
    """A file of a build: the specification as it was given, the log as far as it got, and what was made of it."""
    return _served(asked, build_by_id(asked.actor, build), file)


def file_of_environment(asked: Asked, namespace: str, name: str, file: str) -> HttpResponseBase:
    """The same of the current build."""
    environment = selectors.environment_for(asked.actor, namespace, name, Permission.BUILD_READ)
    if environment.current_build is None:
        raise NotFound(f"'{environment}' has no current build.", code="no_such_build")
    return _served(asked, selectors.build_for(asked.actor, environment, environment.current_build.number), file)


def _served(asked: Asked, build: Build, file: str) -> HttpResponseBase:
    kind = shapes.FILES[file]
    if build.lock is None and KINDS[kind].needs_lock:
        raise NotFound(f"Build {build.number} of '{build.environment}' has no {file}.", code="no_such_artifact")
    if file == AS_JSON:
        # What conda-store calls the lockfile is conda-lock's document, as JSON.
        data = json.dumps(conda_lock_document(build)).encode()
        etag = hashlib.sha256(data).hexdigest()
        return serve_bytes(asked.request, data, content_type="application/json", etag=etag, cache_control="private, no-cache")
    wanted = artifacts.Asked.of(build, kind, "", {"wait": str(artifacts.MAX_WAIT_SECONDS)})
    answer = artifacts.give(asked.request, asked.actor, wanted)
    if answer.status_code == _STILL_MADE:
        # Its clients take whatever comes with a 2xx for the file.
        raise Unavailable(f"The {file} of build {build.number} is being made.", retry_after_seconds=artifacts.RETRY_SECONDS)
    return answer
