"""The lines that people paste to have an environment, and the artifacts of a build as rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext

from condahub.accounts.policy import Actor, Permission, can
from condahub.portal.paste import TOKEN_PLACEHOLDER, Line, Paste
from environments_app.artifacts import services as artifacts
from environments_app.artifacts.kinds import KINDS
from environments_app.artifacts.texts import build_address
from environments_app.building import folders
from environments_app.models import ArtifactKind, ArtifactState, Build, BuildState, Environment
from environments_app.portal import words


def use(environment: Environment, build: Build | None = None) -> Paste:
    """Having it on one's own machine, or where it lies. build: this very one; None: whatever is current by then."""
    organization, name = environment.organization.name, environment.name
    is_open = environment.visibility == "public"
    hub: str = settings.CONDAHUB_PUBLIC_URL
    which = f"{organization}/{name}" + (f"@{build.number}" if build is not None else "")
    base = f"{hub}/api/hub/v1/organizations/{organization}/environments/{name}/builds/{build.number if build is not None else 'current'}"
    header = "" if is_open else f'-H "Authorization: Bearer {TOKEN_PLACEHOLDER}" '
    door = hub if is_open else f"{hub}/t/{TOKEN_PLACEHOLDER}"
    explicit = f"{door}/conda-store/{organization}/{name}"
    folder = folders.root() / organization / (name if build is None else f"{name}-{build.number}")
    get = f"curl -fsSL {header}"
    lines = [Line("condahub", f"condahub env pull {which}")]
    if build is None:
        lines.append(Line("conda", f'conda create -n {name} --file "{explicit}"'))
    else:
        lines.append(Line("conda", f'{get}"{base}/artifacts/explicit" -o {name}.txt\nconda create -n {name} --file {name}.txt'))
    lines += [
        Line("mamba", f'{get}"{base}/artifacts/explicit" -o {name}.txt\nmamba create -n {name} --file {name}.txt'),
        Line(
            "pixi",
            f'{get}"{base}/artifacts/pinned" -o environment.yml\npixi init --import environment.yml {name} && cd {name} && pixi install',
        ),
        Line(gettext("archive"), f'mkdir {name} && {get}"{base}/artifacts/archive?wait=60" | tar -xz -C {name}\n{name}/bin/conda-unpack'),
        Line(gettext("folder"), f"conda activate {folder}"),
        Line(
            "Jupyter",
            f'{folder}/bin/python -m ipykernel install --user --name {organization}-{name} --display-name "{which}"',
        ),
    ]
    return Paste(lines, title=gettext("Use it"), token_path="" if is_open else token_path(environment), name="environment")


def token_path(environment: Environment) -> str:
    """Where a token that reads is made, the form filled in."""
    return f"{reverse('portal:token_new')}?{urlencode({'purpose': 'read', 'name': f'{environment} (read)'})}"


def artifact_rows(actor: Actor, build: Build) -> list[dict[str, Any]]:
    """What there is of a build to download, and what can be made of it; the log for those who may read jobs there."""
    reads_logs = can(actor, Permission.JOB_READ, build)
    base = build_address(build)
    header = "" if build.environment.visibility == "public" else f'-H "Authorization: Bearer {TOKEN_PLACEHOLDER}" '
    rows = []
    for one in artifacts.listed(build):
        if one.kind == ArtifactKind.LOG and not reads_logs:
            continue
        address = f"{base}/artifacts/{one.kind}" + (f"/{one.platform}" if one.platform else "")
        is_packed = KINDS[one.kind].is_packed
        rows.append(
            {
                "one": one,
                "label": words.artifact(ArtifactKind(one.kind)),
                "look": words.artifact_look(one.state),
                "address": address,
                "line": f'curl -fsSL {header}"{address}{"?wait=60" if is_packed else ""}" -o {one.filename}',
                "is_there": one.state == ArtifactState.READY,
                "can_be_made": is_packed
                and build.state == BuildState.COMPLETED
                and one.state not in (ArtifactState.READY, ArtifactState.WANTED)
                and not actor.is_anonymous,
            }
        )
    return rows
