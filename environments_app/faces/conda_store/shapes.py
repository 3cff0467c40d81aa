"""Our records in conda-store's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from condahub.accounts.models import Organization
from environments_app.artifacts.services import ON_DEMAND
from environments_app.artifacts.services import listed as listed_artifacts
from environments_app.models import ArtifactKind, ArtifactState, Build, BuildPackage, BuildState

STATUS = {
    BuildState.QUEUED.value: "QUEUED",
    BuildState.RUNNING.value: "BUILDING",
    BuildState.COMPLETED.value: "COMPLETED",
    BuildState.FAILED.value: "FAILED",
    BuildState.CANCELLED.value: "CANCELED",
}
STATES = {status: state for state, status in STATUS.items()}

# The part of the address that a file has -> its kind here.
FILES = {
    "logs": ArtifactKind.LOG,
    "yaml": ArtifactKind.SPECIFICATION,
    "archive": ArtifactKind.ARCHIVE,
    "installer": ArtifactKind.INSTALLER,
    "lockfile": ArtifactKind.CONDA_LOCK,
    "conda-lock.yml": ArtifactKind.CONDA_LOCK,
    "conda-lock.yaml": ArtifactKind.CONDA_LOCK,
}
ARTIFACT_TYPES = {
    ArtifactKind.LOG.value: "LOGS",
    ArtifactKind.SPECIFICATION.value: "YAML",
    ArtifactKind.ARCHIVE.value: "CONDA_PACK",
    ArtifactKind.INSTALLER.value: "CONSTRUCTOR_INSTALLER",
    ArtifactKind.CONDA_LOCK.value: "LOCKFILE",
}
_THERE = (ArtifactState.READY, ON_DEMAND)
ARTIFACT_KINDS = {word: kind for kind, word in ARTIFACT_TYPES.items()}


def moment(when: datetime | None) -> str | None:
    """Naive UTC: its UI appends the Z."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat() if when is not None else None


def namespace(organization: Organization) -> dict[str, Any]:
    return {"id": organization.pk, "name": organization.name, "metadata_": {}, "role_mappings": []}


# The columns that `environment` reads.
ENVIRONMENT = ("pk", "organization_id", "organization__name", "name", "description", "current_build_id")


def environment(row: Mapping[str, Any], build: int | None, *, current: dict[str, Any] | None = None) -> dict[str, Any]:
    """`build` is the build that is shown as the current one; `current` is it in full."""
    return {
        "id": row["pk"],
        "namespace": {"id": row["organization_id"], "name": row["organization__name"], "metadata_": {}, "role_mappings": []},
        "name": row["name"],
        "current_build_id": build,
        "current_build": current,
        "description": row["description"],
    }


def build(row: Build) -> dict[str, Any]:
    """As lists show it."""
    return {
        "id": row.pk,
        "environment_id": row.environment_id,
        "specification": None,
        "packages": None,
        "status": STATUS[row.state],
        "status_info": row.error_sentence or None,
        "size": row.size,
        "scheduled_on": moment(row.created_at),
        "started_on": moment(row.started_at),
        "ended_on": moment(row.ended_at),
        "build_artifacts": None,
    }


def build_in_full(row: Build) -> dict[str, Any]:
    # What can be made counts as there: whoever asks for it gets it.
    there = {one.kind for one in listed_artifacts(row) if one.state in _THERE and one.kind in ARTIFACT_TYPES}
    listed = [
        {"id": number, "artifact_type": ARTIFACT_TYPES[kind], "key": f"build/{row.pk}/{kind}"}
        for number, kind in enumerate((kind for kind in ARTIFACT_TYPES if kind in there), start=1)
    ]
    return {**build(row), "specification": specification(row), "build_artifacts": listed}


def specification(build: Build) -> dict[str, Any]:
    row = build.specification
    asked = row.canonical
    # A specification here may leave its name to the address that it is sent to, and a lock file has none; there it is the environment's.
    name = asked.get("name") or build.environment.name
    dependencies: list[Any] = list(asked.get("dependencies", []))
    if asked.get("pip"):
        dependencies.append({"pip": asked["pip"]})
    return {
        "id": row.pk,
        "name": name,
        "spec": {
            "channels": asked.get("channels", []),
            "dependencies": dependencies,
            "description": asked.get("description", ""),
            "name": name,
            "prefix": None,
            "variables": asked.get("variables") or None,
        },
        "sha256": row.sha256,
        "created_on": moment(row.created_at),
    }


def build_package(row: BuildPackage) -> dict[str, Any]:
    return {
        "id": row.pk,
        "channel": {"id": 0, "name": row.channel, "last_update": None},
        "license": row.license or None,
        "name": row.name,
        "version": row.version,
        "build": row.build_string,
        "sha256": row.sha256,
        "summary": None,
    }
