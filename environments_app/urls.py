"""The addresses of conda-store's API, below /conda-store/api/ and /api/, each with and without its last slash."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from environments_app.faces.conda_store import builds, catalog, environments, login, namespaces, permissions, shapes, ui
from environments_app.faces.conda_store.entry import View, door
from environments_app.faces.short import short

_NAMESPACE = r"(?P<namespace>[^/]+)"
_ENVIRONMENT = rf"environment/{_NAMESPACE}/(?P<name>[^/]+)"
_BUILD = r"build/(?P<build>[^/]+)"
_FILES = "|".join(word.replace(".", r"\.") for word in shapes.FILES)
# Of the current build: its locks alone.
_LOCKS = r"lockfile|conda-lock\.yml|conda-lock\.yaml"


def _at(version: str, pattern: str, view: View) -> URLPattern:
    # A redirect to the other form would lose a POST's body and a client's token.
    path = f"{pattern}/?" if pattern else ""
    return re_path(rf"^(?:conda-store/)?api/{version}/{path}$", view)


urlpatterns_web: list[URLPattern] = [
    _at("v1", "", door(GET=namespaces.version)),
    _at("v1", "permission", door(GET=permissions.who_am_i)),
    _at("v1", "token", door(POST=permissions.make_token)),
    _at("v1", "usage", door(GET=namespaces.usage)),
    _at("v1", "namespace", door(GET=namespaces.list_namespaces)),
    _at("v1", rf"namespace/{_NAMESPACE}", door(GET=namespaces.get_namespace, POST=namespaces.create_namespace)),
    _at("v1", "environment", door(GET=environments.list_environments, POST=environments.post_environment)),
    _at("v2", "environment", door(GET=environments.list_by_cursor)),
    _at(
        "v1",
        _ENVIRONMENT,
        door(GET=environments.get_environment, PUT=environments.put_environment, DELETE=environments.delete_environment),
    ),
    _at("v1", rf"{_ENVIRONMENT}/(?P<file>{_LOCKS})", door(GET=builds.file_of_environment)),
    _at("v1", "specification", door(GET=environments.solve, POST=environments.post_specification)),
    _at("v1", "build", door(GET=builds.list_builds)),
    _at("v1", _BUILD, door(GET=builds.get_build, PUT=builds.put_build, DELETE=builds.delete_build)),
    _at("v1", rf"{_BUILD}/cancel", door(PUT=builds.cancel_build)),
    _at("v1", rf"{_BUILD}/packages", door(GET=builds.packages_of_build)),
    _at("v1", rf"{_BUILD}/(?P<file>{_FILES})", door(GET=builds.file_of_build)),
    _at("v1", "channel", door(GET=catalog.list_channels)),
    _at("v1", "package", door(GET=catalog.list_packages)),
    _at("v1", "setting", door(GET=catalog.get_settings)),
    _at("v1", rf"setting/{_NAMESPACE}", door(GET=catalog.get_settings)),
    _at("v1", rf"setting/{_NAMESPACE}/(?P<name>[^/]+)", door(GET=catalog.get_settings)),
    re_path(r"^conda-store/login/?$", login.login),
    re_path(r"^conda-store/logout/?$", login.logout),
    re_path(r"^conda-store/?$", ui.home),
    re_path(r"^conda-store/ui(?:/(?P<rest>.*))?$", ui.page),
    # After conda-store's own: an organization can be called neither `api` nor `ui`.
    re_path(r"^conda-store/(?!(?:api|ui)/)(?P<organization>[^/]+)/(?P<name>[^/]+)/?$", short),
]
