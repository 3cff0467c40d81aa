"""The addresses of environments in the portal, below /ui/."""

from django.urls import URLPattern, path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from environments_app.portal import builds, levels, lists, pages, specs

app_name = "environments"

_ENVIRONMENT = "<text:organization>/environments/<text:environment>"
_BUILD = f"{_ENVIRONMENT}/builds/<number:number>"

urlpatterns: list[URLPattern] = [
    path("environments", lists.environment_list, name="list"),
    path("environments/new", specs.new, name="new"),
    path("environments/check", specs.check, name="check"),
    path("environments/pick", specs.pick, name="pick"),
    path("environments/holding", lists.holding, name="holding"),
    path("environment-settings", levels.installation_settings, name="installation_settings"),
    path("<text:organization>/environment-settings", levels.organization_settings, name="organization_settings"),
    path("<text:organization>/environments", lists.of_organization, name="organization"),
    path(_ENVIRONMENT, pages.environment, name="environment"),
    path(f"{_ENVIRONMENT}/act", pages.act, name="act"),
    path(f"{_ENVIRONMENT}/edit", specs.edit, name="edit"),
    path(f"{_ENVIRONMENT}/builds", pages.builds, name="builds"),
    path(_BUILD, builds.build, name="build"),
    path(f"{_BUILD}/live", builds.live, name="live"),
    path(f"{_BUILD}/act", builds.act, name="build_act"),
    path(f"{_BUILD}/make", builds.make, name="make"),
    path(f"{_ENVIRONMENT}/diff", builds.diff, name="diff"),
    path(f"{_ENVIRONMENT}/packages", pages.packages, name="packages"),
    path(f"{_ENVIRONMENT}/spec", pages.spec, name="spec"),
    path(f"{_ENVIRONMENT}/artifacts", pages.artifacts, name="artifacts"),
    path(f"{_ENVIRONMENT}/members", pages.members, name="members"),
    path(f"{_ENVIRONMENT}/members/<number:number>/revoke", pages.revoke, name="revoke"),
    path(f"{_ENVIRONMENT}/activity", pages.activity, name="activity"),
    path(f"{_ENVIRONMENT}/settings", pages.settings, name="settings"),
]
