"""The REST API's paths of channels, packages, files, revisions, search, policies and requests."""

from django.urls import path

from channels_app.api import channels, files, packages, policies, requests, revisions, uploads
from condahub.api import converters  # noqa: F401 - registers `text` and `number`

urlpatterns = [
    path("channels", channels.ChannelsView.as_view()),
    path("channels/<text:channel>", channels.ChannelView.as_view()),
    path("channels/<text:channel>/rename", channels.RenameView.as_view()),
    path("channels/<text:channel>/restore", channels.RestoreView.as_view()),
    path("channels/<text:channel>/downloads", channels.DownloadsView.as_view()),
    path("channels/<text:channel>/packages", packages.PackagesView.as_view()),
    path("channels/<text:channel>/packages/<text:package>", packages.PackageView.as_view()),
    path("channels/<text:channel>/files", files.FilesView.as_view()),
    path("channels/<text:channel>/files/<text:verb>", files.VerbView.as_view()),
    path("channels/<text:channel>/files/<text:subdir>/<text:filename>", files.FileView.as_view()),
    path("channels/<text:channel>/upload/<text:filename>", uploads.UploadView.as_view()),
    path("channels/<text:channel>/uploads", uploads.BatchView.as_view()),
    path("channels/<text:channel>/copy", files.CopyView.as_view()),
    path("channels/<text:channel>/hotfix/<text:subdir>", files.HotfixView.as_view()),
    path("channels/<text:channel>/revisions", revisions.RevisionsView.as_view()),
    path("channels/<text:channel>/revisions/<number:number>", revisions.RevisionView.as_view()),
    path("channels/<text:channel>/revisions/<number:number>/diff", revisions.DiffView.as_view()),
    path("channels/<text:channel>/policy", policies.ChannelPolicyView.as_view()),
    path("channels/<text:channel>/policy/preview", policies.ChannelPreviewView.as_view()),
    path("channels/<text:channel>/hidden", policies.HiddenView.as_view()),
    path("channels/<text:channel>/hidden/release", policies.ReleaseView.as_view()),
    path("channels/<text:channel>/requests", requests.ChannelRequestsView.as_view()),
    path("organizations/<text:organization>/policy", policies.OrganizationPolicyView.as_view()),
    path("organizations/<text:organization>/policy/preview", policies.OrganizationPreviewView.as_view()),
    path("policies", policies.HubPolicyView.as_view()),
    path("policies/preview", policies.HubPreviewView.as_view()),
    path("waivers", policies.WaiversView.as_view()),
    path("waivers/<number:waiver>", policies.WaiverView.as_view()),
    path("advisories", policies.AdvisoriesView.as_view()),
    path("requests", requests.RequestsView.as_view()),
    path("requests/<number:number>", requests.RequestView.as_view()),
    path("requests/<number:number>/approve", requests.ApproveView.as_view()),
    path("requests/<number:number>/refuse", requests.RefuseView.as_view()),
    path("search", packages.SearchView.as_view()),
]
