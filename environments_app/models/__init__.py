"""The facts of environments and builds, and the constraints that keep them."""

from environments_app.models.build import (
    ArtifactKind,
    ArtifactState,
    Build,
    BuildArtifact,
    BuildChannel,
    BuildMember,
    BuildPackage,
    Lock,
)
from environments_app.models.builder import Builder
from environments_app.models.environment import Environment, EnvironmentSettings, Redistribution
from environments_app.models.specification import Specification, SpecificationKind
from environments_app.models.states import FINAL_STATES, BuildState, Phase
from environments_app.models.upkeep import EnvironmentSchedule, Outcome, Rebuild, WatchedFile
from environments_app.models.wheel import Wheel

__all__ = [
    "FINAL_STATES",
    "ArtifactKind",
    "ArtifactState",
    "Build",
    "BuildArtifact",
    "BuildChannel",
    "BuildMember",
    "BuildPackage",
    "BuildState",
    "Builder",
    "Environment",
    "EnvironmentSchedule",
    "EnvironmentSettings",
    "Lock",
    "Outcome",
    "Phase",
    "Rebuild",
    "Redistribution",
    "Specification",
    "SpecificationKind",
    "WatchedFile",
    "Wheel",
]
