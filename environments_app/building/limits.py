"""What a build may take: the installation's limits, and those of the settings where they are tighter."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from environments_app.models import Environment
from environments_app.services.policies import Merged, settings_for


@dataclass(frozen=True)
class Limits:
    """solve_seconds within build_seconds; memory_bytes of all processes of a phase; environment_bytes of the files;
    link_scripts, sdists: whether code of packages may run, in a sandbox.
    """

    solve_seconds: int
    build_seconds: int
    memory_bytes: int
    environment_bytes: int
    concurrent_builds: int
    link_scripts: bool = False
    sdists: bool = False

    @classmethod
    def of(cls, merged: Merged) -> Limits:
        return cls(
            solve_seconds=_tighter(settings.CONDAHUB_SOLVE_SECONDS, merged.solve_seconds),
            build_seconds=_tighter(settings.CONDAHUB_BUILD_SECONDS, merged.build_seconds),
            memory_bytes=_tighter(settings.CONDAHUB_BUILD_MEMORY_BYTES, merged.memory_bytes),
            environment_bytes=_tighter(settings.CONDAHUB_ENVIRONMENT_BYTES, merged.environment_bytes),
            concurrent_builds=_tighter(settings.CONDAHUB_CONCURRENT_BUILDS, merged.concurrent_builds),
            link_scripts=merged.link_scripts_allowed,
            sdists=merged.sdists_allowed,
        )


def limits_of(environment: Environment) -> Limits:
    """As they are now."""
    return Limits.of(settings_for(environment.organization, environment))


def _tighter(installation: int, level: int | None) -> int:
    return installation if level is None else min(installation, level)
