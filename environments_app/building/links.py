"""The folders that people use: `<root>/<organization>/<environment>` for the current build, `<environment>-<number>` for each."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

from environments_app.building import folders
from environments_app.models import Build, BuildState, Environment

FOLDER_MODE = 0o755


def refresh(environment_id: int) -> None:
    """Make an environment's links what the database says, each replaced in one step; nothing of a deleted one is left."""
    environment = Environment.objects.select_related("organization", "current_build").filter(pk=environment_id).first()
    if environment is None:
        return
    folder = folders.root() / environment.organization.name
    wanted = {} if environment.deleted_at is not None else _wanted(environment)
    taken = set(
        Environment.objects.existing()
        .filter(organization=environment.organization)
        .exclude(pk=environment.pk)
        .values_list("name", flat=True)
    )
    for name in _present(folder, environment.name) - set(wanted) - taken:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    if wanted:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for name, key in wanted.items():
        # Another environment may be called as a build of this one would be: a name is its environment's first.
        if name not in taken and folders.prefix(key).is_dir():
            point(folder / name, key)


def point(link: Path, key: str) -> None:
    """Have `link` lead to a prefix, replacing what it led to in one step."""
    # Relative, so that the whole root can be read where it is mounted elsewhere.
    target = os.path.join("..", folders.prefixes().name, key)
    with suppress(OSError):
        if os.readlink(link) == target:
            return
    made = link.with_name(f".new-{uuid.uuid4().hex[:12]}")
    made.symlink_to(target)
    os.replace(made, link)


def _wanted(environment: Environment) -> dict[str, str]:
    builds = Build.objects.filter(environment=environment, state=BuildState.COMPLETED, archived_at__isnull=True).exclude(prefix="")
    found = {f"{environment.name}-{number}": prefix for number, prefix in builds.order_by().values_list("number", "prefix")}
    current = environment.current_build
    if current is not None and current.prefix and current.archived_at is None:
        found[environment.name] = current.prefix
    return found


def _present(folder: Path, name: str) -> set[str]:
    """The links in an organization's folder that are called like this environment's."""
    own = re.compile(rf"{re.escape(name)}(?:-[0-9]+)?")
    with suppress(FileNotFoundError):
        return {entry.name for entry in os.scandir(folder) if entry.is_symlink() and own.fullmatch(entry.name)}
    return set()
