"""The addresses of the doors for publishing clients: Quetz's API at the root, Artifactory's and prefix.dev's ways of uploading."""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest
from django.urls import URLPattern, re_path

from channels_app.faces import artifactory, prefix
from channels_app.faces.entry import Handler, View, entry
from channels_app.faces.quetz import actions, channels, jobs, keys, members, metrics, mirrors, packages, search, uploads, users
from condahub.accounts.policy import Actor
from condahub.errors import HubError

_CHANNEL = r"api/channels/(?P<channel>[^/]+)"
_PACKAGE = rf"{_CHANNEL}/packages/(?P<package>[^/]+)"
_VERSION = r"versions/(?P<subdir>[^/]+)/(?P<filename>[^/]+)"
_USER = r"api/users/(?P<username>[^/]+)"


def _at(pattern: str, view: View) -> URLPattern:
    # Quetz answers with and without the last slash, and its clients send both.
    return re_path(rf"^{pattern}/?$", view)


def _list(pattern: str, handler: Handler, **more: Handler) -> list[URLPattern]:
    """A list and its twin under /api/paginated/."""
    twin = pattern.replace("api/", "api/paginated/", 1)
    return [_at(pattern, entry(GET=handler, **more)), _at(twin, entry(GET=partial(handler, paginated=True)))]


def _declined(pattern: str, detail: str, hint: str) -> URLPattern:
    def decline(request: HttpRequest, actor: Actor, **words: str) -> object:
        raise HubError(detail, code="declined", status=501, hint=hint)

    return re_path(rf"^{pattern}$", entry(GET=decline, POST=decline, PUT=decline, PATCH=decline, DELETE=decline))


urlpatterns_quetz: list[URLPattern] = [
    _at(r"api/me", entry(GET=users.me)),
    *_list(r"api/users", users.list_users),
    _at(_USER, entry(GET=users.get_user, DELETE=users.delete_user)),
    _at(rf"{_USER}/role", entry(GET=users.get_role, PUT=users.set_role)),
    *_list(rf"{_USER}/channels", users.channels_of),
    *_list(rf"{_USER}/packages", users.packages_of),
    _at(r"api/channels/search", entry(GET=search.search_channels)),
    _at(r"api/packages/search", entry(GET=search.search_packages)),
    *_list(r"api/channels", channels.list_channels, POST=channels.create_channel),
    _at(_CHANNEL, entry(GET=channels.get_channel, PATCH=channels.patch_channel, DELETE=channels.delete_channel)),
    _at(rf"{_CHANNEL}/actions", entry(PUT=actions.run_action)),
    _at(rf"{_CHANNEL}/mirrors", entry(GET=mirrors.list_mirrors, POST=mirrors.add_mirror)),
    _at(rf"{_CHANNEL}/mirrors/(?P<mirror>[^/]+)", entry(DELETE=mirrors.remove_mirror)),
    _at(rf"{_CHANNEL}/members", entry(GET=members.list_members, POST=members.add_member, DELETE=members.remove_member)),
    _at(rf"{_CHANNEL}/upload/(?P<filename>[^/]+)", entry(POST=uploads.upload_raw)),
    _at(rf"{_CHANNEL}/files", entry(POST=uploads.upload_files)),
    *_list(rf"{_CHANNEL}/packages", packages.list_packages, POST=packages.create_package),
    # 'copy' may be a package's name too: its other methods are below.
    _at(
        rf"{_CHANNEL}/packages/copy",
        entry(
            POST=packages.copy_package,
            GET=partial(packages.get_package, package="copy"),
            DELETE=partial(packages.delete_package, package="copy"),
        ),
    ),
    _at(_PACKAGE, entry(GET=packages.get_package, DELETE=packages.delete_package)),
    _at(rf"{_PACKAGE}/members", entry(GET=members.list_package_members, POST=members.add_package_member)),
    _at(rf"{_PACKAGE}/files", entry(POST=uploads.upload_files)),
    *_list(rf"{_PACKAGE}/versions", packages.list_versions),
    _at(rf"{_PACKAGE}/versions/(?P<version_build>[^/]+)/run_exports", entry(GET=packages.get_run_exports)),
    _at(rf"{_PACKAGE}/{_VERSION}", entry(GET=packages.get_version, DELETE=packages.delete_version)),
    _at(r"api/api-keys", entry(GET=keys.list_keys, POST=keys.create_key)),
    _at(r"api/api-keys/(?P<key>[^/]+)", entry(DELETE=keys.delete_key)),
    _at(r"api/jobs", entry(GET=jobs.list_jobs, POST=jobs.create_job)),
    _at(r"api/jobs/(?P<job>[0-9]{1,18})", entry(GET=jobs.get_job, PATCH=jobs.change_job)),
    _at(r"api/jobs/(?P<job>[0-9]{1,18})/tasks", entry(GET=jobs.list_tasks)),
    _at(r"api/metrics/channels/(?P<channel>[^/]+)", entry(GET=metrics.of_channel)),
    _at(rf"api/metrics/channels/(?P<channel>[^/]+)/packages/(?P<package>[^/]+)/{_VERSION}", entry(GET=metrics.of_version)),
]

urlpatterns_declined: list[URLPattern] = [
    _declined(r"api/dummylogin(?:/.*)?", "There is no sign-in without a secret here.", "Sign in at /accounts/, or send an API token."),
    _declined(r"api/mamba/solve/?", "Solving is not a channel's work.", "Solve with a client, or with the hub's environments."),
    _declined(r"api/tos(?:/.*)?", "This hub keeps no terms to sign.", "Show terms where people get their accounts."),
    _declined(r"api/content-trust(?:/.*)?", "This hub does not sign metadata.", "Locks and indexes carry each package's sha256."),
    _declined(
        r"metricsp/?", "This address of Quetz tells of its own process.", "Downloads are at /api/metrics, the state of the hub at /readyz."
    ),
]

urlpatterns_web: list[URLPattern] = [
    *urlpatterns_quetz,
    *urlpatterns_declined,
    re_path(r"^api/v1/upload/(?P<channel>[^/]+)/?$", prefix.upload),
    re_path(r"^channels/(?P<channel>[^/]+)/(?P<subdir>[^/]+)/(?P<filename>[^/]+)$", artifactory.package_address),
]
