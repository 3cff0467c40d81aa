"""The REST API's paths of channels, packages, files, revisions and search."""

from django.urls import path

from channels_app.api import channels, files, packages, revisions, uploads
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
    path("search", packages.SearchView.as_view()),
]
