"""The facts of environments and builds, and the constraints that keep them."""

from environments_app.models.build import (
    ArtifactKind,
    ArtifactState,
    Build,
    BuildArtifact,
    BuildChannel,
    BuildPackage,
    Lock,
)
from environments_app.models.environment import Environment, EnvironmentSettings, Redistribution
from environments_app.models.specification import Specification, SpecificationKind
from environments_app.models.states import FINAL_STATES, BuildState, Phase
from environments_app.models.wheel import Wheel

__all__ = [
    "FINAL_STATES",
    "ArtifactKind",
    "ArtifactState",
    "Build",
    "BuildArtifact",
    "BuildChannel",
    "BuildPackage",
    "BuildState",
    "Environment",
    "EnvironmentSettings",
    "Lock",
    "Phase",
    "Redistribution",
    "Specification",
    "SpecificationKind",
    "Wheel",
]
