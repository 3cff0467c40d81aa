"""The addresses of channels in the portal, below /ui/channels."""

from django.urls import URLPattern, path

from channels_app.portal import channels, copies, packages, policies, readers, requests, revisions, rights, unions, uploads
from condahub.api import converters  # noqa: F401 - registers `text` and `number`

app_name = "channels"

urlpatterns: list[URLPattern] = [
    path("", channels.channel_list, name="list"),
    path("/new", channels.channel_new, name="new"),
    path("/new/virtual", unions.union_new, name="union_new"),
    path("/<text:channel>", channels.channel, name="channel"),
    path("/<text:channel>/union", unions.union, name="union"),
    path("/<text:channel>/union/names", unions.union_names, name="union_names"),
    path("/<text:channel>/union/change", unions.union_change, name="union_change"),
    path("/<text:channel>/packages/<text:package>", packages.package, name="package"),
    path("/<text:channel>/packages/<text:package>/needed-by", packages.needed_by, name="needed_by"),
    path("/<text:channel>/packages/<text:package>/copy", copies.copy_files, name="copy"),
    path("/<text:channel>/packages/<text:package>/change", packages.change, name="change"),
    path("/<text:channel>/files/<text:subdir>/<text:filename>", packages.file, name="file"),
    path("/<text:channel>/revisions", revisions.revision_list, name="revisions"),
    path("/<text:channel>/revisions/<number:number>", revisions.revision, name="revision"),
    path("/<text:channel>/revisions/<number:number>/keep", revisions.keep, name="revision_keep"),
    path("/<text:channel>/revisions/<number:number>/rollback", revisions.rollback, name="rollback"),
    path("/<text:channel>/policy", policies.channel_policy, name="policy"),
    path("/<text:channel>/policy/release", policies.release, name="policy_release"),
    path("/<text:channel>/policy/waivers/<number:number>/revoke", policies.waiver_revoke, name="waiver_revoke"),
    path("/<text:channel>/ask", requests.ask, name="ask"),
    path("/<text:channel>/members", rights.members, name="members"),
    path("/<text:channel>/members/<number:number>/revoke", rights.revoke, name="revoke"),
    path("/<text:channel>/readers", readers.readers, name="readers"),
    path("/<text:channel>/activity", rights.activity, name="activity"),
    path("/<text:channel>/settings", channels.settings, name="settings"),
    path("/<text:channel>/settings/rename", channels.rename, name="rename"),
    path("/<text:channel>/settings/delete", channels.delete, name="delete"),
    path("/<text:channel>/upload", uploads.upload, name="upload"),
    path("/<text:channel>/upload/token", uploads.token, name="upload_token"),
    path("/<text:channel>/upload/token/<number:number>/revoke", uploads.token_revoke, name="upload_token_revoke"),
]
