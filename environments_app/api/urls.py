"""The REST API's paths of environments, builds and specifications."""

from django.urls import path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from environments_app.api import artifacts, builds, environments, specifications, upkeep

_ORGANIZATION = "organizations/<text:organization>"
_ENVIRONMENT = f"{_ORGANIZATION}/environments/<text:environment>"
_BUILD = f"{_ENVIRONMENT}/builds/<number:number>"
# By number, or "current".
_CHOSEN = f"{_ENVIRONMENT}/builds/<chosen:chosen>"

urlpatterns = [
    path("environments", environments.AllEnvironmentsView.as_view()),
    path("environments/packages", environments.HoldingView.as_view()),
    path("environments/affected", upkeep.AffectedView.as_view()),
    path("environment-settings", specifications.HubSettingsView.as_view()),
    path("environments/would-it-solve", specifications.WouldItSolveView.as_view()),
    path("specifications/validate", specifications.ValidateView.as_view()),
    path(f"{_ORGANIZATION}/environment-settings", specifications.OrganizationSettingsView.as_view()),
    path(f"{_ORGANIZATION}/environment-retention", upkeep.OrganizationRetentionView.as_view()),
    path(f"{_ORGANIZATION}/environments", environments.EnvironmentsView.as_view()),
    path(_ENVIRONMENT, environments.EnvironmentView.as_view()),
    path(f"{_ENVIRONMENT}/settings", specifications.EnvironmentSettingsView.as_view()),
    path(f"{_ENVIRONMENT}/grants", upkeep.GrantsView.as_view()),
    path(f"{_ENVIRONMENT}/grants/<number:number>", upkeep.GrantView.as_view()),
    path(f"{_ENVIRONMENT}/retention", upkeep.EnvironmentRetentionView.as_view()),
    path(f"{_ENVIRONMENT}/schedule", upkeep.ScheduleView.as_view()),
    path(f"{_ENVIRONMENT}/rollback", environments.RollBackView.as_view()),
    path(f"{_ENVIRONMENT}/diff", builds.DiffView.as_view()),
    path(f"{_ENVIRONMENT}/builds", builds.BuildsView.as_view()),
    path(_BUILD, builds.BuildView.as_view()),
    path(f"{_BUILD}/packages", builds.PackagesView.as_view()),
    path(f"{_CHOSEN}/artifacts", artifacts.ArtifactsView.as_view()),
    path(f"{_CHOSEN}/artifacts/<text:kind>", artifacts.ArtifactView.as_view()),
    path(f"{_CHOSEN}/artifacts/<text:kind>/<text:platform>", artifacts.PlatformArtifactView.as_view()),
    path(f"{_CHOSEN}/lock", artifacts.LockView.as_view()),
    path(f"{_BUILD}/wheels/<text:sha256>/<text:filename>", artifacts.WheelView.as_view()),
    path(f"{_BUILD}/archive", artifacts.ArchiveView.as_view()),
    path(f"{_BUILD}/restore", artifacts.RestoreView.as_view()),
    path(f"{_BUILD}/cancel", builds.CancelView.as_view()),
    path(f"{_BUILD}/activate", builds.ActivateView.as_view()),
]
