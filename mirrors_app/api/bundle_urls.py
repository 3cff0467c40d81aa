"""The REST API's paths of bundles and their keys."""

from django.urls import path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from mirrors_app.api import bundle_keys, bundles

urlpatterns = [
    path("channels/<text:channel>/exports", bundles.ExportsView.as_view()),
    path("channels/<text:channel>/imports", bundles.ImportsView.as_view()),
    path("exports/<number:number>", bundles.ExportView.as_view()),
    path("exports/<number:number>/files/<text:name>", bundles.ExportFileView.as_view()),
    path("imports/<number:number>", bundles.ImportView.as_view()),
    path("imports/<number:number>/run", bundles.ImportRunView.as_view()),
    path("imports/<number:number>/files/<text:name>", bundles.ImportFileView.as_view()),
    path("signing-keys", bundle_keys.SigningKeysView.as_view()),
    path("signing-keys/rotate", bundle_keys.RotateKeyView.as_view()),
    path("signing-keys/<number:number>", bundle_keys.SigningKeyView.as_view()),
    path("trusted-keys", bundle_keys.TrustedKeysView.as_view()),
    path("trusted-keys/follow", bundle_keys.FollowView.as_view()),
    path("trusted-keys/<number:number>", bundle_keys.TrustedKeyView.as_view()),
]
