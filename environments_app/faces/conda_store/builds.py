"""Builds, their packages and files in conda-store's form."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase

from condahub.accounts.policy import Permission, require
from condahub.errors import NotFound
from condahub.jobs import selectors as jobs
from condahub.storage.serve import serve_blob
from environments_app import selectors
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked, ordered, page_of
from environments_app.faces.conda_store.environments import build_by_id, build_conditions
from environments_app.models import ArtifactKind, ArtifactState, Build
from environments_app.services import builds as services

_SORTS = {"id": "pk", "scheduled_on": "created_at", "started_on": "started_at", "ended_on": "ended_at"}
ARTIFACT_NAMESPACE = "artifacts"


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
    rows = selectors.packages_of(build_by_id(asked.actor, build))
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
    artifact = next((one for one in build.artifacts.all() if one.kind == kind and one.state == ArtifactState.READY), None)
    if artifact is not None:
        return serve_blob(
            asked.request,
            namespace=ARTIFACT_NAMESPACE,
            sha256=artifact.sha256,
            size=artifact.size,
            content_type=artifact.content_type,
            filename=artifact.filename,
            etag=artifact.sha256,
            cache_control="private, no-cache",
        )
    if kind == ArtifactKind.SPECIFICATION:
        return _text(build.specification.text, "application/yaml")
    if kind == ArtifactKind.LOG and build.job is not None:
        # A log is written by the job, and names what only those who may read jobs there should see.
        require(asked.actor, Permission.JOB_READ, build)
        return _text("".join(f"{line.text}\n" for line in jobs.log_of(build.job)), "text/plain")
    raise NotFound(f"Build {build.number} of '{build.environment}' has no {file}.", code="no_such_artifact")


def _text(text: str, content_type: str) -> HttpResponse:
    return HttpResponse(text.encode(), content_type=f"{content_type}; charset=utf-8", headers={"Cache-Control": "private, no-store"})
